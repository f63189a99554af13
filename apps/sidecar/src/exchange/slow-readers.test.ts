// Clients that read late: they get everything, and nobody else waits for them.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { type ProxyFixture, startProxy } from '../testing/proxy-fixture.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** An app that answers `/N` with N bytes and keeps its connections. */
async function startBehindApp(clusterExtra: object = {}): Promise<ProxyFixture> {
  const app = createServer((request, response) => response.end('x'.repeat(Number(request.url?.slice(1)))));
  app.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    app.closeAllConnections();
    await new Promise((resolve) => app.close(resolve));
  });
  const { port } = app.address() as AddressInfo;
  return startProxy(
    dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
      [cluster('c', [endpointOf(port)], clusterExtra as Record<string, unknown>)],
    ),
  );
}

async function standstill(value: () => number): Promise<void> {
  for (let before = -1; before !== value(); ) {
    before = value();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('a client that reads late', () => {
  it('gets all answers to what it pipelined', async () => {
    const proxy = await startBehindApp();
    const client = await proxy.client();
    client.socket.pause();
    const count = 1000;
    client.send('GET /20000 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count));
    await standstill(() => proxy.dataPlane.stats.downstreamRqTotal);
    expect(proxy.dataPlane.stats.downstreamRqTotal).toBeLessThan(count);
    client.socket.resume();
    await client.until(({ received }) => received.length > count * 20_000, 'all answers');
  });

  it('does not leave a connection in the pool that nobody reads', async () => {
    const thresholds = [{ max_connections: 1, max_pending_requests: 10 }];
    const proxy = await startBehindApp({ circuit_breakers: { thresholds } });
    for (let count = 190; count <= 220; count++) {
      const slow = await proxy.client();
      slow.socket.pause();
      slow.send('GET /20000 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(count));
      await standstill(() => proxy.dataPlane.stats.downstreamRqTotal);
      slow.socket.destroy();
      const other = await proxy.client();
      other.send('GET /2 HTTP/1.1\r\nHost: x\r\n\r\n');
      expect((await other.message()).body).toBe('xx');
      other.socket.destroy();
    }
  });

  it('gets the whole of a response after which its connection is closed', async () => {
    const proxy = await startBehindApp();
    const sizes = Array.from({ length: 30 }, (_, index) => 3_000_000 + index * 100_000);
    const lengths = await Promise.all(
      sizes.map(async (size) => {
        const client = await proxy.client();
        client.socket.pause();
        client.send(`GET /${size} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        // Longer than a closing connection is kept once everything was sent.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        client.socket.resume();
        await client.untilEnd();
        return client.received.length - client.received.indexOf('\r\n\r\n') - 4;
      }),
    );
    expect(lengths).toEqual(sizes);
  });
});
