// Benchmark: Envoy bootstrap files for the sidecar.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { CertificateFiles } from './certificates.js';

export interface SidecarBootstrapOptions {
  readonly directory: string;
  readonly name: string;
  readonly listenPort: number;
  readonly adminPort: number;
  readonly backendPorts: readonly number[];
  /** Virtual hosts by name, each with a route that matches a header and one that does not. */
  readonly hostNames?: readonly string[];
  /** Emit the mesh filters: peer metadata exchange and istio_* metrics. */
  readonly metrics?: boolean;
  readonly inbound?: boolean;
  readonly acceptTls?: CertificateFiles;
  readonly originateTls?: CertificateFiles;
}

const V3 = 'type.googleapis.com/envoy';
const CLUSTER = 'backend';

const typedStruct = (typeUrl: string) => ({
  '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
  type_url: `type.googleapis.com/${typeUrl}`,
  value: {},
});

function httpFilters(metrics: boolean): object[] {
  const router = {
    name: 'envoy.filters.http.router',
    typed_config: { '@type': `${V3}.extensions.filters.http.router.v3.Router` },
  };
  if (!metrics) return [router];
  return [
    { name: 'istio.metadata_exchange', typed_config: typedStruct('io.istio.http.peer_metadata.Config') },
    { name: 'istio.stats', typed_config: typedStruct('stats.PluginConfig') },
    router,
  ];
}

function virtualHosts(hostNames: readonly string[]): object[] {
  const plain = { match: { prefix: '/' }, route: { cluster: CLUSTER } };
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

const certificate = (files: { chain: string; key: string }) => ({
  certificate_chain: { filename: files.chain },
  private_key: { filename: files.key },
});

const validation = (root: string, spiffeId: string) => ({
  trusted_ca: { filename: root },
  match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: spiffeId } }],
});

function downstreamTls(files: CertificateFiles): object {
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${V3}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: {
        tls_params: { tls_minimum_protocol_version: 'TLSv1_3' },
        tls_certificates: [certificate(files.server)],
        validation_context: validation(files.root, files.client.spiffeId),
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
        tls_params: { tls_minimum_protocol_version: 'TLSv1_3' },
        tls_certificates: [certificate(files.client)],
        validation_context: validation(files.root, files.server.spiffeId),
      },
    },
  };
}

const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** Writes the bootstrap file and returns its path. */
export function writeSidecarBootstrap(options: SidecarBootstrapOptions): string {
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
              ...(options.acceptTls ? { transport_socket: downstreamTls(options.acceptTls) } : {}),
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type': `${V3}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    stat_prefix: 'ingress',
                    route_config: { name: 'local', virtual_hosts: virtualHosts(options.hostNames ?? []) },
                    http_filters: httpFilters(options.metrics ?? false),
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
          lb_policy: 'ROUND_ROBIN',
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
