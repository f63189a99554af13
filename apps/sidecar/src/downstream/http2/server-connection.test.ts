// Clients that speak HTTP/2, in front of an upstream that speaks HTTP/1.1.

import { describe, expect, it } from 'vitest';
import { answerOf, ask, http2Client } from '../../testing/http2-peers.js';
import { startOneCluster } from '../../testing/one-cluster.js';
import { eventually } from '../../testing/raw-peers.js';

describe('requests of HTTP/2', () => {
  it('are recognized by their first bytes, and become requests of HTTP/1.1', async () => {
    const { proxy, upstream, log } = await startOneCluster();
    const client = http2Client(proxy.port());
    const answer = ask(client, { ':path': '/a?b=c', ':authority': 'example', 'x-one': '1' });
    const server = await upstream.next();
    const { head } = await server.message();
    expect(head).toMatch(/^GET \/a\?b=c HTTP\/1\.1\r\n/);
    expect(head).toMatch(/\r\nhost: example\r\n/);
    expect(head).toMatch(/\r\nx-one: 1\r\n/);
    expect(head).not.toMatch(/transfer-encoding|connection/i);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX-Up: y\r\n\r\nhello');
    const { status, headers, body } = await answer;
    expect([status, headers['x-up'], headers.connection, body.toString()]).toEqual([200, 'y', undefined, 'hello']);
    expect(log).toMatchObject([{ method: 'GET', path: '/a?b=c', responseCode: 200, responseFlags: '-', bytesSent: 5 }]);
  });

  it('carry bodies both ways, with a length and without one', async () => {
    const { proxy, upstream } = await startOneCluster();
    const client = http2Client(proxy.port());
    const counted = ask(client, { ':method': 'POST', ':path': '/n', 'content-length': '5' }, 'hello');
    const server = await upstream.next();
    const first = await server.message();
    expect(first.head).toMatch(/\r\ncontent-length: 5\r\n/);
    expect(first.body).toBe('hello');
    server.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n');
    const { headers, body } = await counted;
    expect(headers['transfer-encoding']).toBeUndefined();
    expect(body.toString()).toBe('abcde');
    const uncounted = ask(client, { ':method': 'POST', ':path': '/u' }, 'abc');
    const second = await server.message();
    expect(second.head).toMatch(/\r\ntransfer-encoding: chunked\r\n/);
    expect(second.body).toBe('3\r\nabc\r\n0\r\n\r\n');
    server.send('HTTP/1.1 204 No Content\r\n\r\n');
    expect((await uncounted).status).toBe(204);
    const empty = ask(client, { ':method': 'POST', ':path': '/e' }, '');
    expect((await server.message()).body).toBe('0\r\n\r\n');
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await empty).body).toHaveLength(0);
  });

  it('that end with trailers are whole: their answer may take longer than the request', async () => {
    const { proxy, upstream } = await startOneCluster({ hcm: { request_timeout: '0.3s' } });
    const client = http2Client(proxy.port());
    const stream = client.request({ ':method': 'POST', ':path': '/' }, { endStream: false, waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }));
    const answer = answerOf(stream);
    stream.end('hello');
    const server = await upstream.next();
    expect((await server.message()).body).toContain('hello');
    const endless = client.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
    expect((await answerOf(endless)).status).toBe(408);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await answer).status).toBe(200);
  });

  it('go on side by side on one connection', async () => {
    const { proxy, upstream } = await startOneCluster();
    const client = http2Client(proxy.port());
    const answers = Array.from({ length: 20 }, (_, index) => ask(client, { ':path': `/${index}` }));
    const servers = await Promise.all(answers.map(() => upstream.next()));
    const paths = await Promise.all(
      servers.map(async (server) => /^GET (\S+)/.exec((await server.message()).head)?.[1]),
    );
    for (const [index, server] of servers.entries()) {
      server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${paths[index]!.length}\r\n\r\n${paths[index]}`);
    }
    expect((await Promise.all(answers)).map(({ body }) => body.toString())).toEqual(
      answers.map((_, index) => `/${index}`),
    );
  });

  it('get large answers under both windows, and send large bodies', async () => {
    const { proxy, upstream } = await startOneCluster();
    const client = http2Client(proxy.port());
    const large = Buffer.alloc(3_000_000, 'abcdefghij');
    const answer = ask(client, { ':method': 'POST', ':path': '/', 'content-length': String(large.length) }, large);
    const server = await upstream.next();
    const request = await server.message();
    expect(Buffer.from(request.body, 'latin1').equals(large)).toBe(true);
    server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${large.length}\r\n\r\n`);
    server.send(large);
    expect((await answer).body.equals(large)).toBe(true);
    const chunked = ask(client, { ':method': 'POST', ':path': '/' }, large);
    const second = await server.message();
    const plain = second.body.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n(?:\r\n$)?/g, '');
    expect(plain.length).toBe(large.length);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await chunked).status).toBe(200);
  });

  it('are answered without an upstream where the route says so, HEAD without a body', async () => {
    const { proxy } = await startOneCluster({
      routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'direct' } } }],
    });
    const client = http2Client(proxy.port());
    const { status, headers, body } = await ask(client, { ':path': '/' });
    expect([status, headers['content-length'], body.toString()]).toEqual([200, '6', 'direct']);
    const head = await ask(client, { ':path': '/', ':method': 'HEAD' });
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '6', 0]);
    const refused = await ask(client, { ':path': '/%00' });
    expect([refused.status, refused.body.toString()]).toEqual([400, 'Bad Request']);
    const refusedHead = await ask(client, { ':path': '/%00', ':method': 'HEAD' });
    expect([refusedHead.status, refusedHead.body.length]).toEqual([400, 0]);
    const posted = await ask(client, { ':path': '/', ':method': 'POST' }, 'never read');
    expect(posted.body.toString()).toBe('direct');
  });

  it('get 503 where nobody answers, and a reset where the answer breaks off', async () => {
    const { proxy, upstream } = await startOneCluster();
    const client = http2Client(proxy.port());
    const cut = ask(client, { ':path': '/' });
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst part');
    server.socket.end();
    await expect(cut).rejects.toThrow(/reset|closed/i);
    await upstream.stop();
    const { status, body } = await ask(client, { ':path': '/' });
    expect([status, body.toString()]).toEqual([503, expect.stringContaining('upstream connect error')]);
  });

  it('end with their stream: the upstream is let go', async () => {
    const { proxy, upstream, log } = await startOneCluster();
    const client = http2Client(proxy.port());
    const stream = client.request({ ':path': '/' });
    stream.on('error', () => {});
    const server = await upstream.next();
    await server.message();
    stream.close(8);
    await server.untilEnd();
    await eventually(() => log.length === 1, 'the request is logged');
    expect(log).toMatchObject([{ responseFlags: 'DC', responseCode: 0 }]);
    const again = ask(client, { ':path': '/again' });
    const next = await upstream.next();
    await next.message();
    next.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await again).status).toBe(200);
  });

  it('expect 100-continue once', async () => {
    const { proxy, upstream } = await startOneCluster();
    const client = http2Client(proxy.port());
    const stream = client.request({ ':path': '/', ':method': 'POST', expect: '100-continue' });
    const answer = answerOf(stream);
    await new Promise((resolve) => stream.once('continue', resolve));
    stream.end('body');
    const server = await upstream.next();
    const { head } = await server.message();
    expect(head).not.toMatch(/expect/i);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await answer).status).toBe(200);
  });

  it('are told to go elsewhere before the connection is drained', async () => {
    const { proxy, upstream } = await startOneCluster();
    const client = http2Client(proxy.port());
    let goaways = 0;
    client.on('goaway', () => {
      goaways++;
    });
    const answer = ask(client, { ':path': '/' });
    const server = await upstream.next();
    await server.message();
    const drained = proxy.dataPlane.drain(60_000);
    await eventually(() => goaways > 0, 'the client is told');
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect((await answer).body.toString()).toBe('ok');
    await drained;
    expect(client.closed || client.destroyed).toBe(true);
  });
});
