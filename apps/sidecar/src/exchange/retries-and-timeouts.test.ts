// Retries, circuit breakers and timeouts, each seen from the wire.

import { describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
async function start(ports: readonly number[], route: object = {}, clusterExtra: object = {}, hcm: object = {}) {
  const { requests, options } = requestLog();
  const config = dataPlaneConfig(
    [
      listener('l', [
        {
          filters: [
            connectionManager(anyHost(toCluster('c', route as Record<string, unknown>)), { ...ACCESS_LOG, ...hcm }),
          ],
        },
      ]),
    ],
    [
      cluster(
        'c',
        ports.map((port) => endpointOf(port)),
        clusterExtra as Record<string, unknown>,
      ),
    ],
  );
  return { proxy: await startProxy(config, options), log: requests };
}

describe('retries', () => {
  it('tries another endpoint after a failed connect', async () => {
    const [gone, there] = [await startUpstream(), await startUpstream()];
    await gone.stop();
    const { proxy, log } = await start([gone.port, there.port], {
      retry_policy: {
        retry_on: 'connect-failure',
        num_retries: 2,
        retry_host_predicate: [
          {
            name: 'envoy.retry_host_predicates.previous_hosts',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate',
            },
          },
        ],
        host_selection_retry_max_attempts: 5,
      },
    });
    const client = await proxy.client();
    let server: Awaited<ReturnType<typeof there.next>> | undefined;
    for (let round = 0; round < 6; round++) {
      client.send(GET);
      server ??= await there.next();
      await server.message();
      server.send(OK);
      expect((await client.message()).body).toBe('ok');
    }
    expect(log.every(({ responseCode, responseFlags }) => responseCode === 200 && responseFlags === '-')).toBe(true);
    expect(proxy.dataPlane.stats.upstreamRqRetry).toBeGreaterThan(0);
  });

  it('sends what may be done twice again where a used connection closes without a byte, and nothing else', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start([upstream.port], {
      retry_policy: { retry_on: 'reset-before-request', num_retries: 2 },
    });
    const client = await proxy.client();
    client.send(GET);
    const first = await upstream.next();
    await first.message();
    first.send(OK);
    await client.message();
    client.send('PUT /kept HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody');
    await first.message();
    (first.socket as import('node:net').Socket).resetAndDestroy();
    const second = await upstream.next();
    const retried = await second.message();
    expect(retried.head).toMatch(/^PUT \/kept /);
    expect(retried.body).toBe('body');
    second.send(OK);
    expect((await client.message()).body).toBe('ok');
    // A POST may have been handled by the server that now is gone.
    client.send('POST /once HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody');
    await second.message();
    (second.socket as import('node:net').Socket).resetAndDestroy();
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 503 /);
    // A fresh connection that closes after it got the request may have handled it: no retry under this policy.
    client.send(GET);
    const third = await upstream.next();
    await third.message();
    third.socket.destroy();
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 503 /);
    expect(log.map(({ responseFlags }) => responseFlags)).toEqual(['-', '-', 'UC', 'UC']);
  });

  it('tries again on a status that the policy names', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start([upstream.port], {
      retry_policy: { retry_on: 'retriable-status-codes', retriable_status_codes: [503], num_retries: 1 },
    });
    const client = await proxy.client();
    client.send(GET);
    const first = await upstream.next();
    await first.message();
    first.send('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy');
    const second = await upstream.next();
    await second.message();
    second.send('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy');
    const { head, body } = await client.message();
    expect(head).toMatch(/^HTTP\/1.1 503 /);
    expect(body).toBe('busy');
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({ responseFlags: 'URX', responseCodeDetails: 'via_upstream' });
  });

  it('says URX where the last retry failed too', async () => {
    const gone = await startUpstream();
    await gone.stop();
    const { proxy, log } = await start([gone.port], { retry_policy: { retry_on: 'connect-failure', num_retries: 2 } });
    const client = await proxy.client();
    client.send(GET);
    expect((await client.message()).body).toMatch(/retried and the latest reset reason: remote connection failure/);
    expect(log[0]).toMatchObject({ responseCode: 503, responseFlags: 'URX,UF' });
    expect(proxy.dataPlane.stats.upstreamRqRetry).toBe(2);
  });
});

describe('limits', () => {
  it('queues beyond max_connections and overflows beyond max_pending_requests', async () => {
    const upstream = await startUpstream();
    const thresholds = [{ max_connections: 1, max_pending_requests: 1 }];
    const { proxy, log } = await start([upstream.port], {}, { circuit_breakers: { thresholds } });
    const [one, two, three] = [await proxy.client(), await proxy.client(), await proxy.client()];
    one.send(GET);
    const server = await upstream.next();
    await server.message();
    two.send(GET);
    await eventually(() => proxy.dataPlane.clusters()[0]?.rqPending === 1, 'the second request waits');
    three.send(GET);
    const overflow = await three.message();
    expect(overflow.head).toMatch(/^HTTP\/1.1 503 /);
    expect(overflow.body).toMatch(/reset reason: overflow/);
    server.send(OK);
    expect((await one.message()).body).toBe('ok');
    await server.message();
    server.send(OK);
    expect((await two.message()).body).toBe('ok');
    expect(upstream.connections).toHaveLength(1);
    expect(log.map(({ responseFlags }) => responseFlags)).toEqual(['UO', '-', '-']);
  });

  it('forgets a waiting request whose client leaves', async () => {
    const upstream = await startUpstream();
    const thresholds = [{ max_connections: 1, max_pending_requests: 5 }];
    const { proxy } = await start([upstream.port], {}, { circuit_breakers: { thresholds } });
    const [one, two] = [await proxy.client(), await proxy.client()];
    one.send(GET);
    const server = await upstream.next();
    await server.message();
    two.send(GET);
    await eventually(() => proxy.dataPlane.clusters()[0]?.rqPending === 1, 'the second request waits');
    two.socket.destroy();
    await eventually(() => proxy.dataPlane.clusters()[0]?.rqPending === 0, 'it is forgotten');
    server.send(OK);
    expect((await one.message()).body).toBe('ok');
  });
});

describe('timeouts', () => {
  it('answers 504 UT at the route timeout', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start([upstream.port], { timeout: '0.1s' });
    const client = await proxy.client();
    client.send(GET);
    const server = await upstream.next();
    await server.message();
    const answer = await client.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 504 /);
    expect(answer.body).toBe('upstream request timeout');
    await server.untilEnd();
    expect(log[0]).toMatchObject({ responseFlags: 'UT', responseCodeDetails: 'response_timeout' });
    client.send(GET);
    const next = await upstream.next();
    await next.message();
    next.send(OK);
    expect((await client.message()).body).toBe('ok');
  });

  it('cuts a response that does not end in time', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start([upstream.port], { timeout: '0.2s' });
    const client = await proxy.client();
    client.send(GET);
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
    await client.untilText('part');
    await client.untilEnd();
    expect(log[0]).toMatchObject({ responseCode: 200, responseFlags: 'UT' });
  });

  it('answers 503 UF where a connect takes too long', async () => {
    // An address of the documentation block: packets go nowhere, or the network says so at once; both are UF.
    const { requests, options } = requestLog();
    const config = dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')), ACCESS_LOG)] }])],
      [cluster('c', [endpointOf(9, {}, '192.0.2.1')], { connect_timeout: '0.1s' })],
    );
    const proxy = await startProxy(config, options);
    const client = await proxy.client();
    client.send(GET);
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 503 /);
    expect(requests[0]).toMatchObject({ responseFlags: 'UF' });
  });

  it('ends an exchange in which nothing moves, and a connection without requests', async () => {
    const upstream = await startUpstream();
    const { proxy, log } = await start(
      [upstream.port],
      {},
      {},
      {
        stream_idle_timeout: '0.15s',
        common_http_protocol_options: { idle_timeout: '0.15s' },
      },
    );
    const stuck = await proxy.client();
    stuck.send(GET);
    await (await upstream.next()).message();
    await stuck.untilText('stream timeout');
    const idle = await proxy.client();
    await idle.untilEnd();
    expect(log[0]).toMatchObject({ responseFlags: 'SI' });
  });

  it('limits how long a head and a body may take to come', async () => {
    const upstream = await startUpstream();
    const hcm = { request_headers_timeout: '0.1s', request_timeout: '0.1s' };
    const { proxy, log } = await start([upstream.port], {}, {}, hcm);
    const head = await proxy.client();
    head.send('GET / HTTP/1.1\r\nHost');
    await head.untilEnd();
    expect(head.received).toMatch(/^HTTP\/1.1 408 [\s\S]*request header timeout$/);
    const body = await proxy.client();
    body.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\npart');
    await body.untilEnd();
    expect(body.received).toMatch(/^HTTP\/1.1 408 [\s\S]*request timeout$/);
    expect(log.map(({ responseCodeDetails }) => responseCodeDetails)).toEqual([
      'request_header_timeout',
      'request_overall_timeout',
    ]);
  });

  it('limits the idle time and the duration of an exchange by its route, and the age of a connection', async () => {
    const upstream = await startUpstream();
    const quiet = await start([upstream.port], { idle_timeout: '0.1s' });
    const client = await quiet.proxy.client();
    client.send(GET);
    const server = await upstream.next();
    await server.message();
    expect((await client.message()).body).toBe('stream timeout');
    expect(quiet.log[0]).toMatchObject({ responseCode: 504, responseFlags: 'SI' });
    const short = await start([upstream.port], { max_stream_duration: { max_stream_duration: '0.1s' } });
    const second = await short.proxy.client();
    second.send(GET);
    expect((await second.message()).body).toBe('downstream duration timeout');
    const aging = await start(
      [upstream.port],
      {},
      {},
      {
        common_http_protocol_options: { max_connection_duration: '0.1s' },
      },
    );
    await (await aging.proxy.client()).untilEnd();
  });
});
