// Kind HealthCheck (lateen.io): callers ask the endpoints of a service whether they are well, and leave out those that are not.

import type { z } from 'zod';
import { dnsLabel, headerName, headerValue, hexBytes, wildcardHost } from '../../declare/formats.js';
import { list, map, message, nested, required } from '../../declare/message.js';
import { choice, decimal, duration, flag, integer, portNumber, text } from '../../declare/scalars.js';
import { exportTo } from '../fields/export-to.js';
import { workloadSelector } from '../fields/selector.js';

const header = text('', { format: headerValue });

/** Statuses of HTTP, both ends included. */
export const statusRange = message(
  'StatusRange',
  {
    from: required(integer('The first.', { min: 100, max: 599 })),
    to: integer('The last (default: the first).', { min: 100, max: 599 }),
  },
  { instead: { start: 'from', end: 'to' } },
);

/** Bytes, as text or as hexadecimal digits. */
export const payload = message(
  'Payload',
  {
    text: text('As text (UTF-8).', { minLength: 1, maxLength: 1_024 }),
    hex: text('As hexadecimal digits, two for a byte.', { format: hexBytes, maxLength: 4_096 }),
  },
  { exactlyOneOf: [['text', 'hex']] },
);

/** A request whose answer tells whether the endpoint is well. */
export const httpCheck = message(
  'HttpHealthCheck',
  {
    path: required(text('What is asked for, such as /healthz; it may have a query.', { minLength: 1 })),
    host: text('The Host header (default: the host of the service).', { format: headerValue }),
    method: choice('The method (default GET).', ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']),
    headers: map(header, 'More headers.', headerName),
    expectedStatuses: list(statusRange, 'Statuses of an endpoint that is well (default: 200).', { max: 32 }),
    unhealthyStatuses: list(
      statusRange,
      'Statuses by which an endpoint is unhealthy at once, without unhealthyThreshold.',
      { max: 32 },
    ),
    receive: list(
      payload,
      'What the first 64 KiB of the answer’s body have to hold, in this order; without it an endpoint is unhealthy at once (default: nothing).',
      { max: 16 },
    ),
  },
  {
    instead: {
      body: 'receive',
      expectedBody: 'receive',
      statuses: 'expectedStatuses',
      expectedStatus: 'expectedStatuses',
      port: 'port of the spec',
    },
  },
);

/** A call of grpc.health.v1.Health/Check. */
export const grpcCheck = message(
  'GrpcHealthCheck',
  {
    serviceName: text('The service that is asked about (default: the server as a whole).', { maxLength: 1_024 }),
    authority: text('The authority of the call (default: the host of the service).', { format: headerValue }),
    headers: map(header, 'More headers.', headerName),
  },
  { instead: { service: 'serviceName' } },
);

/** A connection, and what is said over it. */
export const tcpCheck = message('TcpHealthCheck', {
  send: nested(payload, 'What is sent (default: nothing).'),
  receive: list(payload, 'What the endpoint has to send, in this order (default: it is enough that it connects).', {
    max: 16,
  }),
});

/** The spec of a HealthCheck. */
export const healthCheck = message(
  'HealthCheck',
  {
    host: required(text("The service's host, as in a DestinationRule; may be a wildcard.", { format: wildcardHost })),
    port: portNumber('Only for calls to this port of the service (default: all).'),
    subset: text('Only for calls to this subset of the service (default: all).', { format: dnsLabel }),
    http: nested(httpCheck, 'Asks by HTTP.'),
    grpc: nested(grpcCheck, 'Asks by gRPC.'),
    tcp: nested(tcpCheck, 'Connects by TCP.'),
    interval: duration('Between two checks of an endpoint (default 10s).'),
    timeout: duration('An endpoint that has not answered by then has failed the check (default 1s).'),
    unhealthyThreshold: integer('So many checks that fail in a row make an endpoint unhealthy (default 3).', {
      min: 1,
    }),
    healthyThreshold: integer(
      'So many that succeed in a row make it healthy again (default 2); the first one ever, alone.',
      {
        min: 1,
      },
    ),
    initialJitter: duration('The first check waits up to so long.'),
    intervalJitter: duration('Up to so much is added to each interval.'),
    intervalJitterPercent: integer('Up to so much of the interval is added to it.', { max: 1_000 }),
    noTrafficInterval: duration('The interval as long as the caller has never connected to the service (default 60s).'),
    unhealthyInterval: duration('The interval for unhealthy endpoints (default: interval).'),
    unhealthyEdgeInterval: duration(
      'The interval after a failure that is not enough to be unhealthy (default: unhealthyInterval).',
    ),
    healthyEdgeInterval: duration('The interval after a success that is not enough to be healthy (default: interval).'),
    reuseConnection: flag('Checks of an endpoint share a connection (default true).'),
    panicThreshold: decimal(
      'Below so many percent of healthy endpoints all of them are used (default: minHealthPercent of the DestinationRule, else 0).',
      { min: 0, max: 100 },
    ),
    logFailures: flag('Each failed check is logged, not only changes.'),
    exportTo,
    workloadSelector: nested(workloadSelector, 'The callers that check; none: all.'),
  },
  {
    exactlyOneOf: [['http', 'grpc', 'tcp']],
    instead: { hosts: 'host', period: 'interval', periodSeconds: 'interval', failureThreshold: 'unhealthyThreshold' },
  },
);

export type HealthCheckSpec = z.infer<typeof healthCheck>;
export type StatusRange = z.infer<typeof statusRange>;
export type Payload = z.infer<typeof payload>;
