// Benchmark: one Envoy bootstrap file, which the sidecar and stock Envoy both run.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { denyFilter } from './access-rules.js';
import { auditLogger } from './audit-logger.js';
import type { CertificateFiles } from './certificates.js';
import { type ProxyOptions, pathOfRoute, type RouteSeries } from './proxy-options.js';

export interface BootstrapOptions extends ProxyOptions {
  readonly directory: string;
  readonly adminPort: number;
}

const V3 = 'type.googleapis.com/envoy';
const CLUSTER = 'backend';

const typedStruct = (typeUrl: string) => ({
  '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
  type_url: `type.googleapis.com/${typeUrl}`,
  value: {},
});

function httpFilters({ metrics = false, denyPolicies }: ProxyOptions): object[] {
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: { '@type': `${V3}.extensions.filters.http.router.v3.Router` },
  };
  if (denyPolicies !== undefined) return [denyFilter(denyPolicies), router];
  if (!metrics) return [router];
  // A stock Envoy has no such filters, and leaves out what is optional; its own statistics are on in any case.
  const mesh = (name: string, typeUrl: string) => ({ name, typed_config: typedStruct(typeUrl), is_optional: true });
  return [
    mesh('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config'),
    mesh('istio.stats', 'stats.PluginConfig'),
    router,
  ];
}

function pathMatch(kind: RouteSeries['kind'], index: number): object {
  const path = pathOfRoute(index);
  if (kind === 'exact') return { path };
  const base = path.slice(0, path.lastIndexOf('/') + 1);
  return kind === 'prefix' ? { prefix: base } : { safe_regex: { regex: `${base}[a-z]+` } };
}

function virtualHosts({ hostNames = [], routes, ringHash }: ProxyOptions): object[] {
  const hash = ringHash ? { hash_policy: [{ header: { header_name: 'x-user' } }] } : {};
  const plain = { match: { prefix: '/' }, route: { cluster: CLUSTER, ...hash } };
  if (routes !== undefined) {
    const series = Array.from({ length: routes.count }, (_, index) => ({
      match: pathMatch(routes.kind, index),
      route: { cluster: CLUSTER },
    }));
    return [{ name: 'all', domains: ['*'], routes: series }];
  }
  if (hostNames.length === 0) return [{ name: 'all', domains: ['*'], routes: [plain] }];
  return hostNames.map((name) => ({
    name,
    domains: [name, `${name}:80`],
    routes: [
      {
        match: { prefix: '/', headers: [{ name: 'end-user', string_match: { exact: 'jason' } }] },
        route: { cluster: CLUSTER },
      },
      plain,
    ],
  }));
}

// As a client Envoy goes no higher than 1.2 unless told.
const TLS_1_3 = { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' };

const certificate = (files: { chain: string; key: string }) => ({
  certificate_chain: { filename: files.chain },
  private_key: { filename: files.key },
});

const validation = (root: string, spiffeId: string) => ({
  trusted_ca: { filename: root },
  match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: spiffeId } }],
});

function downstreamTls(files: CertificateFiles, anyClient: boolean): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${V3}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: !anyClient,
      common_tls_context: {
        tls_params: TLS_1_3,
        tls_certificates: [certificate(files.server)],
        ...(anyClient ? {} : { validation_context: validation(files.root, files.client.spiffeId) }),
      },
    },
  };
}

function upstreamTls(files: CertificateFiles): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${V3}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
      sni: files.server.dnsName,
      common_tls_context: {
        tls_params: TLS_1_3,
        tls_certificates: [certificate(files.client)],
        validation_context: validation(files.root, files.server.spiffeId),
      },
    },
  };
}

const fileAccessLog = (path: string) => ({
  name: 'file',
  typed_config: { '@type': `${V3}.extensions.access_loggers.file.v3.FileAccessLog`, path },
});

/** Envoy's default of 1,024 would answer some of thousands of connections with an overflow. */
const MANY = 100_000;
const manyConnections = { max_connections: MANY, max_pending_requests: MANY, max_requests: MANY };

const HTTP_2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${V3}.extensions.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** Writes the bootstrap file and returns its path. */
export function writeBootstrap(options: BootstrapOptions): string {
  const bootstrap = {
    node: {
      id: 'sidecar~127.0.0.1~bench.bench~bench.svc.cluster.local',
      cluster: 'bench.bench',
      metadata: { NAMESPACE: 'bench', WORKLOAD_NAME: 'bench', LABELS: { app: 'bench', version: 'v1' } },
    },
    admin: { address: address(options.adminPort) },
    static_resources: {
      listeners: [
        {
          name: 'ingress',
          address: address(options.listenPort),
          ...(options.inbound ? { traffic_direction: 'INBOUND' } : { traffic_direction: 'OUTBOUND' }),
          filter_chains: [
            {
              ...(options.acceptTls
                ? { transport_socket: downstreamTls(options.acceptTls, options.anyClient ?? false) }
                : {}),
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': `${V3}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    stat_prefix: 'ingress',
                    ...(options.accessLog === undefined ? {} : { access_log: [fileAccessLog(options.accessLog)] }),
                    ...(options.auditLog === undefined ? {} : { access_log: [auditLogger(options.auditLog)] }),
                    route_config: { name: 'local', virtual_hosts: virtualHosts(options) },
                    http_filters: httpFilters(options),
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: CLUSTER,
          type: 'STATIC',
          connect_timeout: '5s',
          lb_policy: options.ringHash ? 'RING_HASH' : 'ROUND_ROBIN',
          ...(options.manyConnections ? { circuit_breakers: { thresholds: [manyConnections] } } : {}),
          ...(options.originateHttp2 ? HTTP_2 : {}),
          ...(options.originateTls ? { transport_socket: upstreamTls(options.originateTls) } : {}),
          load_assignment: {
            cluster_name: CLUSTER,
            endpoints: [
              { lb_endpoints: options.backendPorts.map((port) => ({ endpoint: { address: address(port) } })) },
            ],
          },
        },
      ],
    },
  };
  const path = join(options.directory, `${options.name}.yaml`);
  mkdirSync(options.directory, { recursive: true });
  writeFileSync(path, stringify(bootstrap));
  return path;
}
