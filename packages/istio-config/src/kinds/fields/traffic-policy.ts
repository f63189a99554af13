// Fields: how a service is called.
import type { z } from 'zod';
import { dialledHost } from '../../declare/formats.js';
import { list, message, nested, required } from '../../declare/message.js';
import { choice, decimal, duration, flag, integer, portNumber, text } from '../../declare/scalars.js';
import { connectionPoolSettings } from './connection-pool.js';
import { portSelector } from './destination.js';
import { loadBalancerSettings } from './load-balancer.js';

/** Takes endpoints that fail out of balancing for a while. */
export const outlierDetection = message('OutlierDetection', {
  consecutiveErrors: integer('Before consecutive5xxErrors.'),
  splitExternalLocalOriginErrors: flag('Count errors of connecting apart from answers (default false).'),
  consecutiveLocalOriginFailures: integer('Errors of connecting in a row (default 5).'),
  consecutiveGatewayErrors: integer('502, 503 or 504 in a row; 0: off.'),
  consecutive5xxErrors: integer('5xx in a row (default 5; 0: off).'),
  interval: duration('Time between sweeps (default 10s).'),
  baseEjectionTime: duration('First time out, times the number of times (default 30s).'),
  maxEjectionPercent: integer('Most endpoints out at once, in percent (default 10).', { max: 100 }),
  minHealthPercent: integer('Below this share of healthy endpoints nothing is taken out (default 0).', { max: 100 }),
});

/** TLS toward the service. */
export const clientTlsSettings = message('ClientTLSSettings', {
  mode: choice('Whether and how TLS is used (default: automatic between sidecars).', [
    'DISABLE',
    'SIMPLE',
    'MUTUAL',
    'ISTIO_MUTUAL',
  ]),
  clientCertificate: text('File of the client certificate (MUTUAL).'),
  privateKey: text("File of the client's key (MUTUAL)."),
  caCertificates: text('File of the authorities that the server is checked with.'),
  credentialName: text('Secret with key and certificates, in place of files.'),
  subjectAltNames: list(text('', { minLength: 1 }), 'Names of which the server must have one.'),
  sni: text('Server name that is sent.'),
  insecureSkipVerify: flag('Do not check the server (default false).'),
  caCrl: text('File with revoked certificates.'),
});

const perPort = {
  loadBalancer: nested(loadBalancerSettings, 'How an endpoint is picked.'),
  connectionPool: nested(connectionPoolSettings, 'Limits on connections and requests.'),
  outlierDetection: nested(outlierDetection, 'Endpoints that fail are left out.'),
  tls: nested(clientTlsSettings, 'TLS toward the service.'),
};

/** A policy for one port, in place of the whole policy above it. */
export const portTrafficPolicy = message('PortTrafficPolicy', {
  port: nested(portSelector, 'The port.'),
  ...perPort,
});

/** TCP inside of HTTP CONNECT or POST. */
export const tunnelSettings = message('TunnelSettings', {
  protocol: text('CONNECT (the default) or POST.'),
  targetHost: required(text('Host that the tunnel leads to.', { format: dialledHost })),
  targetPort: required(portNumber('Port that the tunnel leads to.')),
});

/** How a service is called. */
export const trafficPolicy = message('TrafficPolicy', {
  ...perPort,
  portLevelSettings: list(portTrafficPolicy, 'Policies for single ports.', { max: 4096 }),
  tunnel: nested(tunnelSettings, 'TCP inside of HTTP.'),
  proxyProtocol: nested(
    message('ProxyProtocol', { version: choice('Version of the header (default V1).', ['V1', 'V2']) }),
    'A PROXY protocol header is sent.',
  ),
  retryBudget: nested(
    message('RetryBudget', {
      percent: decimal('Retries in percent of the requests under way (default 20).', { min: 0, max: 100 }),
      minRetryConcurrency: integer('Retries that are allowed in any case (default 3).'),
    }),
    'Limit on retries relative to requests.',
  ),
});

export type ClientTlsSettings = z.infer<typeof clientTlsSettings>;
export type OutlierDetection = z.infer<typeof outlierDetection>;
export type PortTrafficPolicy = z.infer<typeof portTrafficPolicy>;
export type TrafficPolicy = z.infer<typeof trafficPolicy>;
