// Fields: limits on connections and requests (circuit breaking).
import type { z } from 'zod';
import { message, nested } from '../../declare/message.js';
import { choice, duration, flag, integer } from '../../declare/scalars.js';

/** Keep-alive probes of TCP. */
export const tcpKeepalive = message('TcpKeepalive', {
  probes: integer('Probes without an answer before the connection counts as dead (default: the system).'),
  time: duration('Idle time before the first probe (default: the system).'),
  interval: duration('Time between probes (default: the system).'),
});

/** Limits for connections. */
export const tcpSettings = message('TCPSettings', {
  maxConnections: integer('Connections to the service at once (default 2^32-1).'),
  connectTimeout: duration('Limit for opening a connection (default 10s).'),
  tcpKeepalive: nested(tcpKeepalive, 'Keep-alive probes.'),
  maxConnectionDuration: duration('Longest life of a connection (default none).'),
  idleTimeout: duration('Idle time after which a TCP connection is closed (default 1h); 0s: never.', { minMs: 0 }),
});

/** Limits for HTTP. */
export const httpSettings = message('HTTPSettings', {
  http1MaxPendingRequests: integer('Requests that wait for a connection (default 2^32-1).'),
  http2MaxRequests: integer('Requests under way at once, also of HTTP/1.1 (default 2^32-1).'),
  maxRequestsPerConnection: integer('Requests after which a connection is closed (default 2^29-1; 0: no limit).'),
  maxRetries: integer('Retries under way at once (default 2^32-1).'),
  idleTimeout: duration('Time without a request after which a connection is closed (default 1h).', { minMs: 0 }),
  h2UpgradePolicy: choice('Whether HTTP/1.1 goes on as HTTP/2 (default: the mesh).', [
    'DEFAULT',
    'DO_NOT_UPGRADE',
    'UPGRADE',
  ]),
  useClientProtocol: flag('Go on with the protocol of the client (default false).'),
  maxConcurrentStreams: integer('Streams at once on an HTTP/2 connection (default 2^31-1).'),
});

/** Limits on connections and requests. */
export const connectionPoolSettings = message('ConnectionPoolSettings', {
  tcp: nested(tcpSettings, 'For all connections.'),
  http: nested(httpSettings, 'For HTTP.'),
});

export type ConnectionPoolSettings = z.infer<typeof connectionPoolSettings>;
