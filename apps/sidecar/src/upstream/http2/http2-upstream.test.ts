// Upstreams that speak HTTP/2, behind clients of both versions.

import { constants } from 'node:http2';
import { describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import {
  answerOf,
  ask,
  bodyOf,
  type Http2Upstream,
  http2Client,
  startHttp2Upstream,
} from '../../testing/http2-peers.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });

async function setUp(
  upstream: { readonly port: number },
  options: { readonly route?: Record<string, unknown>; readonly cluster?: Record<string, unknown> } = {},
) {
  const { requests, options: logging } = requestLog();
  const hcm = connectionManager(anyHost(toCluster('c', options.route)), ACCESS_LOG);
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [hcm] }])],
    [cluster('c', [endpointOf(upstream.port)], options.cluster ?? HTTP_2)],
  );
  return { proxy: await startProxy(config, logging), log: requests };
}

/** Answers with what it got. */
function echo(): Promise<Http2Upstream> {
  return startHttp2Upstream(async (stream, headers) => {
    const body = await bodyOf(stream);
    stream.respond({ ':status': 200, 'x-path': headers[':path'], 'x-scheme': headers[':scheme'], 'x-te': headers.te });
    stream.end(body);
  });
}

describe('upstreams of HTTP/2', () => {
  it('get requests of HTTP/1.1, and answer them', async () => {
    const upstream = await echo();
    const { proxy } = await setUp(upstream);
    const client = await proxy.client();
    client.send('GET /one HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n');
    await client.untilText('0\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 /);
    expect(client.received).toMatch(/\r\nx-path: \/one\r\n/);
    expect(client.received).toMatch(/\r\nx-scheme: http\r\n/);
    client.received = '';
    client.send('POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello');
    await client.untilText('5\r\nhello\r\n0\r\n\r\n');
    client.received = '';
    client.send(
      'POST /three HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\nt: u\r\n\r\n',
    );
    await client.untilText('4\r\nabcd\r\n0\r\n\r\n');
    expect(upstream.sessions).toBe(1);
  });

  it('serve many requests on one connection, and large bodies both ways', async () => {
    const upstream = await echo();
    const { proxy } = await setUp(upstream);
    const session = http2Client(proxy.port());
    const large = Buffer.alloc(2_000_000, '0123456789abcdef');
    const answers = await Promise.all([
      ...Array.from({ length: 50 }, (_, index) => ask(session, { ':path': `/${index}` })),
      ask(session, { ':path': '/large', ':method': 'POST' }, large),
      ask(session, { ':path': '/counted', ':method': 'POST', 'content-length': String(large.length) }, large),
    ]);
    expect(answers.map(({ headers }) => headers['x-path'])).toEqual([
      ...Array.from({ length: 50 }, (_, index) => `/${index}`),
      '/large',
      '/counted',
    ]);
    expect(answers.slice(-2).every(({ body }) => body.equals(large))).toBe(true);
    expect(upstream.sessions).toBe(1);
  });

  it('are told the end of an empty body as the client told it, since servers of gRPC insist on a DATA frame', async () => {
    const upstream = await startHttp2Upstream((stream) => {
      stream.respond({ ':status': 200, 'x-ended-by': stream.endAfterHeaders ? 'head' : 'data' }, { endStream: true });
    });
    const { proxy } = await setUp(upstream);
    const session = http2Client(proxy.port());
    expect((await ask(session, { ':method': 'POST' })).headers['x-ended-by']).toBe('head');
    expect((await ask(session, { ':method': 'POST' }, '')).headers['x-ended-by']).toBe('data');
  });

  it('exchange trailers with clients of HTTP/2', async () => {
    const upstream = await startHttp2Upstream((stream) => {
      stream.resume();
      stream.on('trailers', (trailers) => {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () =>
          stream.sendTrailers({ 'grpc-status': '0', 'x-got': String(trailers['x-sent']) }),
        );
        stream.end('body');
      });
    });
    const { proxy } = await setUp(upstream);
    const session = http2Client(proxy.port());
    const stream = session.request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sent': 'yes' }));
    const answer = answerOf(stream);
    stream.end('request');
    const { body, trailers } = await answer;
    expect([body.toString(), trailers['x-got'], trailers['grpc-status']]).toEqual(['body', 'yes', '0']);
  });

  it('give early hints to clients of both versions', async () => {
    const upstream = await startHttp2Upstream((stream) => {
      stream.additionalHeaders({ ':status': 103, link: '</style.css>' });
      stream.respond({ ':status': 200 });
      stream.end('late');
    });
    const { proxy } = await setUp(upstream);
    const stream = http2Client(proxy.port()).request({ ':path': '/' });
    const hints = new Promise((resolve) =>
      stream.once('headers', (headers) => resolve([headers[':status'], headers.link])),
    );
    const answer = answerOf(stream);
    expect(await hints).toEqual([103, '</style.css>']);
    expect((await answer).body.toString()).toBe('late');
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await client.untilText('0\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1\.1 103 [\s\S]*link: <\/style.css>[\s\S]*HTTP\/1\.1 200 /);
  });

  it('answer with trailers alone, which are then a head', async () => {
    const upstream = await startHttp2Upstream((stream) => {
      stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true });
    });
    const { proxy } = await setUp(upstream);
    const answer = await ask(http2Client(proxy.port()), { ':path': '/' });
    expect([answer.status, answer.headers['grpc-status'], answer.headers['content-length']]).toEqual([
      200,
      '5',
      undefined,
    ]);
  });

  it('are told when a client cancels', async () => {
    const codes: number[] = [];
    const upstream = await startHttp2Upstream((stream) => {
      stream.respond({ ':status': 200 });
      stream.write('first');
      stream.on('close', () => codes.push(stream.rstCode));
    });
    const { proxy } = await setUp(upstream);
    const stream = http2Client(proxy.port()).request({ ':path': '/' });
    stream.on('error', () => {});
    await new Promise((resolve) => stream.once('data', resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually(() => codes.length === 1, 'the upstream is told');
    expect(codes).toEqual([constants.NGHTTP2_CANCEL]);
  });

  it('get no more streams at a time than they allow', async () => {
    let open = 0;
    let most = 0;
    const upstream = await startHttp2Upstream(
      (stream) => {
        most = Math.max(most, ++open);
        setTimeout(() => {
          open--;
          stream.respond({ ':status': 200 }, { endStream: true });
        }, 5);
      },
      { settings: { maxConcurrentStreams: 3 } },
    );
    const { proxy } = await setUp(upstream, {
      cluster: { ...HTTP_2, circuit_breakers: { thresholds: [{ max_connections: 1 }] } },
    });
    const session = http2Client(proxy.port());
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask(session, { ':path': '/' })));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(most).toBeLessThanOrEqual(3);
    expect(upstream.sessions).toBe(1);
  });

  it('that refuse a stream get it again elsewhere, where the route tries again', async () => {
    let refused = 0;
    const upstream = await startHttp2Upstream((stream) => {
      if (refused++ === 0) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else stream.respond({ ':status': 200 }, { endStream: true });
    });
    const { proxy, log } = await setUp(upstream, {
      route: { retry_policy: { retry_on: 'refused-stream', num_retries: 2 } },
    });
    const session = http2Client(proxy.port());
    expect((await ask(session, { ':path': '/', ':method': 'POST' }, 'once')).status).toBe(200);
    refused = 0;
    const { proxy: strict, log: strictLog } = await setUp(upstream);
    expect((await ask(http2Client(strict.port()), { ':path': '/' })).status).toBe(503);
    await eventually(() => log.length === 1 && strictLog.length === 1, 'both are logged');
    expect(strictLog[0]).toMatchObject({
      responseFlags: 'UR',
      responseCodeDetails: expect.stringContaining('refused'),
    });
  });

  it('that say GOAWAY keep what they have, and get nothing more on that connection', async () => {
    const waiting: (() => void)[] = [];
    const upstream = await startHttp2Upstream((stream, headers) => {
      if (headers[':path'] === '/held') {
        waiting.push(() => stream.respond({ ':status': 200 }, { endStream: true }));
        stream.session?.goaway(constants.NGHTTP2_NO_ERROR, stream.id);
      } else stream.respond({ ':status': 204 }, { endStream: true });
    });
    const { proxy } = await setUp(upstream);
    const session = http2Client(proxy.port());
    const held = ask(session, { ':path': '/held' });
    await eventually(() => waiting.length === 1, 'the request is there');
    const others = await Promise.all([ask(session, { ':path': '/a' }), ask(session, { ':path': '/b' })]);
    expect(others.map(({ status }) => status)).toEqual([204, 204]);
    expect(upstream.sessions).toBe(2);
    waiting[0]?.();
    expect((await held).status).toBe(200);
  });

  it('are asked as often on a connection as max_requests_per_connection says', async () => {
    const upstream = await echo();
    const { proxy } = await setUp(upstream, {
      cluster: httpOptions({
        explicit_http_config: { http2_protocol_options: {} },
        common_http_protocol_options: { max_requests_per_connection: 2 },
      }),
    });
    const session = http2Client(proxy.port());
    for (let index = 0; index < 6; index++) expect((await ask(session, { ':path': '/' })).status).toBe(200);
    expect(upstream.sessions).toBe(3);
  });

  it('speak what the client speaks where the cluster says so', async () => {
    const http2 = await echo();
    const downstream = httpOptions({ use_downstream_protocol_config: { http2_protocol_options: {} } });
    const { proxy } = await setUp(http2, { cluster: downstream });
    expect((await ask(http2Client(proxy.port()), { ':path': '/x' })).headers['x-path']).toBe('/x');
    const http1 = await startUpstream();
    const { proxy: other } = await setUp(http1, { cluster: downstream });
    const client = await other.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await (await http1.next()).message()).head).toMatch(/^GET \/ HTTP\/1\.1/);
  });

  it('that are not there, or break off, give 503 and a reset', async () => {
    const upstream = await startHttp2Upstream((stream) => {
      stream.respond({ ':status': 200 });
      stream.write('part', () => stream.session?.destroy());
    });
    const { proxy, log } = await setUp(upstream);
    const session = http2Client(proxy.port());
    await expect(ask(session, { ':path': '/' })).rejects.toThrow();
    const gone = await startUpstream();
    await gone.stop();
    const { proxy: nowhere } = await setUp(gone);
    expect((await ask(http2Client(nowhere.port()), { ':path': '/' })).status).toBe(503);
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]).toMatchObject({ responseFlags: 'UC' });
  });
});
