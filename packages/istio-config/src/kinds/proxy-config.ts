// ProxyConfig: settings of proxies, as MeshConfig's `defaultConfig` and the annotation `proxy.istio.io/config` hold them.
import type { z } from 'zod';
import { map, message, nested, opaque } from '../declare/message.js';
import { choice, duration, flag, integer, portNumber, text } from '../declare/scalars.js';

const FORWARD_CLIENT_CERT = [
  'UNDEFINED',
  'SANITIZE',
  'FORWARD_ONLY',
  'APPEND_FORWARD',
  'SANITIZE_SET',
  'ALWAYS_FORWARD_ONLY',
] as const;

/** What stands before a gateway. */
export const topology = message('Topology', {
  numTrustedProxies: integer('Proxies before the gateway whose x-forwarded-for is believed (default 0).'),
  forwardClientCertDetails: choice(
    'What a gateway does with x-forwarded-client-cert (default SANITIZE_SET).',
    FORWARD_CLIENT_CERT,
  ),
  proxyProtocol: opaque('Connections begin with a PROXY protocol header.'),
});

const DISABLED = (header: string) => flag(`Whether ${header} (default: no).`);

/** Headers that a proxy sets by itself. */
export const proxyHeaders = message('ProxyHeaders', {
  forwardedClientCert: choice(
    'What a sidecar does with x-forwarded-client-cert of requests to it (default APPEND_FORWARD); gateways: gatewayTopology.',
    FORWARD_CLIENT_CERT,
  ),
  setCurrentClientCertDetails: nested(
    message('SetCurrentClientCertDetails', {
      subject: flag("The certificate's subject (default true)."),
      cert: flag('The certificate (default false).'),
      chain: flag('The chain of certificates (default false).'),
      dns: flag('Its DNS names (default true).'),
      uri: flag('Its URI names (default true).'),
    }),
    'What x-forwarded-client-cert says of a caller.',
  ),
  requestId: nested(
    message('RequestId', { disabled: DISABLED('no x-request-id is made') }),
    'x-request-id, made where there is none.',
  ),
  server: nested(
    message('Server', {
      disabled: DISABLED('`server` stays as the application set it'),
      value: text('Its value (default istio-envoy).'),
    }),
    'The header `server` of answers.',
  ),
  attemptCount: nested(
    message('AttemptCount', { disabled: DISABLED('x-envoy-attempt-count is not set') }),
    'x-envoy-attempt-count of requests.',
  ),
  envoyDebugHeaders: nested(
    message('EnvoyDebugHeaders', {
      disabled: DISABLED('x-envoy-upstream-service-time, x-envoy-original-path and their like are not set'),
    }),
    "The router's own headers.",
  ),
  metadataExchangeHeaders: nested(
    message('MetadataExchangeHeaders', {
      mode: choice('IN_MESH: not to services outside of the mesh (default: to all).', ['UNDEFINED', 'IN_MESH']),
    }),
    'x-envoy-peer-metadata and x-envoy-peer-metadata-id.',
  ),
  preserveHttp1HeaderCase: flag('Names of headers keep their case (Lateen: always, in HTTP/1.1).'),
  xForwardedHost: nested(
    message('XForwardedHost', { enabled: flag('Set it (default false).') }),
    'x-forwarded-host: what the Host was before a route has rewritten it.',
  ),
  xForwardedPort: nested(
    message('XForwardedPort', { enabled: flag('Set it (default false).') }),
    'x-forwarded-port: the port at which the client has connected, where nobody has said it who is believed.',
  ),
});

/** Settings of a proxy. */
export const proxyConfig = message('ProxyConfig', {
  concurrency: integer('Worker processes; 0: as many as there are cores; unset: 1.'),
  drainDuration: duration('How long connections are drained when listeners change (default 45s).'),
  terminationDrainDuration: duration('How long connections are drained at the end (default 5s).'),
  discoveryAddress: text('Address of the control plane.'),
  discoveryRefreshDelay: duration('Deprecated.', { minMs: 0 }),
  availabilityZone: text('Deprecated.'),
  gatewayTopology: nested(topology, 'What stands before a gateway.'),
  holdApplicationUntilProxyStarts: flag('Start the application after the proxy (default false).'),
  configPath: text('Directory of generated configuration.'),
  binaryPath: text('The program.'),
  serviceCluster: text('Name of the service.'),
  tracingServiceName: choice('Where the service name of traces comes from.', [
    'APP_LABEL_AND_NAMESPACE',
    'CANONICAL_NAME_ONLY',
    'CANONICAL_NAME_AND_NAMESPACE',
  ]),
  zipkinAddress: text('Address of Zipkin (deprecated).'),
  statsdUdpAddress: text('Address of statsd.'),
  proxyAdminPort: portNumber('Port of the admin API (default 15000).'),
  controlPlaneAuthPolicy: choice('Deprecated.', ['NONE', 'MUTUAL_TLS', 'INHERIT']),
  customConfigFile: text('A bootstrap file of its own.'),
  statNameLength: integer('Longest name in statistics.'),
  proxyBootstrapTemplatePath: text('A bootstrap template of its own.'),
  interceptionMode: choice('How connections are intercepted.', ['REDIRECT', 'TPROXY', 'NONE']),
  tracing: opaque('Traces.'),
  sds: opaque('Deprecated.'),
  envoyAccessLogService: opaque('A server for access logs.'),
  envoyMetricsService: opaque('A server for metrics.'),
  envoyMetricsServiceAddress: text('Deprecated.'),
  statsCompression: flag('Whether the page of metrics may be compressed (default true).'),
  proxyMetadata: map(
    text('', { maxLength: 2048 }),
    "More variables of the proxy's environment; those that begin with ISTIO_META_ are told to Pilot.",
  ),
  runtimeValues: opaque('Runtime values of Envoy.'),
  statusPort: portNumber('Port of health and merged metrics (default 15020).'),
  extraStatTags: opaque('More labels of metrics.'),
  meshId: text('Identifier of the mesh.'),
  readinessProbe: opaque("The proxy's own readiness probe."),
  proxyStatsMatcher: opaque('More statistics of Envoy.'),
  caCertificatesPem: opaque('More trust roots.'),
  image: opaque("The proxy's image."),
  privateKeyProvider: opaque('Hardware for private keys.'),
  proxyHeaders: nested(proxyHeaders, 'Headers that the proxy sets by itself.'),
  fileFlushInterval: duration('How often log files are flushed (default 1s).'),
  fileFlushMinSizeKb: integer('How much is gathered before a flush (default 64).'),
});

export type ProxyConfig = z.infer<typeof proxyConfig>;
