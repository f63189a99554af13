// CONNECT whose tunnel ends at the proxy: the upstream gets what is in it. From clients of HTTP/1.1 and HTTP/2, and by POST.

import type { ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { http2Client } from '../../testing/http2-peers.js';
import { type OneCluster, startOneCluster } from '../../testing/one-cluster.js';
import { eventually, type RawConnection } from '../../testing/raw-peers.js';

const CONNECT = 'CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n';
/** What a client that means to smuggle sends behind it. */
const BEHIND = 'GET /stolen HTTP/1.1\r\nHost: x\r\n\r\n';
const ENABLED = { upgrade_configs: [{ upgrade_type: 'CONNECT' }] };

/** A route for CONNECT; `config` is its connect_config. */
function tunnelRoute(config: object | undefined = {}, route: object = {}): Record<string, unknown> {
  const upgrade = { upgrade_type: 'CONNECT', ...(config === undefined ? {} : { connect_config: config }) };
  return { match: { connect_matcher: {} }, route: { cluster: 'c', upgrade_configs: [upgrade], ...route } };
}

function startTunnels(options: Parameters<typeof startOneCluster>[0] = {}): Promise<OneCluster> {
  return startOneCluster({ routes: [tunnelRoute()], ...options });
}

async function nothingLeft({ proxy }: OneCluster): Promise<void> {
  const { stats } = proxy.dataPlane;
  await eventually(() => stats.downstreamRqActive === 0 && stats.upstreamCxActive === 0, 'nothing is left');
  expect(proxy.dataPlane.clusters()[0]?.endpoints[0]?.rqActive).toBe(0);
}

interface Tunnel {
  readonly stream: ClientHttp2Stream;
  received: string;
  status: number;
  ended: boolean;
}

function http2Tunnel(port: number, headers: Record<string, string> = {}): Tunnel {
  const stream = http2Client(port).request({ ':method': 'CONNECT', ':authority': 'db.example:5432', ...headers });
  const tunnel: Tunnel = { stream, received: '', status: 0, ended: false };
  stream.on('response', (head) => {
    tunnel.status = Number(head[':status']);
  });
  stream.on('data', (chunk: Buffer) => {
    tunnel.received += chunk.toString('latin1');
  });
  stream.on('end', () => {
    tunnel.ended = true;
  });
  stream.on('error', () => {});
  return tunnel;
}

describe('CONNECT of HTTP/1.1', () => {
  it('becomes a connection, with what came early, until both sides have ended', async () => {
    const all = await startTunnels();
    const { proxy, upstream, log } = all;
    const client = await proxy.client();
    client.send(`${CONNECT}early `);
    const server = await upstream.next();
    await server.untilText('early ');
    await client.untilText('\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\nserver: envoy\r\ndate: [^\r]*\r\n\r\n$/);
    const large = 'large '.repeat(300_000);
    client.send(large);
    await server.until(({ received }) => received.length === large.length + 6, 'the large message');
    expect(server.received.startsWith('early large')).toBe(true);
    client.socket.end();
    await server.untilEnd();
    expect(server.closed).toBe(false);
    server.send('last words');
    server.socket.end();
    await client.untilText('last words');
    await client.untilEnd();
    await eventually(() => log.length === 1, 'the tunnel is logged');
    expect(log[0]).toMatchObject({
      method: 'CONNECT',
      path: undefined,
      responseCode: 200,
      responseFlags: '-',
      bytesReceived: large.length + 6,
      bytesSent: 10,
    });
    await nothingLeft(all);
  });

  it('lets the client go on after the server has ended', async () => {
    const all = await startTunnels();
    const client = await all.proxy.client();
    client.send(CONNECT);
    const server = await all.upstream.next();
    server.send('all that I had');
    server.socket.end();
    await client.untilEnd();
    expect(client.closed).toBe(false);
    client.send('and this is mine');
    client.socket.end();
    await server.untilText('and this is mine');
    await server.untilEnd();
    await nothingLeft(all);
  });

  it('is cut for both where one side is cut', async () => {
    const all = await startTunnels();
    const first = await all.proxy.client();
    first.send(CONNECT);
    const server = await all.upstream.next();
    await first.untilText('\r\n\r\n');
    (server.socket as Socket).resetAndDestroy();
    await first.untilEnd();
    expect((first.error as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    const second = await all.proxy.client();
    second.send(CONNECT);
    const next = await all.upstream.next();
    await second.untilText('\r\n\r\n');
    (second.socket as Socket).resetAndDestroy();
    await next.untilEnd();
    await eventually(() => all.log.length === 2, 'both are logged');
    expect(all.log.map(({ responseFlags }) => responseFlags)).toEqual(['UC', 'DC']);
    await nothingLeft(all);
  });

  it('is refused as Envoy refuses it, and what stands behind it is nobody’s request', async () => {
    const off = tunnelRoute(undefined, { upgrade_configs: [{ upgrade_type: 'CONNECT', enabled: false }] });
    const plain = { match: { connect_matcher: {} }, route: { cluster: 'c' } };
    const dead = { cluster: { load_assignment: { cluster_name: 'c', endpoints: [] } } };
    const cases = [
      {
        options: { routes: [{ match: { prefix: '/' }, route: { cluster: 'c' } }], hcm: ENABLED },
        status: 404,
        flags: 'NR',
      },
      { options: { routes: [off], hcm: ENABLED }, status: 403, flags: '-' },
      { options: { routes: [plain] }, status: 403, flags: '-' },
      { options: { routes: [tunnelRoute()], ...dead }, status: 503, flags: 'UH' },
    ];
    for (const { options, status, flags } of cases) {
      const { proxy, upstream, log } = await startOneCluster(options);
      const client = await proxy.client();
      client.send(CONNECT + BEHIND);
      await client.untilEnd();
      expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [\\s\\S]*\\r\\nconnection: close\\r\\n`));
      expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
      await eventually(() => log.length > 0, 'it is logged');
      expect(log).toMatchObject([{ responseCode: status, responseFlags: flags }]);
      expect(upstream.connections).toHaveLength(0);
    }
  });

  it('says 503 UF where nobody takes the connection, and tries another endpoint where the route says so', async () => {
    const all = await startTunnels({ routes: [tunnelRoute({}, { retry_policy: { retry_on: 'connect-failure' } })] });
    await all.upstream.stop();
    const client = await all.proxy.client();
    client.send(CONNECT + BEHIND);
    await client.untilEnd();
    expect(client.received).toMatch(/^HTTP\/1\.1 503 [\s\S]*reset reason: remote connection failure$/);
    await eventually(() => all.log.length === 1, 'it is logged');
    expect(all.log[0]).toMatchObject({ responseFlags: 'URX,UF' });
    expect(all.proxy.dataPlane.stats.upstreamCxConnectFail).toBe(2);
    await nothingLeft(all);
  });

  it.each([
    ['a body', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello', 400],
    ['a chunked body', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 501],
    ['no port', 'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a port that is none', 'CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a path', 'CONNECT /a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a URL', 'CONNECT http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a user', 'CONNECT u@a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ])('with %s is refused by the codec', async (_what, head, status) => {
    const { proxy, upstream } = await startTunnels();
    const client = await proxy.client();
    client.send(head + BEHIND);
    await client.untilEnd();
    expect(client.received).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(upstream.connections).toHaveLength(0);
  });

  it('is ended where nothing moves', async () => {
    const all = await startTunnels({ routes: [tunnelRoute({}, { timeout: '0.05s', idle_timeout: '0.3s' })] });
    const client = await all.proxy.client();
    client.send(CONNECT);
    const server = await all.upstream.next();
    await client.untilEnd();
    await server.untilEnd();
    await eventually(() => all.log.length === 1, 'it is logged');
    expect(all.log[0]).toMatchObject({
      responseCode: 200,
      responseFlags: 'SI',
      responseCodeDetails: 'stream_idle_timeout',
    });
    await nothingLeft(all);
  });

  it('begins with whom it is for where the route says so', async () => {
    const { proxy, upstream } = await startTunnels({
      routes: [tunnelRoute({ proxy_protocol_config: { version: 'V1' } })],
    });
    const client = await proxy.client();
    const { localPort } = client.socket as Socket;
    client.send(`${CONNECT}hello`);
    const server = await upstream.next();
    await server.untilText('hello');
    expect(server.received).toBe(`PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${proxy.port()}\r\nhello`);
  });

  it('counts in the limits of connections, and not in that of requests', async () => {
    const all = await startTunnels({
      cluster: {
        circuit_breakers: { thresholds: [{ max_connections: 1, max_pending_requests: 1, max_requests: 0 }] },
      },
    });
    const clients: RawConnection[] = [];
    for (let i = 0; i < 3; i++) {
      const client = await all.proxy.client();
      client.send(CONNECT);
      clients.push(client);
      if (i === 0) await client.untilText('200 OK');
    }
    // One has the connection, one waits for it, and for the third there is no room.
    await eventually(() => clients.filter(({ received }) => received.includes('503')).length === 1, 'one is refused');
    const refused = clients.find(({ received }) => received.includes('503')) as RawConnection;
    expect(refused.received).toMatch(/reset reason: overflow/);
    expect(all.upstream.connections).toHaveLength(1);
    ((clients[0] as RawConnection).socket as Socket).resetAndDestroy();
    const waiting = clients.find((client, index) => index > 0 && client !== refused) as RawConnection;
    await waiting.untilText('200 OK');
    expect(all.upstream.connections).toHaveLength(2);
  });

  it('finds its domain with its port, unless the route configuration ignores ports', async () => {
    for (const [ignore, domain, status] of [
      [false, 'db.example', 404],
      [false, 'db.example:5432', 200],
      [false, '*.example', 404],
      [false, '*', 200],
      [true, 'db.example', 200],
    ] as const) {
      const { proxy } = await startOneCluster({
        hcm: {
          route_config: {
            name: 'r',
            ignore_port_in_host_matching: ignore,
            virtual_hosts: [{ name: 'v', domains: [domain], routes: [tunnelRoute()] }],
          },
        },
      });
      const client = await proxy.client();
      client.send(CONNECT);
      await client.untilText('\r\n\r\n');
      expect(`${domain} ${client.received.slice(9, 12)}`).toBe(`${domain} ${status}`);
    }
  });
});

describe('CONNECT of HTTP/2', () => {
  it('becomes a connection, with what came early, until both sides have ended', async () => {
    const all = await startTunnels();
    const tunnel = http2Tunnel(all.proxy.port());
    tunnel.stream.write('early ');
    const server = await all.upstream.next();
    await server.untilText('early ');
    await eventually(() => tunnel.status === 200, 'the tunnel is there');
    const large = 'large '.repeat(300_000);
    server.send(large);
    await eventually(() => tunnel.received.length === large.length, 'the large message');
    tunnel.stream.end('late');
    await server.untilText('late');
    await server.untilEnd();
    server.send('last words');
    server.socket.end();
    await eventually(() => tunnel.ended, 'the end');
    expect(tunnel.received.endsWith('last words')).toBe(true);
    expect(tunnel.stream.rstCode).toBe(0);
    await eventually(() => all.log.length === 1, 'the tunnel is logged');
    expect(all.log[0]).toMatchObject({ method: 'CONNECT', responseCode: 200, responseFlags: '-', bytesReceived: 10 });
    await nothingLeft(all);
  });

  it('lets the client go on after the server has ended', async () => {
    const all = await startTunnels();
    const tunnel = http2Tunnel(all.proxy.port());
    const server = await all.upstream.next();
    server.socket.end();
    await eventually(() => tunnel.ended, 'the end');
    tunnel.stream.end('and this is mine');
    await server.untilText('and this is mine');
    await server.untilEnd();
    await nothingLeft(all);
  });

  it('is reset by CONNECT_ERROR where the connection breaks, and breaks it where it is reset', async () => {
    const all = await startTunnels();
    const first = http2Tunnel(all.proxy.port());
    const server = await all.upstream.next();
    await eventually(() => first.status === 200, 'the tunnel is there');
    (server.socket as Socket).resetAndDestroy();
    await eventually(() => first.stream.closed, 'the stream is closed');
    expect(first.stream.rstCode).toBe(10);
    const second = http2Tunnel(all.proxy.port());
    const next = await all.upstream.next();
    await eventually(() => second.status === 200, 'the tunnel is there');
    second.stream.close(8);
    await next.untilEnd();
    await nothingLeft(all);
  });

  it('is refused without losing the connection of the other streams', async () => {
    const { proxy } = await startOneCluster({ routes: [{ match: { connect_matcher: {} }, route: { cluster: 'c' } }] });
    const session = http2Client(proxy.port());
    for (const headers of [{}, { ':authority': 'no-port' }]) {
      const stream = session.request({ ':method': 'CONNECT', ':authority': 'db.example:5432', ...headers });
      stream.write('GET / HTTP/1.1\r\n\r\n');
      const status = await new Promise((resolve) => stream.once('response', (head) => resolve(head[':status'])));
      expect(status).toBe(':authority' in headers ? 400 : 403);
    }
    expect(session.closed).toBe(false);
  });
});

describe('POST that is let through as CONNECT', () => {
  const POST = [
    {
      match: { prefix: '/' },
      route: { cluster: 'c', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: { allow_post: true } }] },
    },
  ];

  it('has its body and its answer as the bytes of the connection', async () => {
    const all = await startOneCluster({ routes: POST });
    const client = await all.proxy.client();
    client.send('POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    const server = await all.upstream.next();
    await server.untilText('hello');
    server.send('welcome');
    await client.untilText('7\r\nwelcome');
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\ntransfer-encoding: chunked\r\n\r\n7\r\nwelcome$/);
    client.send('6\r\n, more\r\n0\r\n\r\n');
    await server.untilEnd();
    expect(server.received).toBe('hello, more');
    server.socket.end('bye');
    await client.untilText('\r\n3\r\nbye\r\n0\r\n\r\n');
    await nothingLeft(all);
  });

  it('may have a length, and comes over HTTP/2 as well', async () => {
    const all = await startOneCluster({ routes: POST });
    const client = await all.proxy.client();
    client.send('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello');
    const server = await all.upstream.next();
    await server.untilEnd();
    expect(server.received).toBe('hello');
    server.socket.end();
    await client.untilText('\r\n\r\n0\r\n\r\n');
    const tunnel = http2Tunnel(all.proxy.port(), { ':method': 'POST', ':path': '/x', ':scheme': 'http' });
    tunnel.stream.write('hello');
    const next = await all.upstream.next();
    await next.untilText('hello');
    next.socket.end('bye');
    await eventually(() => tunnel.ended, 'the end');
    expect(tunnel).toMatchObject({ status: 200, received: 'bye' });
    await nothingLeft(all);
  });

  it('is an ordinary request where the route does not say so', async () => {
    const { proxy, upstream } = await startOneCluster({
      routes: [
        tunnelRoute(),
        {
          match: { prefix: '/' },
          route: { cluster: 'c', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
        },
      ],
    });
    const client = await proxy.client();
    client.send('POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello');
    const server = await upstream.next();
    expect((await server.message()).head).toMatch(/^POST \/x HTTP\/1\.1\r\n/);
  });
});
