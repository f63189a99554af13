// Copies of requests, on the wire: what they say, and that neither they nor their answers are ever felt by the request.

import { describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { type ProxyFixture, startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import { eventually, type RawConnection, type RawUpstream } from '../../testing/raw-peers.js';

type Json = Record<string, unknown>;

const FAULT_TYPE = 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault';
const FAULT = { name: 'fault', typed_config: { '@type': FAULT_TYPE } };
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const MIRROR = [{ cluster: 'copies' }];
const GET = 'GET /a HTTP/1.1\r\nHost: web.test:80\r\n\r\n';

function config(upstream: RawUpstream, copies: number, routes: readonly Json[], copiesExtra: Json = {}) {
  const chain = { filters: [connectionManager(anyHost(...routes), {}, [FAULT])] };
  const clusters = [cluster('app', [endpointOf(upstream.port)]), cluster('copies', [endpointOf(copies)], copiesExtra)];
  return dataPlaneConfig([listener('l', [chain])], clusters);
}

async function setUp(route: Json = {}, extra: Json = {}, copiesExtra: Json = {}) {
  const [upstream, copies] = [await startUpstream(), await startUpstream()];
  const routes = [{ ...toCluster('app', { request_mirror_policies: MIRROR, ...route }), ...extra }];
  const proxy = await startProxy(config(upstream, copies.port, routes, copiesExtra));
  return { upstream, copies, proxy };
}

const active = ({ dataPlane }: ProxyFixture) =>
  dataPlane
    .clusters()
    .flatMap(({ endpoints }) => [...endpoints])
    .reduce((sum, { rqActive }) => sum + rqActive, 0);

/** Sends a request and answers it, from the one upstream connection. */
async function exchange(
  client: RawConnection,
  server: RawConnection | RawUpstream,
  text = GET,
): Promise<RawConnection> {
  client.send(text);
  const connection = 'next' in server ? await server.next() : server;
  await connection.message();
  connection.send(OK);
  expect((await client.message()).body).toBe('ok');
  return connection;
}

describe('a mirror', () => {
  it('gets the request as it went out, with the host of a shadow, and nobody sees its answer', async () => {
    const { upstream, copies, proxy } = await setUp(
      { prefix_rewrite: '/new/' },
      { request_headers_to_add: [{ header: { key: 'x-route', value: '1' } }] },
    );
    const client = await proxy.client();
    const body = 'Content-Length: 10\r\n\r\nhello';
    client.send(`POST /a HTTP/1.1\r\nHost: web.test:80\r\nX-Own: 2\r\n${body}`);
    const [server, copy] = [await upstream.next(), await copies.next()];
    client.send('world');
    const [request, shadow] = [await server.message(), await copy.message()];
    expect(request.body).toBe('helloworld');
    expect(request.head).toMatch(/^POST \/new\/a HTTP\/1.1\r\n/);
    expect(shadow.body).toBe('helloworld');
    expect(shadow.head).toBe(request.head.replace('Host: web.test:80', 'Host: web.test-shadow:80'));
    copy.send('HTTP/1.1 500 Internal Server Error\r\nX-Copy: 1\r\nContent-Length: 5\r\n\r\nwrong');
    server.send(OK);
    const answer = await client.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(answer.head).not.toMatch(/x-copy/i);
    // Both connections serve the next one.
    client.send('POST /b HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
    expect((await server.message()).body).toBe('3\r\nabc\r\n0\r\n\r\n');
    const second = await copy.message();
    expect(second.head).toContain('Host: web.test-shadow\r\n');
    expect(second.body).toBe('3\r\nabc\r\n0\r\n\r\n');
    server.send(OK);
    await client.message();
    expect(client.received).toBe('');
  });

  it('that is late is not waited for, and its time is the route’s', async () => {
    const { upstream, copies, proxy } = await setUp({ timeout: '1s' });
    const client = await proxy.client();
    const server = await exchange(client, upstream);
    const copy = await copies.next();
    await copy.message();
    await exchange(client, server);
    await copy.untilEnd();
    await eventually(() => active(proxy) === 0, 'the copies have ended');
  });

  it('that takes nothing is given up, and a large upload goes on', async () => {
    const { upstream, copies, proxy } = await setUp();
    const client = await proxy.client();
    const body = 'x'.repeat(20_000_000);
    client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`);
    const copy = await copies.next();
    copy.socket.pause();
    client.send(body);
    const server = await upstream.next();
    await server.until(({ received }) => received.length > body.length, 'the whole upload');
    server.received = '';
    server.send(OK);
    await client.message();
    await eventually(() => active(proxy) === 0, 'the copy has ended');
    copy.socket.resume();
    await copy.untilEnd();
    expect(copy.received.length).toBeLessThan(body.length);
    // The next one gets its copy.
    await exchange(client, server);
    expect((await (await copies.next()).message()).head).toContain('-shadow');
  });

  it('of a request whose client leaves before its end ends with it, and any other does not', async () => {
    const { upstream, copies, proxy } = await setUp();
    const leaving = await proxy.client();
    leaving.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello');
    const copy = await copies.next();
    await copy.untilText('hello');
    leaving.socket.destroy();
    await copy.untilEnd();
    const complete = await proxy.client();
    complete.send(GET);
    const second = await copies.next();
    await second.message();
    complete.socket.destroy();
    await eventually(() => proxy.dataPlane.stats.downstreamRqActive === 0, 'the request has ended');
    second.send(OK);
    await eventually(() => active(proxy) === 0, 'the copy has ended');
    expect(second.ended).toBe(false);
    expect(upstream.connections.length).toBeGreaterThan(0);
  });

  it('gets its share of the requests', async () => {
    const policies = (numerator: number) => [{ cluster: 'copies', runtime_fraction: { default_value: { numerator } } }];
    const [upstream, copies] = [await startUpstream(), await startUpstream()];
    const never = toCluster('app', { request_mirror_policies: policies(0) }, '/never');
    const half = toCluster('app', { request_mirror_policies: policies(50) }, '/half');
    const proxy = await startProxy(config(upstream, copies.port, [never, half]));
    const client = await proxy.client();
    const server = await exchange(client, upstream, GET.replace('/a', '/half'));
    const totals = () => proxy.dataPlane.clusters().find(({ name }) => name === 'copies')!.endpoints[0]!.rqTotal;
    for (let round = 1; round < 200; round++) await exchange(client, server, GET.replace('/a', '/half'));
    const after = copies.connections.length;
    expect(after).toBeGreaterThan(60);
    expect(after).toBeLessThan(140);
    expect(totals()).toBe(after);
    for (let round = 0; round < 50; round++) await exchange(client, server, GET.replace('/a', '/never'));
    expect(totals()).toBe(after);
  });

  it('is left out where its cluster takes no more requests, is not there, or nobody listens', async () => {
    const limits = { circuit_breakers: { thresholds: [{ max_requests: 1 }] } };
    const { upstream, copies, proxy } = await setUp({}, {}, limits);
    const client = await proxy.client();
    const server = await exchange(client, upstream);
    const copy = await copies.next();
    await exchange(client, server);
    await copy.message();
    expect(copies.connections).toHaveLength(1);
    expect(copy.received).toBe('');
    copy.send(OK);
    await eventually(() => active(proxy) === 0, 'the copy has ended');
    await exchange(client, server);
    await copy.message();

    const dead = await startUpstream();
    await dead.stop();
    const gone = toCluster('app', { request_mirror_policies: [{ cluster: 'absent' }, { cluster: 'copies' }] });
    const other = await startProxy(config(upstream, dead.port, [gone]));
    await exchange(await other.client(), upstream);
    await eventually(() => active(other) === 0, 'the copy has failed');
  });

  it('gets one copy of what is tried again, and of what is held back the whole', async () => {
    const retry = { retry_policy: { retry_on: '5xx', num_retries: 1, retry_back_off: { base_interval: '0.001s' } } };
    const delay = { delay: { fixed_delay: '0.2s', percentage: { numerator: 100 } } };
    const { upstream, copies, proxy } = await setUp(retry, {
      typed_per_filter_config: { fault: { '@type': FAULT_TYPE, ...delay } },
    });
    const client = await proxy.client();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello');
    client.send('world');
    const first = await upstream.next();
    await first.message();
    first.send('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n');
    const second = await upstream.next();
    expect((await second.message()).body).toBe('helloworld');
    second.send(OK);
    expect((await client.message()).body).toBe('ok');
    const copy = await copies.next();
    expect((await copy.message()).body).toBe('helloworld');
    expect(copies.connections).toHaveLength(1);
    expect(copy.received).toBe('');
  });

  it('of a request that was not forwarded gets nothing', async () => {
    const abort = { abort: { http_status: 503, percentage: { numerator: 100 } } };
    const { copies, proxy } = await setUp(
      {},
      {
        typed_per_filter_config: { fault: { '@type': FAULT_TYPE, ...abort } },
      },
    );
    const client = await proxy.client();
    client.send(GET);
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 503 /);
    expect(copies.connections).toHaveLength(0);
  });
});
