// TCP inside of a tunnel that an upstream is asked for by CONNECT: its answers, in any pieces, and what becomes of refusals.

import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttp2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { cluster, dataPlaneConfig, endpointOf, httpOptions, listener } from '../testing/envoy-config.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { ConnectAnswer, TunnelRefused } from './connect-tunnel.js';
import { openClient, readAll, startTcpServer, tcpProxy } from './tcp-fixture.js';

const TARGET = 'far.example:5432';
const REQUEST = `CONNECT ${TARGET} HTTP/1.1\r\nhost: ${TARGET}\r\n\r\n`;

async function startTunnel(ports: readonly number[], extra: Record<string, unknown> = {}, proxy = {}) {
  const log: AccessLogRecord[] = [];
  const filter = tcpProxy({ cluster: 'c' }, { ...ACCESS_LOG, tunneling_config: { hostname: TARGET }, ...proxy });
  const endpoints = ports.map((port) => endpointOf(port));
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [filter] }])],
    [cluster('c', endpoints, { lb_policy: 'ROUND_ROBIN', ...extra })],
  );
  return { log, proxy: await startProxy(config, { createAccessLogSink: () => (record) => log.push(record) }) };
}

/** Answers CONNECT with these pieces, then sends back what it gets. */
function answering(...pieces: readonly string[]): Promise<number> {
  return startTcpServer((socket) => {
    socket.once('data', async (first) => {
      if (first.toString('latin1') !== REQUEST) {
        socket.destroy();
        return;
      }
      for (const piece of pieces) await new Promise((resolve) => socket.write(piece, 'latin1', resolve));
      socket.pipe(socket);
    });
  });
}

/** A server of HTTP/1.1, and what it was asked: method, path, host, transfer-encoding. */
async function startHttpServer(serve: RequestListener) {
  const requests: unknown[][] = [];
  const server = createHttpServer((request, response) => {
    requests.push([request.method, request.url, request.headers.host, request.headers['transfer-encoding']]);
    serve(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, port: (server.address() as AddressInfo).port };
}

async function talk(port: number, text: string): Promise<string> {
  const socket = await openClient(port);
  const all = readAll(socket);
  socket.end(text);
  return (await all).toString('latin1');
}

describe('a TCP proxy with a tunnel', () => {
  it.each([
    ['in one piece', ['HTTP/1.1 200 OK\r\n\r\n'], ''],
    ['with what the target says behind it', ['HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\nready '], 'ready '],
    ['byte by byte', [...'HTTP/1.0 204 \r\nA: b\r\n\r\nready '], 'ready '],
    ['after an interim answer', ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n\r\n'], ''],
  ])('is joined with the target once the answer is there: %s', async (_, pieces, first) => {
    const { proxy, log } = await startTunnel([await answering(...pieces)]);
    expect(await talk(proxy.port(), 'hello')).toBe(`${first}hello`);
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]).toMatchObject({ bytesReceived: 5, bytesSent: 5 + first.length });
  });

  it.each([
    ['refuses', ['HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'], '403'],
    ['speaks something else', ['hello from a server\r\n\r\n'], 'not HTTP/1'],
    ['never ends its answer', [`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`], 'too large'],
  ])('closes where the upstream %s, and says why', async (_, pieces, why) => {
    const { proxy, log } = await startTunnel([await answering(...pieces)]);
    const socket = await openClient(proxy.port());
    socket.on('error', () => {});
    socket.write('hello');
    await once(socket.resume(), 'end');
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]?.upstreamTransportFailureReason).toContain(why);
    expect(log[0]?.responseFlags).toContain('UF');
  });

  it('tries another endpoint after a refusal, where it may', async () => {
    const ports = [await answering('HTTP/1.1 503 No\r\n\r\n'), await answering('HTTP/1.1 200 OK\r\n\r\n')];
    const { proxy } = await startTunnel(ports, {}, { max_connect_attempts: 2 });
    for (let count = 0; count < 4; count++) expect(await talk(proxy.port(), 'hello')).toBe('hello');
  });

  it('waits for the answer no longer than for a connection', async () => {
    const { proxy, log } = await startTunnel([await startTcpServer(() => {})], { connect_timeout: '0.2s' });
    const socket = await openClient(proxy.port());
    socket.on('error', () => {});
    await once(socket.resume(), 'end');
    await eventually(() => log.length === 1, 'it is logged');
  });

  it('says what the configuration adds', async () => {
    const port = await startTcpServer((socket) => {
      socket.once('data', (first) => socket.end(`HTTP/1.1 200 OK\r\n\r\n${first.toString('latin1')}`));
    });
    const add = (key: string, value: string, append_action = 'APPEND_IF_EXISTS_OR_ADD') => ({
      header: { key, value },
      append_action,
    });
    const headers_to_add = [
      add('Proxy-Authorization', 'Basic x'),
      add('x-a', '50%%'),
      add('x-a', 'c'),
      add('X-B', 'd'),
    ];
    const last = add('x-b', 'e', 'OVERWRITE_IF_EXISTS_OR_ADD');
    const { proxy } = await startTunnel(
      [port],
      {},
      {
        tunneling_config: { hostname: TARGET, headers_to_add: [...headers_to_add, last] },
      },
    );
    expect(await talk(proxy.port(), '')).toBe(
      `CONNECT ${TARGET} HTTP/1.1\r\nhost: ${TARGET}\r\nproxy-authorization: Basic x\r\nx-a: 50%\r\nx-a: c\r\nx-b: e\r\n\r\n`,
    );
  });
});

describe('a tunnel by POST over HTTP/1.1', () => {
  it('has what the client sends as the body, and the answer’s for the client', async () => {
    const { requests, port } = await startHttpServer((request, response) => {
      response.writeHead(request.url === '/refused' ? 403 : 200);
      response.flushHeaders();
      request.on('data', (chunk) => response.write(String(chunk).toUpperCase()));
      request.on('end', () => response.end('bye'));
    });
    const by = (post_path: string) => ({ tunneling_config: { hostname: TARGET, use_post: true, post_path } });
    const { proxy, log } = await startTunnel([port], {}, by('/tunnel'));
    const large = 'large '.repeat(200_000);
    expect(await talk(proxy.port(), large)).toBe(`${large.toUpperCase()}bye`);
    expect(requests).toEqual([['POST', '/tunnel', TARGET, 'chunked']]);
    await eventually(() => log.length === 1, 'it is logged');
    expect(log[0]).toMatchObject({ bytesReceived: large.length, bytesSent: large.length + 3, responseFlags: '-' });
    // Its connection serves the next one.
    expect(await talk(proxy.port(), 'hello')).toBe('HELLObye');
    expect(proxy.dataPlane.stats.upstreamCxTotal).toBe(1);
    await eventually(() => proxy.dataPlane.clusters()[0]?.endpoints[0]?.rqActive === 0, 'nothing is left');

    const refused = await startTunnel([port], {}, by('/refused'));
    const socket = await openClient(refused.proxy.port());
    socket.on('error', () => {});
    await once(socket.resume(), 'end');
    await eventually(() => refused.log.length === 1, 'it is logged');
    expect(refused.log[0]).toMatchObject({ upstreamTransportFailureReason: 'tunnel_response:403' });
    expect(refused.log[0]?.responseFlags).toContain('UF');
  });

  it('lets the server speak first, and end first', async () => {
    const { port } = await startHttpServer((_request, response) => {
      response.writeHead(200);
      response.write('welcome');
      setImmediate(() => response.end(', and bye'));
    });
    const { proxy } = await startTunnel([port], {}, { tunneling_config: { hostname: TARGET, use_post: true } });
    const socket = await openClient(proxy.port());
    expect((await readAll(socket)).toString()).toBe('welcome, and bye');
  });
});

describe.each([
  ['CONNECT', {}],
  ['POST', { use_post: true, post_path: '/tunnel' }],
])('a tunnel by %s over HTTP/2', (method, extra) => {
  const HTTP2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
  const tunneling_config = { hostname: TARGET, headers_to_add: [{ header: { key: 'x-a', value: 'b' } }], ...extra };

  async function startServer(onStream: (stream: ServerHttp2Stream) => void) {
    const asked: IncomingHttpHeaders[] = [];
    const server = createHttp2Server();
    server.on('stream', (stream, headers) => {
      asked.push(headers);
      stream.on('error', () => {});
      onStream(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    return { asked, ...(await startTunnel([port], HTTP2, { tunneling_config })) };
  }

  it('is a stream of the cluster’s connection', async () => {
    const { proxy, asked, log } = await startServer((stream) => {
      stream.respond({ ':status': 200 });
      stream.on('data', (chunk) => stream.write(String(chunk).toUpperCase()));
      stream.on('end', () => stream.end('bye'));
    });
    const large = 'large '.repeat(200_000);
    const answers = await Promise.all([talk(proxy.port(), large), talk(proxy.port(), 'hello')]);
    expect(answers).toEqual([`${large.toUpperCase()}bye`, 'HELLObye']);
    expect(proxy.dataPlane.stats.upstreamCxTotal).toBe(1);
    const pseudo = method === 'POST' ? { ':path': '/tunnel', ':scheme': 'http' } : {};
    expect(asked[0]).toMatchObject({ ':method': method, ':authority': TARGET, 'x-a': 'b', ...pseudo });
    expect(Object.keys(asked[0] ?? {})).toHaveLength(3 + Object.keys(pseudo).length);
    await eventually(() => log.length === 2, 'both are logged');
    expect(log.map(({ responseFlags }) => responseFlags)).toEqual(['-', '-']);
    await eventually(() => proxy.dataPlane.clusters()[0]?.endpoints[0]?.rqActive === 0, 'nothing is left');
  });

  it('may be ended by the server first, cut with its connection, and refused', async () => {
    const streams: ServerHttp2Stream[] = [];
    const { proxy, log } = await startServer((stream) => {
      streams.push(stream);
      if (streams.length < 3) stream.respond({ ':status': 200 });
      if (streams.length === 1) stream.end('welcome, and bye');
      if (streams.length === 2) stream.write('welcome');
      if (streams.length === 3) stream.respond({ ':status': 403 }, { endStream: true });
    });
    expect(await talk(proxy.port(), '')).toBe('welcome, and bye');
    const cut = await openClient(proxy.port());
    await once(cut, 'data');
    streams[1]?.session?.destroy();
    const [error] = await once(cut, 'error');
    expect((error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    const refused = await openClient(proxy.port());
    refused.on('error', () => {});
    await once(refused.resume(), 'end');
    await eventually(() => log.length === 3, 'all are logged');
    expect(log[2]).toMatchObject({ upstreamTransportFailureReason: 'tunnel_response:403' });
    await eventually(() => proxy.dataPlane.clusters()[0]?.endpoints[0]?.rqActive === 0, 'nothing is left');
  });

  it('is reset where the client is cut', async () => {
    const streams: ServerHttp2Stream[] = [];
    let received = '';
    const { proxy } = await startServer((stream) => {
      streams.push(stream);
      stream.respond({ ':status': 200 });
      stream.on('data', (chunk) => {
        received += String(chunk);
      });
    });
    const client = await openClient(proxy.port());
    client.write('hello');
    await eventually(() => received === 'hello', 'the stream is there');
    client.resetAndDestroy();
    await eventually(() => streams[0]?.destroyed === true, 'the stream is reset');
    expect(streams[0]?.rstCode).toBe(8);
    await eventually(() => proxy.dataPlane.clusters()[0]?.endpoints[0]?.rqActive === 0, 'nothing is left');
  });
});

describe('ConnectAnswer', () => {
  it('says the same however the bytes are cut', () => {
    const answers = fc.constantFrom(
      'HTTP/1.1 200 OK\r\n\r\nrest',
      'HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 299 \r\n\r\n',
      'HTTP/1.1 101 Switching Protocols\r\n\r\n',
      'HTTP/1.1 302 Found\r\n\r\n',
      'no answer\r\n\r\n',
    );
    const read = (text: string, step: number): string | undefined => {
      const answer = new ConnectAnswer();
      try {
        for (let at = 0; at < text.length; at += step) {
          const rest = answer.add(Buffer.from(text.slice(at, at + step), 'latin1'));
          if (rest !== undefined) return rest.toString('latin1') + text.slice(at + step);
        }
      } catch (error) {
        if (error instanceof TunnelRefused) return `refused: ${error.message}`;
        throw error;
      }
      return undefined;
    };
    fc.assert(
      fc.property(answers, fc.integer({ min: 1, max: 20 }), (text, step) => {
        expect(read(text, step)).toBe(read(text, text.length));
      }),
    );
  });
});
