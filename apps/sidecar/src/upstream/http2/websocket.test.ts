// WebSockets: an upgrade of HTTP/1.1, or an extended CONNECT of HTTP/2, on either side.

import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
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
import { http2Client } from '../../testing/http2-peers.js';
import { startOneCluster } from '../../testing/one-cluster.js';
import { startProxy } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const UPGRADE =
  'GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n';
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n';
const ENABLED = { hcm: { upgrade_configs: [{ upgrade_type: 'websocket' }] } };

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

describe('upgrades of HTTP/1.1', () => {
  it('go through, and bytes both ways until both sides have ended', async () => {
    const { proxy, upstream, log } = await startOneCluster(ENABLED);
    const client = await proxy.client();
    // What follows the head is not for the upstream before it has agreed: it could take it for another request.
    client.send(`${UPGRADE}early bytes`);
    const server = await upstream.next();
    const { head } = await server.message();
    expect(head).toMatch(/\r\nupgrade: websocket\r\n/i);
    expect(head).toMatch(/\r\nconnection: upgrade\r\n/i);
    expect(server.received).toBe('');
    server.send(`${SWITCHING}first bytes`);
    await client.untilText('first bytes');
    expect(client.received).toMatch(/^HTTP\/1\.1 101 /);
    expect(client.received).toMatch(/\r\nsec-websocket-accept: a\r\n/i);
    await server.untilText('early bytes');
    const large = 'large '.repeat(300_000);
    client.send(large);
    await server.until(({ received }) => received.length >= large.length + 11, 'the large message');
    server.send('to the client');
    await client.untilText('to the client');
    client.socket.end();
    await server.untilEnd();
    expect(server.closed).toBe(false);
    server.send('last words');
    server.socket.end();
    await client.untilText('last words');
    await client.untilEnd();
    await eventually(() => log.length === 1, 'the request is logged');
    expect(log[0]).toMatchObject({ path: '/chat', responseCode: 101, responseFlags: '-' });
    await eventually(() => proxy.dataPlane.stats.downstreamCxActive === 0, 'the connection is gone');
    expect(proxy.dataPlane.stats.downstreamRqActive).toBe(0);
    expect(proxy.dataPlane.clusters()[0]?.endpoints[0]?.rqActive).toBe(0);
  });

  it('end for both where one side is cut', async () => {
    const { proxy, upstream } = await startOneCluster(ENABLED);
    const client = await proxy.client();
    client.send(UPGRADE);
    const server = await upstream.next();
    await server.message();
    server.send(SWITCHING);
    await client.untilText('\r\n\r\n');
    (client.socket as import('node:net').Socket).resetAndDestroy();
    await server.untilEnd();
    const again = await proxy.client();
    again.send(UPGRADE);
    const next = await upstream.next();
    await next.message();
    next.send(SWITCHING);
    await again.untilText('\r\n\r\n');
    next.socket.destroy();
    await again.untilEnd();
  });

  it('that are refused by the server leave a connection of HTTP/1.1', async () => {
    const { proxy, upstream } = await startOneCluster(ENABLED);
    const client = await proxy.client();
    client.send(`${UPGRADE}GET /next HTTP/1.1\r\nHost: x\r\n\r\n`);
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno');
    expect((await client.message()).body).toBe('no');
    expect((await server.message()).head).toMatch(/^GET \/next /);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('are answered 403 where neither listener nor route allow them', async () => {
    const off = { upgrade_configs: [{ upgrade_type: 'websocket', enabled: false }] };
    const on = { upgrade_configs: [{ upgrade_type: 'websocket' }] };
    for (const options of [{}, { hcm: off }, { ...ENABLED, route: off }]) {
      const { proxy } = await startOneCluster(options);
      const client = await proxy.client();
      client.send(UPGRADE);
      await client.untilEnd();
      expect(client.received).toMatch(/^HTTP\/1\.1 403 /);
    }
    const { proxy, upstream } = await startOneCluster({ route: on });
    const client = await proxy.client();
    client.send(UPGRADE);
    expect((await (await upstream.next()).message()).head).toMatch(/^GET \/chat /);
  });

  it('outlive the route time-out, and end when nothing moves', async () => {
    const { proxy, upstream, log } = await startOneCluster({
      hcm: { ...ENABLED.hcm, stream_idle_timeout: '0.6s' },
      route: { timeout: '0.2s' },
    });
    const client = await proxy.client();
    client.send(UPGRADE);
    const server = await upstream.next();
    await server.message();
    server.send(SWITCHING);
    const startMs = performance.now();
    await client.untilEnd();
    expect(performance.now() - startMs).toBeGreaterThan(400);
    await eventually(() => log.length === 1, 'the request is logged');
    expect(log[0]).toMatchObject({ responseCode: 101, responseFlags: 'SI' });
  });
});

describe('extended CONNECT', () => {
  it('of a client becomes an upgrade', async () => {
    const { proxy, upstream } = await startOneCluster({
      hcm: { ...ENABLED.hcm, http2_protocol_options: { allow_connect: true } },
    });
    const session = http2Client(proxy.port());
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    expect(session.remoteSettings.enableConnectProtocol).toBe(true);
    const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/chat' });
    const status = new Promise((resolve) => stream.once('response', (headers) => resolve(headers[':status'])));
    stream.write('early');
    const server = await upstream.next();
    const { head } = await server.message();
    expect(head).toMatch(/^GET \/chat HTTP\/1\.1\r\n/);
    expect(head).toMatch(/\r\nupgrade: websocket\r\n/i);
    server.send(`${SWITCHING}hello`);
    expect(await status).toBe(200);
    expect(await new Promise((resolve) => stream.once('data', (data: Buffer) => resolve(data.toString())))).toBe(
      'hello',
    );
    await server.untilText('early');
    stream.end('bye');
    await server.untilText('bye');
    await server.untilEnd();
    server.send('last');
    server.socket.end();
    expect(await new Promise((resolve) => stream.once('data', (data: Buffer) => resolve(data.toString())))).toBe(
      'last',
    );
    await new Promise((resolve) => stream.once('close', resolve));
    expect(stream.rstCode).toBe(0);
  });

  it('is refused where nothing allows it', async () => {
    const { proxy } = await startOneCluster({ hcm: { http2_protocol_options: { allow_connect: true } } });
    const session = http2Client(proxy.port());
    const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/' });
    stream.on('error', () => {});
    expect(await new Promise((resolve) => stream.once('response', (headers) => resolve(headers[':status'])))).toBe(403);
  });

  async function http2Upstream(enableConnectProtocol: boolean, handle: (stream: ServerHttp2Stream) => void) {
    const server = createServer({ settings: { enableConnectProtocol } });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      stream.respond({ ':status': headers[':protocol'] === 'websocket' ? 200 : 400 });
      handle(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => server.close());
    const hcm = connectionManager(anyHost(toCluster('c')), ENABLED.hcm);
    const http2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
    const endpoint = endpointOf((server.address() as AddressInfo).port);
    return startProxy(dataPlaneConfig([listener('l', [{ filters: [hcm] }])], [cluster('c', [endpoint], http2)]));
  }

  it('is what an upgrade becomes toward a server of HTTP/2', async () => {
    const proxy = await http2Upstream(true, (stream) => stream.pipe(stream));
    const client = await proxy.client();
    client.send(`${UPGRADE}echo me`);
    await client.untilText('echo me');
    expect(client.received).toMatch(/^HTTP\/1\.1 101 /);
    expect(client.received).toMatch(/\r\nupgrade: websocket\r\n/i);
    client.send('again');
    await client.untilText('again');
    client.socket.end();
    await client.untilEnd();
    await eventually(() => proxy.dataPlane.stats.downstreamCxActive === 0, 'the connection is gone');
  });

  it('is not sent to a server that does not take it', async () => {
    const proxy = await http2Upstream(false, (stream) => stream.end());
    const client = await proxy.client();
    client.send(UPGRADE);
    await client.untilText('\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1\.1 502 /);
  });
});
