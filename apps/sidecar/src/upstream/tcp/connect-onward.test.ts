// CONNECT that goes on as CONNECT: to an upstream that is a proxy, of either version of HTTP, or to wherever it says.

import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
} from '../../testing/envoy-config.js';
import { http2Client } from '../../testing/http2-peers.js';
import { startOneCluster } from '../../testing/one-cluster.js';
import { startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import {
  DATA,
  type Frame,
  frame,
  framesOf,
  head,
  opening,
  PING,
  untilFrame,
  WINDOW_UPDATE,
} from '../../testing/raw-http2.js';
import { eventually } from '../../testing/raw-peers.js';

const CONNECT =
  'CONNECT db.example:5432 HTTP/1.1\r\nHost: not.this\r\nProxy-Connection: keep-alive\r\nX-Mine: y\r\n\r\n';
const UPGRADES = { upgrade_configs: [{ upgrade_type: 'CONNECT' }] };

function onward(route: object = {}): Record<string, unknown> {
  return { match: { connect_matcher: {} }, route: { cluster: 'c', ...route } };
}

function start(route: object = {}) {
  return startOneCluster({ routes: [onward(route)], hcm: UPGRADES });
}

describe('toward a proxy of HTTP/1.1', () => {
  it('asks for what the client asked for, and holds its bytes back until that agrees', async () => {
    const { proxy, upstream } = await start();
    const client = await proxy.client();
    client.send(`${CONNECT}GET /early HTTP/1.1\r\n\r\n`);
    const server = await upstream.next();
    const { head } = await server.message();
    expect(head).toMatch(/^CONNECT db\.example:5432 HTTP\/1\.1\r\nhost: db\.example:5432\r\nX-Mine: y\r\n/i);
    expect(head).not.toMatch(/not\.this|proxy-connection|content-length|transfer-encoding/i);
    expect(server.received).toBe('');
    server.send('HTTP/1.1 200 Connection established\r\nContent-Length: 7\r\nX-Its: z\r\n\r\nwelcome');
    await client.untilText('welcome');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 Connection established\r\nX-Its: z\r\n/);
    expect(client.received).not.toMatch(/content-length|connection: /i);
    await server.untilText('GET /early');
    server.socket.end();
    await client.untilEnd();
    client.send('late');
    client.socket.end();
    await server.untilText('late');
    await server.untilEnd();
  });

  it('asks for the host that the route says', async () => {
    const { proxy, upstream } = await start({ host_rewrite_literal: 'elsewhere.example:1', prefix_rewrite: '/no' });
    const client = await proxy.client();
    client.send(CONNECT);
    const { head } = await (await upstream.next()).message();
    expect(head).toMatch(/^CONNECT elsewhere\.example:1 HTTP\/1\.1\r\nhost: elsewhere\.example:1\r\n/);
  });

  it('hands a refusal on, and uses neither connection again', async () => {
    const { proxy, upstream } = await start();
    const client = await proxy.client();
    client.send(`${CONNECT}GET /stolen HTTP/1.1\r\nHost: x\r\n\r\n`);
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno');
    await client.untilEnd();
    expect(client.received).toMatch(/^HTTP\/1\.1 407 [\s\S]*\r\nconnection: close\r\n\r\nno$/);
    await server.untilEnd();
    expect(server.received).toBe('');
  });

  it('takes no more from a client of HTTP/2 than a window until the proxy has agreed', async () => {
    const { proxy, upstream } = await startOneCluster({
      routes: [onward()],
      hcm: { ...UPGRADES, http2_protocol_options: { initial_stream_window_size: 65_535 } },
    });
    const client = await proxy.client();
    client.send(opening());
    const fields = [
      [':method', 'CONNECT'],
      [':authority', 'db.example:5432'],
    ] as const;
    client.send(head(1, fields, 0));
    const server = await upstream.next();
    await server.message();
    const piece = frame(DATA, 0, 1, Buffer.alloc(15_000, 'a'));
    client.send(Buffer.concat([piece, piece, piece, piece, frame(PING, 0, 0, Buffer.alloc(8))]));
    await untilFrame(client, ({ type, flags }) => type === PING && flags === 1, 'the answer to the ping');
    const isCredit = ({ type, streamId }: Frame) => type === WINDOW_UPDATE && streamId === 1;
    expect(framesOf(client.received).filter(isCredit)).toEqual([]);
    server.send('HTTP/1.1 200 OK\r\n\r\n');
    await untilFrame(client, isCredit, 'the window');
    await server.until(({ received }) => received.length === 60_000, 'what came early');
  });

  it('is asked by clients of HTTP/2 as well', async () => {
    const { proxy, upstream } = await start();
    const stream = http2Client(proxy.port()).request({ ':method': 'CONNECT', ':authority': 'db.example:5432' });
    stream.write('early');
    let received = '';
    stream.on('data', (chunk) => {
      received += String(chunk);
    });
    const server = await upstream.next();
    expect((await server.message()).head).toMatch(/^CONNECT db\.example:5432 HTTP\/1\.1\r\n/);
    expect(server.received).toBe('');
    server.send('HTTP/1.1 200 OK\r\n\r\nwelcome');
    await server.untilText('early');
    stream.end();
    await server.untilEnd();
    server.socket.end('bye');
    await eventually(() => received === 'welcomebye', 'the last words');
  });
});

describe('toward a proxy of HTTP/2', () => {
  it('asks by a stream, whose ends are the tunnel’s', async () => {
    const asked: { stream: ServerHttp2Stream; headers: IncomingHttpHeaders }[] = [];
    const server = createServer();
    server.on('stream', (stream, headers) => asked.push({ stream, headers }));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const manager = connectionManager(anyHost(onward()), UPGRADES);
    const { port } = server.address() as AddressInfo;
    const http2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
    const proxy = await startProxy(
      dataPlaneConfig([listener('l', [{ filters: [manager] }])], [cluster('c', [endpointOf(port)], http2)]),
    );
    const client = await proxy.client();
    client.send(`${CONNECT}early`);
    await eventually(() => asked.length === 1, 'the stream is there');
    const { stream, headers } = asked[0]!;
    expect(headers).toMatchObject({ ':method': 'CONNECT', ':authority': 'db.example:5432', 'x-mine': 'y' });
    expect(headers[':path'] ?? headers[':scheme'] ?? headers.host).toBe(undefined);
    let received = '';
    stream.on('data', (chunk) => {
      received += String(chunk);
    });
    stream.respond({ ':status': 200 });
    await client.untilText('200');
    await eventually(() => received === 'early', 'the early bytes');
    stream.end('all that I had');
    await client.untilEnd();
    client.send(' and late');
    client.socket.end();
    await eventually(() => received === 'early and late' && stream.closed, 'the late bytes and the end');
    expect(stream.rstCode).toBe(0);

    const second = await proxy.client();
    second.send(CONNECT);
    await eventually(() => asked.length === 2, 'the second stream is there');
    asked[1]?.stream.respond({ ':status': 403 });
    asked[1]?.stream.end('no');
    await second.untilEnd();
    expect(second.received).toMatch(/^HTTP\/1\.1 403 [\s\S]*no/);

    // A server that has said everything, and wants to hear no more: that is an end, and nothing is lost.
    const third = await proxy.client();
    third.send(CONNECT);
    await eventually(() => asked.length === 3, 'the third stream is there');
    asked[2]?.stream.respond({ ':status': 200 });
    asked[2]?.stream.end('bye');
    asked[2]?.stream.close(0);
    await third.untilEnd();
    expect(third.received).toMatch(/bye$/);
    expect(third.error).toBe(undefined);
  });

  it('has the stream for the next one, also where the server ends a tunnel by trailers', async () => {
    const asked: ServerHttp2Stream[] = [];
    const server = createServer();
    let sessions = 0;
    server.on('session', () => sessions++);
    server.on('stream', (stream) => {
      stream.resume();
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-last': 'words' }));
      asked.push(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const one = httpOptions({ explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 1 } } });
    const manager = connectionManager(anyHost(onward()), UPGRADES);
    const proxy = await startProxy(
      dataPlaneConfig([listener('l', [{ filters: [manager] }])], [cluster('c', [endpointOf(port)], one)]),
    );
    for (let count = 1; count <= 2; count++) {
      const client = await proxy.client();
      client.send(CONNECT);
      await client.untilText('200');
      client.socket.end();
      await eventually(() => asked[count - 1]!.readableEnded, 'the end of the client');
      asked[count - 1]!.end();
      await client.untilEnd();
    }
    expect(sessions).toBe(1);
  });
});

describe('wherever it says', () => {
  it('goes by Envoy’s dynamic forward proxy', async () => {
    const TYPE = 'type.googleapis.com/envoy.extensions';
    const dns_cache_config = { name: 'forward', dns_lookup_family: 'V4_ONLY' };
    const filter = {
      name: 'envoy.filters.http.dynamic_forward_proxy',
      typed_config: { '@type': `${TYPE}.filters.http.dynamic_forward_proxy.v3.FilterConfig`, dns_cache_config },
    };
    const upgrade_configs = [{ upgrade_type: 'CONNECT', connect_config: {} }];
    const manager = connectionManager(anyHost(onward({ upgrade_configs })), {}, [filter]);
    const anywhere = {
      name: 'c',
      connect_timeout: '1s',
      lb_policy: 'CLUSTER_PROVIDED',
      cluster_type: {
        name: 'envoy.clusters.dynamic_forward_proxy',
        typed_config: { '@type': `${TYPE}.clusters.dynamic_forward_proxy.v3.ClusterConfig`, dns_cache_config },
      },
    };
    const upstream = await startUpstream();
    const proxy = await startProxy(dataPlaneConfig([listener('l', [{ filters: [manager] }])], [anywhere]));
    const client = await proxy.client();
    client.send(`CONNECT 127.0.0.1:${upstream.port} HTTP/1.1\r\nHost: x\r\n\r\nhello`);
    const server = await upstream.next();
    await server.untilText('hello');
    server.send('welcome');
    await client.untilText('welcome');
  });
});
