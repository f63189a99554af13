// Copies between versions of HTTP: each connection gets the whole copy in its own form, trailers included where there are any.

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
import { answerOf, bodyOf, http2Client, startHttp2Upstream } from '../../testing/http2-peers.js';
import { startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });

/** What an upstream of HTTP/2 saw: authority, body, trailer. */
async function startRecorder(seen: string[]) {
  return startHttp2Upstream(async (stream, headers) => {
    let trailer = '';
    stream.on('trailers', (trailers) => {
      trailer = String(trailers['x-sent'] ?? '');
    });
    // A request that is broken off is not seen.
    const body = await bodyOf(stream).catch(() => undefined);
    if (body === undefined) return;
    seen.push(`${headers[':authority']} ${headers[':path']} ${body.length} ${body.subarray(0, 5)} ${trailer}`);
    stream.respond({ ':status': 200 });
    stream.end('done');
  });
}

async function setUp() {
  const own: string[] = [];
  const copied: string[] = [];
  const [upstream, copies, plain] = [await startRecorder(own), await startRecorder(copied), await startUpstream()];
  const mirrors = { request_mirror_policies: [{ cluster: 'copies' }, { cluster: 'plain' }] };
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c', mirrors)))] }])],
    [
      cluster('c', [endpointOf(upstream.port)], HTTP_2),
      cluster('copies', [endpointOf(copies.port)], HTTP_2),
      cluster('plain', [endpointOf(plain.port)]),
    ],
  );
  return { proxy: await startProxy(config), own, copied, plain };
}

describe('copies of requests', () => {
  it('of HTTP/2 go to either version, with a body of unknown length and its trailers', async () => {
    const { proxy, own, copied, plain } = await setUp();
    const session = http2Client(proxy.port());
    const request = { ':method': 'POST', ':path': '/a', ':authority': 'web.test:80' };
    for (const [round, length] of [10, 300_000].entries()) {
      const stream = session.request(request, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sent': 'yes' }));
      const answer = answerOf(stream);
      stream.write('hello');
      stream.end(Buffer.alloc(length - 5, 'x'));
      expect((await answer).body.toString()).toBe('done');
      await eventually(() => copied.length === round + 1, 'the copy has arrived');
      expect(own[round]).toBe(`web.test:80 /a ${length} hello yes`);
      expect(copied[round]).toBe(`web.test-shadow:80 /a ${length} hello yes`);
    }
    const copy = await plain.next();
    const first = await copy.message();
    expect(first.head).toMatch(/^POST \/a HTTP\/1\.1\r\n/);
    expect(first.head).toMatch(/\r\nhost: web\.test-shadow:80\r\n/i);
    expect(first.head).toMatch(/\r\ntransfer-encoding: chunked\r\n/i);
    expect(first.body.replaceAll(/[0-9a-f]+\r\n|\r\n/g, '')).toMatch(/^hellox+$/);
  });

  it('of HTTP/1.1 go to HTTP/2, and those of requests whose client leaves end too', async () => {
    const { proxy, own, copied, plain } = await setUp();
    const client = await proxy.client();
    client.send('POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n');
    await client.untilText('done');
    await eventually(() => copied.length === 1, 'the copy has arrived');
    expect([own, copied]).toEqual([['x /b 5 hello '], ['x-shadow /b 5 hello ']]);
    const copy = await plain.next();
    await copy.message();
    copy.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    const session = http2Client(proxy.port());
    const stream = session.request({ ':method': 'POST', ':path': '/c', ':authority': 'x' });
    stream.on('error', () => {});
    stream.write('part');
    await copy.untilText('part');
    session.destroy();
    await copy.untilEnd();
    const busy = () => proxy.dataPlane.clusters().flatMap(({ endpoints }) => endpoints.map(({ rqActive }) => rqActive));
    await eventually(() => busy().every((count) => count === 0), 'everything has ended');
    expect(copied).toHaveLength(1);
  });
});
