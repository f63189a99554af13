// Bootstrap: what is read, and each kind of problem with its place in the file.

import { describe, expect, it } from 'vitest';
import { BootstrapRejected, parseBootstrap } from './bootstrap.js';

const PROXY = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: ingress
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: backend, timeout: 5s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backend
    connect_timeout: 1s
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}
`;

function problemsOf(text: string): string[] {
  try {
    parseBootstrap(text, 'b.yaml');
  } catch (error) {
    if (error instanceof BootstrapRejected) return error.message.split('\n');
    throw error;
  }
  return [];
}

describe('parseBootstrap', () => {
  it('reads a plain reverse proxy as Envoy would take it', () => {
    const bootstrap = parseBootstrap(PROXY, 'b.yaml');
    expect(bootstrap.listeners.map(({ name }) => name)).toEqual(['ingress']);
    expect(bootstrap.clusters.map(({ name }) => name)).toEqual(['backend']);
    expect(bootstrap.ads).toBeUndefined();
    expect(bootstrap.admin).toEqual({ address: '127.0.0.1', port: 0 });
  });

  it('reads JSON', () => {
    expect(problemsOf('{"node": {"id": "a"}}')).toEqual([]);
  });

  it('names an unknown field, where it stands and what was probably meant', () => {
    expect(problemsOf(PROXY.replace('virtual_hosts:', 'virtual_host:'))).toEqual([
      'b.yaml:15:13 static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_host: ' +
        'unknown field `virtual_host` in envoy.config.route.v3.RouteConfiguration; did you mean `virtual_hosts`?',
    ]);
  });

  it('reports every problem at once, structure before meaning', () => {
    const text = PROXY.replace('connect_timeout: 1s', 'connect_timeout: soon')
      .replace('port_value: 8080', 'port_value: "x"')
      .replace('name: ingress', 'nme: ingress');
    const problems = problemsOf(text);
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).toContain('static_resources.clusters[0].connect_timeout: "soon" is not a duration');
    expect(problems.join('\n')).toContain('did you mean `name`?');
  });

  it('refuses a route to a cluster that the file does not have', () => {
    const at = 'static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]';
    const astray = PROXY.replace('cluster: backend,', 'cluster: backnd,');
    expect(problemsOf(astray)).toEqual([
      `b.yaml:20:34 ${at}.routes[0].route.cluster: there is no cluster "backnd" in static_resources.clusters; ` +
        'did you mean "backend"?',
    ]);
    const weights = '{clusters: [{name: backend, weight: 1}, {name: other, weight: 1}]}';
    expect(problemsOf(PROXY.replace('cluster: backend,', `weighted_clusters: ${weights},`))).toEqual([
      expect.stringContaining(`${at}.routes[0].route.weighted_clusters.clusters[1].name: there is no cluster "other"`),
    ]);
    const mirrors = 'cluster: backend, request_mirror_policies: [{cluster: backend}, {cluster: copies}],';
    expect(problemsOf(PROXY.replace('cluster: backend,', mirrors))).toEqual([
      expect.stringContaining(`${at}.routes[0].route.request_mirror_policies[1].cluster: there is no cluster "copies"`),
    ]);
    expect(problemsOf(astray.replace('name: local', 'name: local\n            validate_clusters: false'))).toEqual([]);
  });

  it('refuses what it does not support, by path', () => {
    const text = PROXY.replace('{cluster: backend, timeout: 5s}', '{cluster: backend, cors: {}}')
      .replace('name: all', 'name: all\n              cors: {}')
      .replace('port_value: 9000', 'port_value: 90000');
    const problems = problemsOf(text);
    expect(
      problems.some((line) => line.includes('virtual_hosts[0].routes[0].route.cors: field is not supported')),
    ).toBe(true);
    expect(problems.some((line) => line.includes('virtual_hosts[0].cors: field is not supported'))).toBe(true);
    expect(problems.some((line) => line.includes('90000 is not a port'))).toBe(true);
    expect(problems.every((line) => /^b\.yaml:\d+:\d+ static_resources/.test(line))).toBe(true);
  });

  it('reports duplicate keys', () => {
    expect(problemsOf('node: {id: a}\nnode: {id: b}\n')[0]).toMatch(/^b\.yaml:2:1 .*unique/);
  });

  it('names an HTTP filter that is not supported', () => {
    const text = PROXY.replace(
      'http_filters:',
      `http_filters:
          - name: envoy.filters.network.tcp_proxy
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy}`,
    );
    expect(problemsOf(text)[0]).toContain(
      'http_filters[0].typed_config: "envoy.filters.network.tcp_proxy" (type envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy) is not supported here',
    );
  });

  it('serves the admin API on loopback only, also where the file says every address', () => {
    const admin = (host: string) => `admin: {address: {socket_address: {address: "${host}", port_value: 15000}}}`;
    expect(problemsOf(admin('192.0.2.1'))[0]).toContain('loopback');
    for (const [host, used] of [
      ['0.0.0.0', '127.0.0.1'],
      ['::', '::1'],
    ] as const) {
      const bootstrap = parseBootstrap(admin(host), 'b.yaml');
      expect(bootstrap.admin).toEqual({ address: used, port: 15000 });
      expect(bootstrap.warnings).toEqual([
        `b.yaml:1:45 admin.address.socket_address.address: the admin API is only served on a loopback address: ${used} is used`,
      ]);
    }
  });

  it('takes one value for a list of it, as Envoy does, and still says where a fault is', () => {
    const single = PROXY.replace('- name: ingress\n    address', '  name: ingress\n    address')
      .replace('domains: ["*"]', 'domains: "*"')
      .replace('- name: backend\n    connect', '  name: backend\n    connect');
    expect(single).not.toEqual(PROXY);
    expect(parseBootstrap(single, 'b.yaml').clusters.map(({ name }) => name)).toEqual(['backend']);
    expect(problemsOf(single.replace('connect_timeout: 1s', 'outlier_detection: {}'))).toEqual([
      expect.stringMatching(
        /^b\.yaml:26:\d+ static_resources\.clusters\[0\]\.outlier_detection\.enforcing_success_rate: must be 0/,
      ),
    ]);
  });

  it('takes what changes nothing also where its types are not known', () => {
    const admin = (field: string) =>
      `admin: {${field}: [{name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.unheard.v3.Of}}]}`;
    expect(problemsOf(admin('access_log'))).toEqual([]);
    expect(problemsOf(admin('acces_log'))[0]).toContain('did you mean `access_log`?');
    expect(problemsOf('tracing: {http: {name: a, typed_config: {"@type": type.googleapis.com/a.B}}}')).toEqual([
      'b.yaml:1:1 tracing: field is not supported: no spans are made yet',
    ]);
  });

  it('gives listeners without a name one of their address', () => {
    const unnamed = PROXY.replace('name: ingress', 'stat_prefix: a');
    expect(parseBootstrap(unnamed, 'b.yaml').listeners.map(({ name }) => name)).toEqual(['127.0.0.1_8080']);
  });

  it('takes the connection limits of a runtime, names what has no effect, and refuses the rest', () => {
    const runtime = `
layered_runtime:
  layers:
  - name: static
    static_layer:
      envoy: {resource_limits: {listener: {ingress: {connection_limit: 7}}}}
      overload.global_downstream_max_connections: 50000
      re2.max_program_size.error_level: 100
  - {name: admin, admin_layer: {}}
`;
    const { connectionLimits, warnings } = parseBootstrap(PROXY + runtime, 'b.yaml');
    expect(connectionLimits).toEqual({ total: 50_000, ofListener: new Map([['ingress', 7]]) });
    expect(warnings).toEqual([
      expect.stringMatching(/^b\.yaml:39:\d+ .* runtime key re2\.max_program_size\.error_level has no effect: /),
    ]);
    expect(problemsOf(`${PROXY}layered_runtime: {layers: [{static_layer: {routing: {canary: 50}}}]}`)).toEqual([
      expect.stringContaining('static_layer.routing.canary: runtime key routing.canary is not supported'),
    ]);
    expect(problemsOf(`${PROXY}layered_runtime: {layers: [{disk_layer: {symlink_root: /x}}]}`)[0]).toContain(
      'layers[0].disk_layer: field is not supported: use a static layer',
    );
  });

  it('finds the control plane and how to reach it', () => {
    const bootstrap = parseBootstrap(
      `
node: {id: sidecar~127.1.0.9~p.default~default.svc.cluster.local, cluster: p.default}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.1.0.3, port_value: 15012}}}}]}]
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context:
          tls_certificate_sds_secret_configs:
          - name: default
            sds_config: &sds {api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}]}, resource_api_version: V3}
          combined_validation_context:
            default_validation_context:
              match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "spiffe://cluster.local/ns/istio-system/sa/pilot"}}]
            validation_context_sds_secret_config: {name: ROOTCA, sds_config: *sds}
`,
      'b.yaml',
    );
    expect(bootstrap.dynamic).toEqual({ listeners: 'ads', clusters: 'ads', initialFetchTimeoutMs: 15_000 });
    expect(bootstrap.ads).toMatchObject({
      protocol: 'delta',
      target: 'ipv4:127.1.0.3:15012',
      security: { kind: 'own-identity', expectedSpiffeIds: ['spiffe://cluster.local/ns/istio-system/sa/pilot'] },
      listeners: true,
      clusters: true,
    });
    expect(bootstrap.clusters).toEqual([]);
  });
});
