// gRPC-Web through the proxy: what its conformance case and the comparison with Envoy do not reach.

import type { IncomingHttpHeaders } from 'node:http2';
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
import { bodyOf, http2Client, startHttp2Upstream } from '../../testing/http2-peers.js';
import { ACCESS_LOG, startOneCluster } from '../../testing/one-cluster.js';
import { requestLog, startProxy } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.filters.http.${name}` });
const FILTERS = {
  http_filters: [
    { name: 'web', typed_config: type('grpc_web.v3.GrpcWeb') },
    { name: 'router', typed_config: type('router.v3.Router') },
  ],
};

/** Its upstream echoes the body as one message with trailers, `times` times. */
async function setUp(times = 1) {
  let calls = 0;
  const upstream = await startHttp2Upstream(async (stream, headers) => {
    calls++;
    const body = await bodyOf(stream).catch(() => null); // null: the call was given up
    if (body === null) return;
    if (headers[':path'] === '/plain') {
      stream.respond({ ':status': 500, 'content-type': 'text/plain' });
      stream.end('x'.repeat(40_000));
      return;
    }
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'x-type': headers['content-type'] },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    for (let index = 0; index < times; index++) stream.write(body);
    stream.end();
  });
  const { requests, options } = requestLog();
  const hcm = connectionManager(anyHost(toCluster('c')), {
    ...FILTERS,
    ...ACCESS_LOG,
    http_protocol_options: { accept_http_10: true },
  });
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [hcm] }])],
    [cluster('c', [endpointOf(upstream.port)], HTTP_2)],
  );
  return { proxy: await startProxy(config, options), log: requests, upstreamCalls: () => calls };
}

const TRAILERS = '\x80\0\0\0\x0fgrpc-status:0\r\n';
const text = (bytes: string) => Buffer.from(bytes, 'latin1').toString('base64');

describe('a call of gRPC-Web', () => {
  it('comes in pieces, with chunks in the middle of its base64', async () => {
    const { proxy } = await setUp();
    const client = await proxy.client();
    client.send(
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nAAA\r\n',
    );
    client.send('1\r\nA\r\n8;ext=y\r\nAAJoaQ==\r\n0\r\ntrailer: x\r\n\r\n');
    await client.untilText('\r\n0\r\n\r\n');
    expect(client.received).toMatch(/\r\nx-type: application\/grpc\r\n/);
    expect(client.received).toContain('\r\n7\r\n\0\0\0\0\x02hi\r\n');
    expect(client.received).toContain(`\r\n14\r\n${TRAILERS}\r\n`);
    // The connection goes on.
    client.received = '';
    client.send(
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 7\r\n\r\n\0\0\0\0\x02yo',
    );
    await client.untilText('\r\n0\r\n\r\n');
    expect(client.received).toContain('\0\0\0\0\x02yo');
  });

  it('is answered to the end of the connection of HTTP/1.0', async () => {
    const { proxy } = await setUp();
    const client = await proxy.client();
    client.send(
      'POST / HTTP/1.0\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 7\r\n\r\n\0\0\0\0\x02hi',
    );
    await client.untilEnd();
    expect(client.received.split('\r\n\r\n')[1]).toBe(`\0\0\0\0\x02hi${TRAILERS}`);
  });

  it('may be large, by HTTP/2', async () => {
    const { proxy } = await setUp(4);
    const session = http2Client(proxy.port());
    const headers = {
      ':method': 'POST',
      'content-type': 'application/grpc-web-text',
      accept: 'application/grpc-web-text',
    };
    const stream = session.request(headers);
    const body = Buffer.alloc(300_005, 7);
    body[0] = 0;
    body.writeUInt32BE(300_000, 1);
    stream.end(body.toString('base64'));
    const answer = (await bodyOf(stream)).toString('latin1');
    expect(answer).toBe(body.toString('base64').repeat(4) + text(TRAILERS));
  });

  it('is refused where its text is none, before and after its upstream has it', async () => {
    const { proxy, log, upstreamCalls } = await setUp();
    const head = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web-text\r\nContent-Length: ';
    for (const parts of [['AAAA?AA'], ['AAAA', 'A?A=']]) {
      const client = await proxy.client();
      client.send(`${head}${parts.join('').length}\r\n\r\n${parts[0]}`);
      if (parts[1] !== undefined) {
        await eventually(() => upstreamCalls() === 1, 'the upstream has the first part');
        client.send(parts[1]);
      }
      await client.untilText('\r\n\r\n');
      expect(client.received).toMatch(/^HTTP\/1\.1 400 /);
      expect(client.received).toMatch(
        /\r\ngrpc-message: Bad gRPC-web request, invalid base64 data\.\r\ngrpc-status: 13\r\n/,
      );
    }
    expect(log.map(({ responseCodeDetails }) => responseCodeDetails)).toEqual([
      'grpc_base_64_decode_failed_bad_size',
      'grpc_base_64_decode_failed',
    ]);
  });

  it('is told no more of an answer of our own than heads have room for', async () => {
    const message = '%'.repeat(40_000);
    const route = { match: { prefix: '/' }, direct_response: { status: 503, body: { inline_string: message } } };
    const routes = { ...anyHost(route), max_direct_response_body_size_bytes: message.length };
    const proxy = await startProxy(
      dataPlaneConfig([listener('l', [{ filters: [connectionManager(routes, FILTERS)] }])], []),
    );
    const headers = { ':method': 'POST', 'content-type': 'application/grpc-web' };
    const stream = http2Client(proxy.port()).request(headers);
    const head = await new Promise<IncomingHttpHeaders>((resolve, reject) => {
      stream.once('response', resolve).once('error', reject).end();
    });
    expect(head['grpc-message']).toBe('%25'.repeat(16_384));
    expect(proxy.dataPlane.stats.downstreamRqActive).toBe(0);
  });

  it('is told the beginning of what is no answer of gRPC', async () => {
    const { proxy } = await setUp();
    const client = await proxy.client();
    client.send('POST /plain HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\n\r\n');
    await client.untilText('\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1\.1 500 /);
    expect(/\r\ngrpc-message: (x+)\r\n/.exec(client.received)?.[1]).toHaveLength(16_384);
    expect(client.received).toMatch(/\r\ngrpc-status: 2\r\ncontent-length: 0\r\n/);
  });
});

it.each([
  [
    'a WebSocket',
    'websocket',
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n',
    'HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  ['a CONNECT', 'CONNECT', 'CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n', 'HTTP/1.1 200 OK\r\n\r\n'],
])('%s is no call, whatever it says of itself', async (_, upgrade_type, head, agreement) => {
  const match = upgrade_type === 'CONNECT' ? { connect_matcher: {} } : { prefix: '/' };
  const { proxy, upstream } = await startOneCluster({
    routes: [{ match, route: { cluster: 'c' } }],
    hcm: { ...FILTERS, upgrade_configs: [{ upgrade_type }] },
  });
  const client = await proxy.client();
  client.send(`${head}Content-Type: application/grpc-web-text\r\n\r\n`);
  const server = await upstream.next();
  expect((await server.message()).head).toMatch(/\r\ncontent-type: application\/grpc-web-text\r\n/i);
  server.send(`${agreement}no base64, and no frame`);
  await client.untilText('no base64, and no frame');
  client.send('nor is this?');
  await server.untilText('nor is this?');
});
