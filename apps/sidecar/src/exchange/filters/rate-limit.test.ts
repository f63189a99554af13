// Local rate limits from a bootstrap file to the answer: whose bucket is charged, what a refusal is, and what is counted.

import { writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { anyHost, connectionManager, dataPlaneConfig, listener } from '../../testing/envoy-config.js';
import { startProxy } from '../../testing/proxy-fixture.js';
import {
  Cleanups,
  fetchText,
  runSidecar,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
} from '../../testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const EXTENSIONS = 'type.googleapis.com/envoy.extensions';
const LIMIT = `"@type": ${EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit`;
const ON = 'filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}';
/** No token comes back while a test runs. */
const bucket = (tokens: number) => `token_bucket: {max_tokens: ${tokens}, fill_interval: 3600s}`;

function bootstrap(upstreamPort: number): string {
  return `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
    - name: web
      address: {socket_address: {address: 127.0.0.1, port_value: 0}}
      filter_chains:
        - filters:
            - name: hcm
              typed_config:
                "@type": ${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: web
                access_log:
                  - name: out
                    typed_config:
                      "@type": ${EXTENSIONS}.access_loggers.stream.v3.StdoutAccessLog
                      log_format: {text_format: "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n"}
                route_config:
                  virtual_hosts:
                    - name: limited
                      domains: [limited]
                      typed_per_filter_config:
                        limit: {${LIMIT}, stat_prefix: host, ${bucket(2)}, ${ON}}
                      routes:
                        - match: {prefix: /own}
                          route: {cluster: app}
                          typed_per_filter_config:
                            limit: {${LIMIT}, stat_prefix: own, ${bucket(1)}, ${ON}, status: {code: ServiceUnavailable},
                              response_headers_to_add: [{header: {key: x-limited, value: "yes"}}]}
                        - match: {prefix: /free}
                          route: {cluster: app}
                          typed_per_filter_config:
                            limit: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
                        - match: {prefix: /connection}
                          route: {cluster: app}
                          typed_per_filter_config:
                            limit: {${LIMIT}, stat_prefix: connection, ${bucket(1)}, ${ON},
                              local_rate_limit_per_downstream_connection: true}
                        - match: {prefix: /}
                          route: {cluster: app}
                http_filters:
                  - name: limit
                    typed_config: {${LIMIT}, stat_prefix: listener, ${bucket(1)}, ${ON}}
                  - name: router
                    typed_config: {"@type": ${EXTENSIONS}.filters.http.router.v3.Router}
  clusters:
    - name: app
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: app
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${upstreamPort}}}}}]}]
`;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly limited: unknown;
}

function ask(port: number, path: string, host: string, agent?: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: agent ?? false, headers: { host } }, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body, limited: response.headers['x-limited'] }),
      );
    }).on('error', reject);
  });
}

it('limits by listener, virtual host, route and connection, and says so everywhere', async () => {
  const directory = temporaryDirectory(cleanups);
  const file = join(directory, 'bootstrap.yaml');
  writeFileSync(file, bootstrap(await startUpstream(cleanups, 'app')));
  const sidecar = await startSidecarProcess(cleanups, ['--config-path', file]);
  const port = await sidecar.port('web');
  const statuses = async (path: string, host: string, count: number, agent?: Agent) => {
    const found: number[] = [];
    for (let i = 0; i < count; i++) found.push((await ask(port, path, host, agent)).status);
    return found;
  };
  // A request without a virtual host meets the filter's own limit before there is no route for it.
  expect(await statuses('/', 'unknown', 2)).toEqual([404, 429]);
  expect(await statuses('/', 'limited', 3)).toEqual([200, 200, 429]);
  expect(await statuses('/free', 'limited', 4)).toEqual([200, 200, 200, 200]);
  expect(await ask(port, '/own', 'limited')).toEqual({ status: 200, body: 'app /own', limited: undefined });
  expect(await ask(port, '/own', 'limited')).toEqual({ status: 503, body: 'local_rate_limited', limited: 'yes' });
  for (const agent of [new Agent({ keepAlive: true }), new Agent({ keepAlive: true })]) {
    cleanups.add(() => agent.destroy());
    expect(await statuses('/connection', 'limited', 3, agent)).toEqual([200, 429, 429]);
  }
  await vi.waitFor(() => expect(sidecar.stdout()).toContain('/own 503 RL local_rate_limited\n'), {
    timeout: 15_000,
    interval: 50,
  });
  const metrics = (await fetchText(`http://${sidecar.admin}/stats/prometheus`)).body;
  const counted = (name: string, prefix: string) =>
    metrics.match(new RegExp(`envoy_http_local_rate_limit_${name}{[^}]*="${prefix}"} (\\d+)`))?.[1];
  expect(['enabled', 'ok', 'rate_limited', 'enforced'].map((name) => counted(name, 'host'))).toEqual([
    '3',
    '2',
    '1',
    '1',
  ]);
  expect(['enabled', 'ok', 'rate_limited', 'enforced'].map((name) => counted(name, 'connection'))).toEqual([
    '6',
    '2',
    '4',
    '4',
  ]);
});

it('gives nobody a full bucket because the configuration changed', async () => {
  const limit = (prefix: string, tokens: number) => ({
    '@type': `${EXTENSIONS}.filters.http.local_ratelimit.v3.LocalRateLimit`,
    stat_prefix: prefix,
    token_bucket: { max_tokens: tokens, fill_interval: '3600s' },
    filter_enabled: { default_value: { numerator: 100 } },
    filter_enforced: { default_value: { numerator: 100 } },
  });
  const config = (idle: string) => {
    const route = { match: { prefix: '/own' }, direct_response: { status: 200 } };
    const routes = anyHost(
      { ...route, typed_per_filter_config: { limit: limit('route', 1) } },
      { ...route, match: { prefix: '/' } },
    );
    const filters = [{ name: 'limit', typed_config: limit('listener', 1) }];
    return dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(routes, { stream_idle_timeout: idle }, filters)] }])],
      [],
    );
  };
  const proxy = await startProxy(config('10s'));
  const statuses = async () => {
    const found: number[] = [];
    for (const path of ['/own', '/']) found.push((await ask(proxy.port(), path, 'x')).status);
    return found;
  };
  expect(await statuses()).toEqual([200, 200]);
  await proxy.dataPlane.apply(config('20s'));
  expect(await statuses()).toEqual([429, 429]);
});

it('refuses what it does not do, by the place in the file', async () => {
  const file = join(temporaryDirectory(cleanups), 'bootstrap.yaml');
  writeFileSync(
    file,
    bootstrap(1)
      .replace('stat_prefix: host', 'stat_prefix: host, descriptors: [{}]')
      .replace(`stat_prefix: own, ${bucket(1)}`, 'stat_prefix: own'),
  );
  const { code, stderr } = await runSidecar(['--config-path', file, '--mode', 'validate']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/bootstrap\.yaml:\d+:\d+ .*descriptors: field is not supported: descriptors are not/);
  writeFileSync(file, bootstrap(1).replace(`stat_prefix: own, ${bucket(1)}`, 'stat_prefix: own'));
  const missing = await runSidecar(['--config-path', file, '--mode', 'validate']);
  expect(missing.stderr).toMatch(
    /bootstrap\.yaml:2\d:\d+ .*virtual_hosts\[0\]\.routes\[0\]\.typed_per_filter_config.*token_bucket:? is required here/,
  );
});
