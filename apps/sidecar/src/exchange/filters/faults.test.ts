// Faults on purpose, on the wire: what is held back, what never leaves, and what becomes of it when things change meanwhile.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';
import {
  Cleanups,
  runSidecar,
  startUpstream as startNamedUpstream,
  temporaryDirectory,
} from '../../testing/sidecar-process.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

const HTTP_FAULT = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const FILTER = { name: 'fault', typed_config: { '@type': HTTP_FAULT } };
const ALWAYS = { numerator: 100 };
const DELAY_MS = 300;
const delay = (ms = DELAY_MS) => ({ delay: { fixed_delay: `${ms / 1000}s`, percentage: ALWAYS } });
const abort = (status: number) => ({ abort: { http_status: status, percentage: ALWAYS } });
const withFault = (route: object, fault: object) => ({
  ...route,
  typed_per_filter_config: { fault: { '@type': HTTP_FAULT, ...fault } },
});

const LOCAL = { match: { prefix: '/local' }, direct_response: { status: 200, body: { inline_string: 'first' } } };

function config(upstreamPort: number, ...routes: readonly Record<string, unknown>[]) {
  const chain = { filters: [connectionManager(anyHost(...routes), ACCESS_LOG, [FILTER])] };
  return dataPlaneConfig([listener('l', [chain])], [cluster('app', [endpointOf(upstreamPort)])]);
}

async function setUp(...routes: readonly Record<string, unknown>[]) {
  const upstream = await startUpstream();
  const log = requestLog();
  const proxy = await startProxy(config(upstream.port, ...routes), log.options);
  return { upstream, proxy, log: log.requests };
}

describe('a delay', () => {
  it('holds a request back, with all of its body, and says DI', async () => {
    const { proxy, upstream, log } = await setUp(withFault(toCluster('app'), delay()));
    const client = await proxy.client();
    for (const path of ['/one', '/two']) {
      const before = performance.now();
      client.send(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello`);
      client.send('world');
      const server = upstream.connections[0] ?? (await upstream.next());
      const request = await server.message();
      expect(performance.now() - before).toBeGreaterThanOrEqual(DELAY_MS - 1);
      expect(request.head).toMatch(new RegExp(`^POST ${path} `));
      expect(request.body).toBe('helloworld');
      server.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      expect((await client.message()).body).toBe('ok');
    }
    expect(
      log.map(({ responseCode, responseFlags, bytesReceived }) => [responseCode, responseFlags, bytesReceived]),
    ).toEqual([
      [200, 'DI', 10],
      [200, 'DI', 10],
    ]);
  });

  it('takes a large body only once it is over', async () => {
    const { proxy, upstream } = await setUp(withFault(toCluster('app'), delay()));
    const client = await proxy.client();
    const body = 'x'.repeat(3_000_000);
    client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const server = await upstream.next();
    const request = await server.message();
    expect(request.body.length).toBe(body.length);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 200 /);
  });

  it('ends with the client, and nothing is sent', async () => {
    const { proxy, upstream, log } = await setUp(
      withFault(toCluster('app', {}, '/gone'), delay(60_000)),
      toCluster('app'),
    );
    const client = await proxy.client();
    client.send('GET /gone HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => proxy.dataPlane.stats.downstreamRqActive === 1, 'the request is held back');
    client.socket.destroy();
    await eventually(() => log.length === 1, 'the request is logged');
    expect(log[0]).toMatchObject({ responseCode: 0, responseFlags: 'DI,DC' });
    expect(upstream.connections).toHaveLength(0);
  });

  it('does not change the endpoint that its hash chooses, whatever is forwarded meanwhile', async () => {
    const ports = await Promise.all(['a', 'b', 'c', 'd'].map((name) => startNamedUpstream(cleanups, name)));
    const hashed = toCluster('app', { hash_policy: [{ header: { header_name: 'user' } }] });
    const held = withFault({ ...hashed, match: { prefix: '/held' } }, delay());
    const chain = { filters: [connectionManager(anyHost(held, hashed), {}, [FILTER])] };
    const endpoints = ports.map((port) => endpointOf(port));
    const proxy = await startProxy(
      dataPlaneConfig([listener('l', [chain])], [cluster('app', endpoints, { lb_policy: 'MAGLEV' })]),
    );
    const request = (path: string, user: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\nuser: ${user}\r\n\r\n`;
    const users = ['ann', 'ben', 'cy', 'di', 'ed', 'flo'];
    const clients = await Promise.all(users.map(() => proxy.client()));
    for (const [index, client] of clients.entries()) client.send(request('/held', users[index]!));
    await eventually(() => proxy.dataPlane.stats.downstreamRqActive === users.length, 'all are held back');
    const other = await proxy.client();
    const expected: string[] = [];
    for (const user of users) {
      other.send(request('/', user));
      expected.push((await other.message()).body.replace(' /', ' /held'));
    }
    expect(new Set(expected).size).toBeGreaterThan(1);
    const reached = await Promise.all(clients.map(async (client) => (await client.message()).body));
    expect(reached).toEqual(expected);
  });

  it('does not change what was decided, when the configuration changes meanwhile', async () => {
    const { proxy, upstream } = await setUp(
      withFault(LOCAL, delay()),
      withFault({ match: { prefix: '/broken' }, route: { cluster: 'app' } }, { ...delay(), ...abort(418) }),
    );
    const [local, broken] = [await proxy.client(), await proxy.client()];
    local.send('GET /local HTTP/1.1\r\nHost: x\r\n\r\n');
    broken.send('GET /broken HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => proxy.dataPlane.stats.downstreamRqActive === 2, 'both are held back');
    const second = { ...LOCAL, direct_response: { status: 201, body: { inline_string: 'second' } } };
    for (let round = 0; round < 3; round++) {
      await proxy.dataPlane.apply(config(upstream.port, second, toCluster(`other-${round}`)));
    }
    expect(await local.message()).toMatchObject({ head: expect.stringMatching(/^HTTP\/1.1 200 /), body: 'first' });
    expect(await broken.message()).toMatchObject({
      head: expect.stringMatching(/^HTTP\/1.1 418 /),
      body: 'fault filter abort',
    });
  });
});

describe('an abort', () => {
  it('answers at once with FI, and nothing is sent', async () => {
    const { proxy, upstream, log } = await setUp(
      withFault(toCluster('app', {}, '/broken'), abort(503)),
      toCluster('app'),
    );
    const client = await proxy.client();
    for (let round = 0; round < 2; round++) {
      client.send('GET /broken HTTP/1.1\r\nHost: x\r\n\r\n');
      const { head, body } = await client.message();
      expect(head).toMatch(/^HTTP\/1.1 503 Service Unavailable\r\n/);
      expect(body).toBe('fault filter abort');
    }
    expect(upstream.connections).toHaveLength(0);
    expect(log.map(({ responseFlags, responseCodeDetails }) => [responseFlags, responseCodeDetails])).toEqual([
      ['FI', 'fault_filter_abort'],
      ['FI', 'fault_filter_abort'],
    ]);
    // The connection serves other requests as before.
    client.send('GET /fine HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('what is refused', () => {
  it('is named by its place in the file', async () => {
    const file = join(temporaryDirectory(cleanups), 'bootstrap.yaml');
    const bootstrap = (fault: string, filters = '') => `
static_resources:
  listeners:
    - name: web
      address: {socket_address: {address: 127.0.0.1, port_value: 0}}
      filter_chains:
        - filters:
            - name: hcm
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: web
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {prefix: /}
                          direct_response: {status: 200}
                          typed_per_filter_config: {fault: {"@type": ${HTTP_FAULT}, ${fault}}}
                http_filters:
                  - {name: fault, typed_config: {"@type": ${HTTP_FAULT}}}
                  ${filters}
                  - name: router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`;
    const refusal = async (...parts: Parameters<typeof bootstrap>) => {
      writeFileSync(file, bootstrap(...parts));
      const { code, stderr } = await runSidecar(['--config-path', file, '--mode', 'validate']);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await refusal('abort: {header_abort: {}, percentage: {numerator: 100}}')).toMatch(
      /bootstrap\.yaml:\d+:\d+ .*header_abort: field is not supported: a client must not choose faults/,
    );
    expect(await refusal('delay: {fixed_delay: 0s}')).toMatch(/fixed_delay:? must be greater than 0/);
    const again = `- {name: again, typed_config: {"@type": ${HTTP_FAULT}}}`;
    expect(await refusal('abort: {http_status: 500}', again)).toMatch(/a chain can have one fault filter/);
  });
});
