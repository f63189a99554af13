// The table compiler: what it refuses and by what path, swaps under a stable name, weights, redirects, policies.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { describe, expect, it } from 'vitest';
import { compileHttpConnectionManager } from './compile/http-connection-manager.js';
import { formatProblem } from './compile/problems.js';
import * as L from './layout.js';
import { createTestCore } from './reference/test-core.js';
import * as T from './table-layout.js';
import { createTables } from './tables.js';

type Json = { [key: string]: JsonValue };
const { core, wasm, int, options, put, range } = createTestCore();
const tables = createTables(core);

const routes = (config: Json, name = 'r') => fromJson(RouteConfigurationSchema, { name, ...config });
const cluster = (name: string, more: Json = {}) => ({
  cluster: fromJson(ClusterSchema, { name, type: 'STATIC', ...more }),
});
const host = (list: Json[], more: Json = {}) => ({
  virtualHosts: [{ name: 'v', domains: ['*'], routes: list, ...more }],
});
const all = { match: { prefix: '/' } };

function problemsOf(config: Json, clusters: ReturnType<typeof cluster>[] = []): string[] {
  const result = tables.compile({ routeConfigurations: [routes(config)], clusters, nowMs: 0 });
  return result.problems.map(formatProblem);
}
function use(config: Json, clusters: ReturnType<typeof cluster>[] = [], nowMs = 0): void {
  expect(tables.compile({ routeConfigurations: [routes(config)], clusters, nowMs }).problems).toEqual([]);
  tables.activate();
}
function ask(target = '/', authority = 'h', lines = '', random = -1, secure = 0): number {
  const length = put(`GET ${target} HTTP/1.1\r\nhost: ${authority}\r\n${lines}\r\n`);
  expect(wasm.parseRequest(L.READ_BUFFER, length, 0, options(), 0)).toBe(length);
  return wasm.route(tables.routeConfigSlot('r'), random, secure);
}
const policy = (field: number) => int(int(L.ROUTE_POLICY) + field);

describe('what is not supported', () => {
  it('is refused by name and path, all of it at once', () => {
    const bad = host(
      [
        {
          match: { prefix: '/', grpc: {} },
          route: {
            cluster: 'c',
            requestMirrorPolicies: [{ cluster: 'c', clusterHeader: 'x-cluster' }],
            retryPolicy: { retryOn: '5xx,bogus', retryPriority: { name: 'p' } },
          },
        },
        {
          match: {
            prefix: '/',
            headers: [
              { name: 'a', stringMatch: { custom: {} } },
              { name: ':status', presentMatch: true },
            ],
          },
          filterAction: {},
        },
        {
          ...all,
          route: { cluster: 'c' },
          requestHeadersToAdd: [
            { header: { key: 'a', value: '%START_TIME%' } },
            { header: { key: 'Content-Length', value: '1' } },
          ],
          responseHeadersToRemove: ['connection'],
        },
        { route: {}, typedPerFilterConfig: {} },
      ],
      { cors: {} },
    );
    expect(problemsOf({ ...bad, vhds: { configSource: {} } })).toEqual([
      'RouteConfiguration r: vhds is not supported',
      'RouteConfiguration r: virtual_hosts[0].cors is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0].match.grpc is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0].route.retry_policy.retry_on condition "bogus" is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0].route.retry_policy.retry_priority "p" is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0].route.request_mirror_policies[0].cluster_header is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[1].filter_action is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[1].match.headers[0].string_match.custom is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[1].match.headers[1].name ":status" is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[2].request_headers_to_add[0].header.value command operator %START_TIME% is not supported',
      'RouteConfiguration r: virtual_hosts[0].routes[2].request_headers_to_add[1].header.key "content-length" cannot be changed by configuration',
      'RouteConfiguration r: virtual_hosts[0].routes[2].response_headers_to_remove[0] "connection" cannot be changed by configuration',
      'RouteConfiguration r: virtual_hosts[0].routes[3].match is missing',
      'RouteConfiguration r: virtual_hosts[0].routes[3].route has no cluster specifier',
    ]);
  });

  it('is refused in clusters and connection managers as well', () => {
    const bad = cluster('c', {
      lbPolicy: 'CLUSTER_PROVIDED',
      commonLbConfig: { zoneAwareLbConfig: {} },
      circuitBreakers: { perHostThresholds: [{}] },
    });
    const local = cluster('d', {
      loadAssignment: { clusterName: 'd', endpoints: [{ lbEndpoints: [{ endpointName: 'n' }] }] },
    });
    expect(problemsOf({}, [bad, local, local])).toEqual([
      'Cluster c: common_lb_config.zone_aware_lb_config is not supported',
      'Cluster c: lb_policy CLUSTER_PROVIDED is not supported; use ROUND_ROBIN, LEAST_REQUEST, RANDOM, RING_HASH or MAGLEV',
      'Cluster c: circuit_breakers.per_host_thresholds is not supported',
      ...Array.from({ length: 3 }).flatMap((_, index) =>
        index === 1
          ? ['Cluster d: name stands twice']
          : [
              'Cluster d: load_assignment.endpoints[0].lb_endpoints[0].endpoint_name is not supported',
              'Cluster d: load_assignment.endpoints[0].lb_endpoints[0].endpoint.address must be a socket_address with port_value, or a pipe',
            ],
      ),
    ]);
    const hcm = fromJson(HttpConnectionManagerSchema, {
      statPrefix: 's',
      via: 'x',
      maxRequestHeadersKb: 96,
      httpProtocolOptions: { enableTrailers: true },
      upgradeConfigs: [{ upgradeType: 'CONNECT' }, { upgradeType: 'spdy' }],
      serverName: 'istio-envoy',
      useRemoteAddress: true,
    });
    const compiled = compileHttpConnectionManager(hcm, 'listener');
    expect(compiled.problems.map(formatProblem)).toEqual([
      'HttpConnectionManager listener: via is not supported',
      'HttpConnectionManager listener: http_protocol_options.enable_trailers is not supported',
      'HttpConnectionManager listener: max_request_headers_kb is 96; only 60 is supported',
      'HttpConnectionManager listener: upgrade_configs[1].upgrade_type "spdy" is not supported',
    ]);
    expect(compiled.options).toMatchObject({
      edge: true,
      useRemoteAddress: true,
      serverName: 'istio-envoy',
      serverHeader: 'overwrite',
      generateRequestId: true,
    });
  });

  it('includes what the core has no room for, and what would split a line', () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ header: { key: `x-${index}`, value: 'v' } }));
    const route = {
      ...all,
      route: { cluster: 'c', prefixRewrite: '/a b', hostRewriteLiteral: 'h'.repeat(20_000) },
      requestHeadersToAdd: many(60),
    };
    expect(
      problemsOf({
        ...host([route], { requestHeadersToAdd: many(60) }),
        requestHeadersToAdd: many(9),
        responseHeadersToAdd: many(129),
      }),
    ).toEqual([
      'RouteConfiguration r: virtual_hosts[0] 129 response header mutations apply here with those of the enclosing levels; at most 128 are supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0] 129 request header mutations apply here with those of the enclosing levels; at most 128 are supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0] 129 response header mutations apply here with those of the enclosing levels; at most 128 are supported',
      'RouteConfiguration r: virtual_hosts[0].routes[0].route.prefix_rewrite has a space or a control character',
      'RouteConfiguration r: virtual_hosts[0].routes[0].route.host_rewrite_literal has 20000 bytes; at most 16384 are supported',
    ]);
  });

  it('leaves what is in use alone', () => {
    use(host([{ ...all, name: 'kept', route: { cluster: 'c' } }]), [cluster('c')]);
    const generation = wasm.generation();
    expect(problemsOf(host([{ ...all }]))).toHaveLength(1);
    expect(() => tables.activate()).toThrow('nothing to activate');
    expect(ask()).toBe(L.ROUTE_ACTION_FORWARD);
    expect(range(L.ROUTE_NAME_OFFSET, L.ROUTE_NAME_LENGTH)).toBe('kept');
    expect(wasm.generation()).toBe(generation);
  });

  it('says how much was needed where the tables do not fit', () => {
    const body = 'x'.repeat(4096);
    const list = Array.from({ length: 12_600 }, (_, index) => ({
      ...all,
      directResponse: { status: 200, body: { inlineString: `${index}${body}`.slice(0, 4096) } },
    }));
    const [problem] = problemsOf(host(list));
    expect(problem).toMatch(/^Snapshot all: needs 5\d{7} bytes of tables; there are 50331648\./);
  });

  it('finds clusters that do not exist where validate_clusters asks', () => {
    expect(problemsOf({ ...host([{ ...all, route: { cluster: 'missing' } }]), validateClusters: true })).toEqual([
      'RouteConfiguration r: virtual_hosts names cluster "missing", which does not exist (validate_clusters)',
    ]);
  });
});

describe('a swap', () => {
  it('keeps slots by name and forgets what is gone', () => {
    const endpoint = (address: string) => ({
      loadAssignment: {
        clusterName: 'x',
        endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address, portValue: 1 } } } }] }],
      },
    });
    use(host([{ ...all, route: { cluster: 'a' } }]), [cluster('a', endpoint('1.1.1.1'))]);
    ask();
    const slot = int(L.ROUTE_CLUSTER);
    const picked = wasm.pick(slot, 0, 1);
    expect(tables.endpoint(picked)).toMatchObject({ address: '1.1.1.1', port: 1, clusterName: 'a', clusterSlot: slot });
    use(host([{ ...all, route: { cluster: 'b' } }]), [
      cluster('b', endpoint('1.1.1.1')),
      cluster('a', endpoint('1.1.1.2')),
    ]);
    expect(tables.clusterSlot('a')).toBe(slot);
    expect(wasm.pick(slot, 0, 1)).not.toBe(picked);
    expect(tables.endpoint(picked)?.address).toBe('1.1.1.1');
    ask();
    expect(tables.clusterName(int(L.ROUTE_CLUSTER))).toBe('b');
    use(host([{ ...all, route: { cluster: 'b' } }]), [cluster('a', endpoint('1.1.1.1'))]);
    expect(wasm.pick(tables.clusterSlot('b'), 0, 1)).toBe(T.PICK_NO_CLUSTER);
    expect(wasm.pick(slot, 0, 1)).toBe(picked);
    expect(tables.compile({ routeConfigurations: [], clusters: [], nowMs: 0 })).toMatchObject({ ok: true });
    tables.activate();
    expect(ask()).toBe(L.ROUTE_ACTION_NONE);
  });

  it('copies unchanged resources instead of compiling them again', () => {
    const config = routes(host([{ ...all, name: 'same', route: { cluster: 'c' } }]));
    const one = cluster('c');
    for (let i = 0; i < 3; i++) {
      expect(tables.compile({ routeConfigurations: [config], clusters: [one], nowMs: 0 }).problems).toEqual([]);
      tables.activate();
      expect(ask()).toBe(L.ROUTE_ACTION_FORWARD);
    }
    // A message changed in place is not seen: that is the promise.
    config.virtualHosts[0]!.routes[0]!.name = 'changed';
    expect(tables.compile({ routeConfigurations: [config], clusters: [one], nowMs: 0 }).problems).toEqual([]);
    tables.activate();
    ask();
    expect(range(L.ROUTE_NAME_OFFSET, L.ROUTE_NAME_LENGTH)).toBe('same');
  });
});

describe('weights', () => {
  it('share requests as configured, and one request keeps its cluster', () => {
    use(
      host([
        {
          ...all,
          route: {
            weightedClusters: {
              clusters: [
                { name: 'a', weight: 20 },
                { name: 'none', weight: 0 },
                { name: 'b', weight: 80 },
              ],
            },
          },
        },
      ]),
    );
    const counts = new Map<string | undefined, number>();
    for (let i = 0; i < 5000; i++) {
      ask();
      const name = tables.clusterName(int(L.ROUTE_CLUSTER));
      counts.set(name, (counts.get(name) ?? 0) + 1);
      const random = int(L.ROUTE_RANDOM);
      ask('/', 'h', '', random);
      expect(tables.clusterName(int(L.ROUTE_CLUSTER))).toBe(name);
    }
    expect([...counts.keys()].sort()).toEqual(['a', 'b']);
    expect(counts.get('a')! / 5000).toBeGreaterThan(0.17);
    expect(counts.get('a')! / 5000).toBeLessThan(0.23);
  });

  it('honours runtime fractions', () => {
    use(
      host([
        { match: { prefix: '/', runtimeFraction: { defaultValue: { numerator: 25 } } }, route: { cluster: 'a' } },
        { ...all, route: { cluster: 'b' } },
      ]),
    );
    let first = 0;
    for (let i = 0; i < 5000; i++) {
      ask();
      if (tables.clusterName(int(L.ROUTE_CLUSTER)) === 'a') first++;
    }
    expect(first / 5000).toBeGreaterThan(0.22);
    expect(first / 5000).toBeLessThan(0.28);
  });
});

describe('local answers', () => {
  it.each<[Json, string, string, number, string]>([
    [{ pathRedirect: '/new' }, '/old?q=1', 'h:80', 0, 'http://h:80/new?q=1'],
    [{ pathRedirect: '/new?own' }, '/old?q=1', 'h', 0, 'http://h/new?own'],
    [{ httpsRedirect: true }, '/p', 'h:80', 0, 'https://h/p'],
    [{ httpsRedirect: true }, '/p', 'h:8080', 0, 'https://h:8080/p'],
    [{ schemeRedirect: 'http' }, '/p', 'h:443', 1, 'http://h/p'],
    [{ hostRedirect: 'other', portRedirect: 81 }, '/p', 'h:9', 0, 'http://other:81/p'],
    [{ portRedirect: 81 }, '/p', '[::1]:9', 1, 'https://[::1]:81/p'],
    [{ prefixRewrite: '/x/', stripQuery: true }, '/api/v1?q', 'h', 0, 'http://h/x/v1'],
    [{}, '/p?q', 'h', 0, 'http://h/p?q'],
    [{ pathRedirect: '', hostRedirect: 'other' }, '/p?q', 'h', 0, 'http://other/p?q'],
    [{ prefixRewrite: '', schemeRedirect: 'https' }, '/api/p', 'h', 0, 'https://h/api/p'],
  ])('redirect by %j', (redirect, target, authority, secure, location) => {
    use(
      host([
        {
          match: { prefix: redirect.prefixRewrite === undefined ? '/' : '/api/' },
          redirect: { responseCode: 'FOUND', ...redirect },
        },
      ]),
    );
    expect(ask(target, authority, '', -1, secure)).toBe(L.ROUTE_ACTION_REDIRECT);
    expect(int(L.ROUTE_STATUS)).toBe(302);
    expect(range(L.ROUTE_LOCATION_OFFSET, L.ROUTE_LOCATION_LENGTH)).toBe(location);
  });

  it('direct responses and the demand for TLS', () => {
    use(host([{ ...all, directResponse: { status: 503, body: { inlineString: 'down' } } }], { requireTls: 'ALL' }));
    expect(ask('/', 'h', '', -1, 1)).toBe(L.ROUTE_ACTION_DIRECT);
    expect([int(L.ROUTE_STATUS), range(L.ROUTE_BODY_OFFSET, L.ROUTE_BODY_LENGTH)]).toEqual([503, 'down']);
    expect(ask('/x?y', 'h:80')).toBe(L.ROUTE_ACTION_REDIRECT);
    expect([int(L.ROUTE_STATUS), range(L.ROUTE_LOCATION_OFFSET, L.ROUTE_LOCATION_LENGTH)]).toEqual([
      301,
      'https://h/x?y',
    ]);
  });
});

describe('policies', () => {
  it('have Envoy’s defaults, and the route’s retry policy before the virtual host’s', () => {
    const onHost = {
      retryPolicy: {
        retryOn: 'connect-failure,reset-before-request',
        numRetries: 2,
        retryHostPredicate: [{ name: 'envoy.retry_host_predicates.previous_hosts' }],
        hostSelectionRetryMaxAttempts: '5',
      },
    };
    use(
      host(
        [
          {
            match: { path: '/own' },
            route: {
              cluster: 'c',
              timeout: '0s',
              idleTimeout: '1.0005s',
              retryPolicy: {
                retryOn: 'retriable-status-codes, gateway-error',
                retriableStatusCodes: [418],
                retryBackOff: { baseInterval: '0.1s' },
              },
            },
          },
          { ...all, route: { cluster: 'c' } },
        ],
        onHost,
      ),
    );
    ask('/');
    expect(
      [
        T.POLICY_TIMEOUT_MS,
        T.POLICY_IDLE_TIMEOUT_MS,
        T.POLICY_RETRIES,
        T.POLICY_AVOID_PREVIOUS,
        T.POLICY_HOST_SELECTION_ATTEMPTS,
        T.POLICY_RETRY_BACKOFF_BASE_MS,
        T.POLICY_RETRY_BACKOFF_MAX_MS,
        T.POLICY_CLUSTER_NOT_FOUND_STATUS,
      ].map(policy),
    ).toEqual([15_000, -1, 2, 1, 5, 25, 250, 503]);
    expect(policy(T.POLICY_RETRY_ON)).toBe(T.RETRY_ON_CONNECT_FAILURE | T.RETRY_ON_RESET_BEFORE_REQUEST);
    expect(wasm.isRetriableStatus(int(L.ROUTE_POLICY), 503)).toBe(0);
    ask('/own');
    expect(
      [T.POLICY_TIMEOUT_MS, T.POLICY_IDLE_TIMEOUT_MS, T.POLICY_RETRIES, T.POLICY_RETRY_BACKOFF_MAX_MS].map(policy),
    ).toEqual([0, 1001, 1, 1000]);
    expect([418, 502, 500, 200].map((status) => wasm.isRetriableStatus(int(L.ROUTE_POLICY), status))).toEqual([
      1, 1, 0, 0,
    ]);
  });

  it('keep response mutations when the tables are gone', () => {
    const add = (value: string) => ({
      responseHeadersToAdd: [{ header: { key: 'x-level', value }, appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD' }],
    });
    use({
      ...host([{ ...all, route: { cluster: 'c' }, ...add('route'), responseHeadersToRemove: ['x-app'] }], add('host')),
      mostSpecificHeaderMutationsWins: true,
    });
    ask();
    const kept = int(L.ROUTE_POLICY);
    for (let i = 0; i < 4; i++) use(host([{ ...all, name: `${i}`, route: { cluster: 'd' } }]));
    const answer = 'HTTP/1.1 200 OK\r\nx-app: 1\r\nx-level: app\r\ncontent-length: 0\r\n\r\n';
    wasm.parseResponse(L.READ_BUFFER, put(answer), 0, L.METHOD_GET, 0, options());
    const length = wasm.writeDownstreamHead(L.OUTPUT_RING, 4096, options(), kept, 0, -1, 1);
    expect(core.text(L.OUTPUT_RING, length)).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-length: 0\r\nx-level: route\r\ndate: [^\r]+\r\n\r\n$/,
    );
  });
});
