// MeshConfig: settings of the whole mesh (`mesh.yaml`, in a cluster the ConfigMap `istio`).
import type { z } from 'zod';
import { destinationHost, dnsLabel } from '../declare/formats.js';
import { list, map, message, nested, opaque, required } from '../declare/message.js';
import { choice, duration, flag, integer, portNumber, text } from '../declare/scalars.js';
import { tcpKeepalive } from './fields/connection-pool.js';
import { exportTo } from './fields/export-to.js';
import { httpRetry } from './fields/http-route.js';
import { localityLbSetting } from './fields/load-balancer.js';
import { namespaceSelector } from './fields/selector.js';
import { grpcAuthorizer, httpAuthorizer } from './policies/authorizer.js';
import { proxyConfig } from './proxy-config.js';

/** What TLS is agreed on. */
const tlsConfig = message('TLSConfig', {
  minProtocolVersion: choice('Least version of TLS (default TLSV1_2).', ['TLS_AUTO', 'TLSV1_2', 'TLSV1_3']),
  ecdhCurves: list(text(''), 'Curves, the preferred first: P-256, P-384, P-521, X25519.'),
  cipherSuites: list(text(''), 'Suites of TLS 1.2.'),
});

/** Who takes the records of an audit log. */
const auditCollector = message('LateenAuditCollector', {
  service: required(text('Its full host name: of a Service, or of a ServiceEntry.', { format: destinationHost })),
  port: required(portNumber('Its port, which speaks gRPC.')),
});

/** Somebody who takes metrics, logs, traces or decisions; exactly one field beside the name. */
export const extensionProvider = message(
  'ExtensionProvider',
  {
    name: required(text('A name, unique; Telemetry and policies refer to it.', { minLength: 1 })),
    prometheus: nested(message('PrometheusMetricsProvider', {}), 'Metrics for Prometheus to scrape.'),
    envoyFileAccessLog: nested(
      message('EnvoyFileAccessLogProvider', {
        path: text('Where the log is written: /dev/stdout, /dev/stderr or a file.'),
        logFormat: nested(
          message(
            'LogFormat',
            { text: text('A line, in Envoy’s format.'), labels: map(text(''), 'JSON: values by key.') },
            { atMostOneOf: [['text', 'labels']] },
          ),
          'The format (default: accessLogFormat).',
        ),
        omitEmptyValues: flag('Leave out values that are not there.'),
      }),
      'An access log file.',
    ),
    lateenAudit: nested(
      message(
        'LateenAuditProvider',
        {
          path: text(
            'File of the audit log: absolute, or in the sidecar’s state directory (default: audit.log); /dev/stdout for its output.',
          ),
          als: nested(auditCollector, 'Records go to Envoy’s access log service (gRPC).'),
          otlp: nested(auditCollector, 'Records go to a collector of OpenTelemetry (logs, gRPC).'),
        },
        { atMostOneOf: [['path', 'als', 'otlp']] },
      ),
      'A chained audit log (Lateen’s own; Istio has none).',
    ),
    envoyExtAuthzHttp: nested(httpAuthorizer, 'Who is asked over HTTP about requests of policies with action CUSTOM.'),
    envoyExtAuthzGrpc: nested(grpcAuthorizer, 'The same over gRPC, also about connections of TCP ports.'),
    zipkin: opaque('Traces to Zipkin.'),
    lightstep: opaque('Traces to Lightstep (deprecated).'),
    datadog: opaque('Traces to Datadog.'),
    stackdriver: opaque('Telemetry to Stackdriver.'),
    opencensus: opaque('Traces to OpenCensus (deprecated).'),
    skywalking: opaque('Traces to SkyWalking.'),
    opentelemetry: opaque('Traces to OpenTelemetry.'),
    envoyHttpAls: opaque('Access logs of HTTP over gRPC.'),
    envoyTcpAls: opaque('Access logs of TCP over gRPC.'),
    envoyOtelAls: opaque('Access logs to OpenTelemetry.'),
    sds: opaque('Secrets from an SDS server.'),
  },
  {
    exactlyOneOf: [
      [
        'prometheus',
        'envoyFileAccessLog',
        'lateenAudit',
        'envoyExtAuthzHttp',
        'envoyExtAuthzGrpc',
        'zipkin',
        'lightstep',
        'datadog',
        'stackdriver',
        'opencensus',
        'skywalking',
        'opentelemetry',
        'envoyHttpAls',
        'envoyTcpAls',
        'envoyOtelAls',
        'sds',
      ],
    ],
  },
);

/** Providers that are used where Telemetry names none. */
export const defaultProviders = message('DefaultProviders', {
  metrics: list(text('', { minLength: 1 }), 'For metrics.'),
  accessLogging: list(text('', { minLength: 1 }), 'For access logs.'),
  tracing: list(text('', { minLength: 1 }), 'For traces.'),
});

const outboundTrafficPolicy = message('OutboundTrafficPolicy', {
  mode: choice('ALLOW_ANY (the default): unknown hosts may be called; REGISTRY_ONLY: not.', [
    'REGISTRY_ONLY',
    'ALLOW_ANY',
  ]),
});

const inboundTrafficPolicy = message('InboundTrafficPolicy', {
  mode: choice('LOCALHOST: at 127.0.0.1; PASSTHROUGH: at the address of the pod.', ['PASSTHROUGH', 'LOCALHOST']),
});

const serviceSettings = message('ServiceSettings', {
  settings: nested(
    message('Settings', {
      clusterLocal: flag('Calls stay in the cluster that they are made in (there is one, so that they always do).'),
    }),
    'The settings.',
  ),
  hosts: list(text('', { minLength: 1 }), 'The services, by host.'),
});

/** MeshConfig. */
export const meshConfig = message('MeshConfig', {
  accessLogFile: text('File of the access log, /dev/stdout for the output; empty (the default): none.'),
  accessLogFormat: text('Format of a line; for JSON an object as text (default: Istio’s).'),
  accessLogEncoding: choice('TEXT (the default) or JSON.', ['TEXT', 'JSON']),
  trustDomain: text('Trust domain of identities (default cluster.local).', { minLength: 1 }),
  trustDomainAliases: list(text('', { minLength: 1 }), 'Other trust domains that count as the own.'),
  rootNamespace: text('Namespace whose policies are for the whole mesh (default istio-system).', { format: dnsLabel }),
  defaultConfig: nested(proxyConfig, 'Settings of all proxies.'),
  outboundTrafficPolicy: nested(outboundTrafficPolicy, 'What happens to calls of unknown hosts.'),
  extensionProviders: list(extensionProvider, 'Who takes metrics, logs and traces.'),
  defaultProviders: nested(defaultProviders, 'Providers that are used where Telemetry names none.'),
  enableAutoMtls: flag('Mutual TLS between sidecars by itself (default true).'),
  connectTimeout: duration('Limit for opening a connection (default 10s).'),
  protocolDetectionTimeout: duration(
    'How long the first bytes of a connection are waited for, on ports that do not say their protocol; then its server may speak first (default 1s; 0s: no limit).',
    { minMs: 0 },
  ),
  enablePrometheusMerge: flag("Whether the application's metrics are merged into the proxy's (default true)."),
  enableTracing: flag('Traces, also where no provider is named (deprecated).'),
  disableEnvoyListenerLog: flag('No log for connections that match no filter chain.'),
  enableEnvoyAccessLogService: flag('Access logs by gRPC.'),
  defaultServiceExportTo: exportTo,
  defaultVirtualServiceExportTo: exportTo,
  defaultDestinationRuleExportTo: exportTo,
  proxyListenPort: portNumber('Port of outbound interception (default 15001).'),
  proxyInboundListenPort: portNumber('Port of inbound interception (default 15006).'),
  proxyHttpPort: integer('Port of another forward proxy, beside 15007 (default 0: none).', { max: 65_535 }),
  tcpKeepalive: nested(
    tcpKeepalive,
    'Keep-alive probes of connections to services, where a DestinationRule sets none.',
  ),
  ingressClass: text('Class of Ingress resources that are taken (default istio).'),
  ingressService: text('Service of the ingress gateway (default istio-ingressgateway).'),
  ingressControllerMode: choice('Which Ingress resources are taken.', ['UNSPECIFIED', 'OFF', 'DEFAULT', 'STRICT']),
  ingressSelector: text('Label `istio` of the ingress gateway (default ingressgateway).'),
  inboundTrafficPolicy: nested(inboundTrafficPolicy, 'At which address applications are called.'),
  configSources: opaque('Where configuration comes from.'),
  caCertificates: opaque('More trust roots.'),
  certificates: opaque('Certificates of the control plane (deprecated).'),
  ca: opaque('An external signer.'),
  localityLbSetting: nested(localityLbSetting, 'Load balancing by locality, for all services.'),
  dnsRefreshRate: duration('How often names are resolved (default 60s).'),
  h2UpgradePolicy: choice('Whether HTTP/1.1 goes on as HTTP/2 (default DO_NOT_UPGRADE).', [
    'DO_NOT_UPGRADE',
    'UPGRADE',
  ]),
  inboundClusterStatName: text(
    'Name of inbound clusters in statistics and in %UPSTREAM_CLUSTER%; %SERVICE%, %SERVICE_NAME%, %SERVICE_FQDN%, %SERVICE_PORT%, %SERVICE_PORT_NAME% and %TARGET_PORT% stand for what they say.',
  ),
  outboundClusterStatName: text(
    'Name of outbound clusters in statistics and in %UPSTREAM_CLUSTER%; the same, with %SUBSET_NAME% and without %TARGET_PORT%.',
  ),
  serviceSettings: list(serviceSettings, 'Settings of some services.'),
  serviceScopeConfigs: opaque('Scope of services (ambient).'),
  verifyCertificateAtClient: flag('Deprecated; true, as servers are always verified.'),
  discoverySelectors: list(
    namespaceSelector,
    'Namespaces that are looked at, by one of these (default: all); rootNamespace always is.',
  ),
  pathNormalization: nested(
    message('ProxyPathNormalization', {
      normalization: choice('How paths are normalized before they are matched (default BASE).', [
        'DEFAULT',
        'NONE',
        'BASE',
        'MERGE_SLASHES',
        'DECODE_AND_MERGE_SLASHES',
      ]),
    }),
    'How paths are normalized.',
  ),
  defaultHttpRetryPolicy: nested(httpRetry, 'What is tried again where a route does not say.'),
  hboneIdleTimeout: duration('How long tunnels of ambient mode are kept without traffic.'),
  meshMTLS: nested(tlsConfig, 'TLS versions and suites that sidecars take from each other.'),
  tlsDefaults: nested(tlsConfig, 'TLS versions, suites and curves elsewhere, where nothing else says.'),
});

export type MeshConfig = z.infer<typeof meshConfig>;
export type ExtensionProvider = z.infer<typeof extensionProvider>;
