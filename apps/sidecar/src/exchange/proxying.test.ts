// Requests and responses of every framing go through unharmed.

import { describe, expect, it } from 'vitest';
import { toCluster } from '../testing/envoy-config.js';
import { startOneCluster as setUp } from '../testing/one-cluster.js';
import { eventually } from '../testing/raw-peers.js';

describe('plain requests', () => {
  it('forwards a GET and its answer, and uses the connections again', async () => {
    const { proxy, upstream, log } = await setUp();
    const client = await proxy.client();
    client.send('GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nX-Stays: 2\r\n\r\n');
    const server = await upstream.next();
    const request = await server.message();
    expect(request.head).toMatch(/^GET \/a HTTP\/1.1\r\n/);
    expect(request.head).toMatch(/\r\nhost: x\r\n/i);
    expect(request.head).toMatch(/\r\nx-stays: 2\r\n/i);
    expect(request.head).not.toMatch(/x-hop|connection/i);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Up: y\r\n\r\nhello');
    const answer = await client.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(answer.head).toMatch(/\r\nx-up: y\r\n/i);
    expect(answer.body).toBe('hello');
    client.send('GET /b HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await server.message()).head).toMatch(/^GET \/b /);
    server.send('HTTP/1.1 204 No Content\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 204 /);
    expect(upstream.connections).toHaveLength(1);
    expect(
      log.map(({ path, responseCode, responseFlags, bytesSent }) => [path, responseCode, responseFlags, bytesSent]),
    ).toEqual([
      ['/a', 200, '-', 5],
      ['/b', 204, '-', 0],
    ]);
  });

  it('takes a head that comes byte by byte', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    for (const byte of 'GET /slow HTTP/1.1\r\nHost: example\r\n\r\n') {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const server = await upstream.next();
    expect((await server.message()).head).toMatch(/^GET \/slow HTTP\/1.1\r\n/);
    for (const byte of 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok') {
      server.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.message()).body).toBe('ok');
  });

  it('answers pipelined requests in order, thousands in one go', async () => {
    const { proxy, upstream } = await setUp({
      routes: [
        { match: { path: '/local' }, direct_response: { status: 200, body: { inline_string: 'local' } } },
        toCluster('c'),
      ],
    });
    const client = await proxy.client();
    client.send(
      'GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /local HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    const server = await upstream.next();
    expect((await server.message()).head).toMatch(/^GET \/1 /);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1');
    expect((await client.message()).body).toBe('1');
    expect((await client.message()).body).toBe('local');
    expect((await server.message()).head).toMatch(/^GET \/2 /);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2');
    expect((await client.message()).body).toBe('2');
    const count = 5000;
    client.send('GET /local HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count));
    await client.until(({ received }) => received.split('\r\n\r\nlocal').length === count + 1, 'all answers');
  });

  it('stops serving a client that does not read its answers, and goes on when it does', async () => {
    const { proxy } = await setUp({
      routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'x'.repeat(1000) } } }],
    });
    const client = await proxy.client();
    client.socket.pause();
    const count = 20_000;
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count));
    const served = (): number => proxy.dataPlane.stats.downstreamRqTotal;
    let before = -1;
    while (before !== served()) {
      before = served();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(before).toBeLessThan(count);
    client.socket.resume();
    await client.until(() => served() === count, 'all requests to be served');
    await client.until(
      ({ received }) => received.length > 1000 * count && received.split('\r\n\r\nxxx').length === count + 1,
      'all answers',
    );
  });

  it('answers HEAD, 204 and 304 without a body and goes on', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n');
    await client.untilText('\r\n\r\n');
    expect(client.received).toMatch(/content-length: 1000/i);
    client.received = '';
    client.send('GET /n HTTP/1.1\r\nHost: x\r\n\r\n');
    await server.message();
    server.send('HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n');
    await client.untilText('\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1.1 304 /);
    expect(upstream.connections).toHaveLength(1);
  });

  it('passes early hints on, and no other interim answer', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: y\r\n\r\n');
    const hints = (await client.message()).head;
    expect(hints).toMatch(/^HTTP\/1.1 103 Early Hints\r\n/);
    expect(hints).toMatch(/\r\nlink: <\/a>\r\n/i);
    expect(hints).not.toMatch(/\r\nx: y/i);
    server.send('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe('bodies', () => {
  it('forwards a chunked request and a chunked answer at any split', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhel');
    const server = await upstream.next();
    client.send('lo\r\n3\r\nabc\r\n0\r');
    client.send('\nTrailer: x\r\n\r\n');
    await server.untilText('0\r\n\r\n');
    const body = server.received.slice(server.received.indexOf('\r\n\r\n') + 4);
    expect(dechunk(body)).toBe('helloabc');
    expect(body).not.toMatch(/ext|Trailer/);
    for (const part of [
      'HTTP/1.1 200 OK\r\nTransfer-Enc',
      'oding: chunked\r\n\r\n4',
      '\r\nwi',
      'ki\r\n0\r\n',
      '\r\n',
    ]) {
      server.send(part);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(dechunk((await client.message()).body)).toBe('wiki');
    client.send('GET /again HTTP/1.1\r\nHost: x\r\n\r\n');
    await server.untilText('GET /again');
    expect(upstream.connections).toHaveLength(1);
  });

  it('gives an HTTP/1.0 client the data alone and closes', async () => {
    const { proxy, upstream } = await setUp({ hcm: { http_protocol_options: { accept_http_10: true } } });
    const client = await proxy.client();
    client.send('GET / HTTP/1.0\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\n\r\n');
    await client.untilEnd();
    expect(client.received).toMatch(/\r\n\r\nwiki$/);
    expect(client.received).not.toMatch(/chunked/i);
  });

  it('forwards an answer that ends with its connection', async () => {
    const { proxy, upstream, log } = await setUp();
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\n\r\nuntil');
    await client.untilText('until');
    server.send(' close');
    server.socket.end();
    await client.untilEnd();
    expect(client.received).toMatch(/until close/);
    expect(log[0]).toMatchObject({ responseCode: 200, responseFlags: '-' });
  });

  it('moves large bodies both ways byte for byte, with slow readers', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    const upload = randomText(8 * 1024 * 1024, 1);
    client.send(`POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: ${upload.length}\r\n\r\n`);
    client.send(upload);
    const server = await upstream.next();
    server.socket.pause();
    await new Promise((resolve) => setTimeout(resolve, 100));
    // What the proxy holds is bounded: most of it is still with the client.
    expect(proxy.dataPlane.stats.ringUsedBytes).toBeLessThan(1024 * 1024);
    server.socket.resume();
    const request = await server.message();
    expect(request.body === upload).toBe(true);
    const download = randomText(8 * 1024 * 1024, 2);
    client.socket.pause();
    server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${download.length}\r\n\r\n`);
    server.send(download);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(proxy.dataPlane.stats.ringUsedBytes).toBeLessThan(1024 * 1024);
    client.socket.resume();
    expect((await client.message()).body === download).toBe(true);
    await eventually(() => proxy.dataPlane.stats.ringUsedBytes === 0, 'all output blocks are free');
  });

  it('sends 100 Continue itself and takes the body then', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
    await client.untilText('HTTP/1.1 100 Continue\r\n\r\n');
    client.received = '';
    client.send('body');
    const server = await upstream.next();
    const request = await server.message();
    expect(request.body).toBe('body');
    expect(request.head).not.toMatch(/expect/i);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await client.message()).head).toMatch(/ 200 /);
  });

  it('forwards an answer that comes before the request has ended, and uses neither connection again', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\npart');
    const server = await upstream.next();
    await server.untilText('part');
    server.send('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno');
    expect((await client.message()).body).toBe('no');
    await client.untilEnd();
    await server.untilEnd();
  });
});

describe('absolute-form targets', () => {
  it('take the authority of the target for Host', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('GET http://reviews:9080/x?y=1 HTTP/1.1\r\nHost: other\r\n\r\n');
    const server = await upstream.next();
    const { head } = await server.message();
    expect(head).toMatch(/^GET \/x\?y=1 HTTP\/1.1\r\n/);
    expect(head).toMatch(/\r\nhost: reviews:9080\r\n/i);
    expect(head).not.toMatch(/other/);
  });
});

function dechunk(body: string): string {
  let text = '';
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.slice(at, end), 16);
    if (!(size > 0)) return text;
    text += body.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
}

function randomText(length: number, seed: number): string {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    bytes[index] = state >> 16;
  }
  return bytes.toString('latin1');
}
