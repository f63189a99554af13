// Long response bodies: whole, not mixed up, ended where they end, nothing left behind.

import { randomFillSync } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
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
import { type ProxyFixture, startProxy, startUpstream } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function proxyTo(port: number): Promise<ProxyFixture> {
  return startProxy(
    dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')))] }])],
      [cluster('c', [endpointOf(port)])],
    ),
  );
}

function randomBodies(count: number, sizeOf: (index: number) => number): Buffer[] {
  return Array.from({ length: count }, (_, index) => randomFillSync(Buffer.allocUnsafe(sizeOf(index))));
}

/** An app that answers `/INDEX` with that body in pieces, each once the one before has left. */
async function startApp(bodies: readonly Buffer[]): Promise<number> {
  const sendFrom = (response: ServerResponse, body: Buffer, at: number): void => {
    const end = at + 1 + ((at * 7919 + body.length * 31) % 90_000);
    if (end >= body.length) response.end(body.subarray(at));
    else response.write(body.subarray(at, end), () => setImmediate(sendFrom, response, body, end));
  };
  const app = createServer((request, response) => {
    const body = bodies[Number(request.url?.slice(1))]!;
    response.setHeader('content-length', body.length);
    sendFrom(response, body, 0);
  });
  app.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    app.closeAllConnections();
    await new Promise((resolve) => app.close(resolve));
  });
  return (app.address() as AddressInfo).port;
}

/** More at a time than there are large output blocks; every third client pauses again and again. */
const CLIENTS = 40;

describe('long bodies', () => {
  it('of many at once arrive whole, one after the other on each connection', async () => {
    const bodies = randomBodies(3 * CLIENTS, (index) => 5000 + index * index * 60);
    const proxy = await proxyTo(await startApp(bodies));
    const ask = async (of: number): Promise<void> => {
      const client = await proxy.client();
      const slow = of % 3 === 0 ? setInterval(() => toggle(client.socket), 5) : undefined;
      for (const index of [of, of + CLIENTS, of + 2 * CLIENTS]) {
        client.send(`GET /${index} HTTP/1.1\r\nHost: x\r\n\r\n`);
        const { body } = await client.message();
        expect(body === bodies[index]!.toString('latin1'), `body ${index}`).toBe(true);
      }
      clearInterval(slow);
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, index) => ask(index)));
    await eventually(() => proxy.dataPlane.stats.ringUsedBytes === 0, 'all output blocks are free');
    expect(proxy.dataPlane.stats).toMatchObject({ downstreamRqActive: 0, downstreamRq2xx: 3 * CLIENTS });
  });

  it('end where their length says, and a connection with more than that is not used again', async () => {
    const upstream = await startUpstream();
    const proxy = await proxyTo(upstream.port);
    const client = await proxy.client();
    const [body] = randomBodies(1, () => 200_000) as [Buffer];
    for (const excess of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad']) {
      client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      const server = excess === '' ? await upstream.next() : upstream.connections[0]!;
      await server.message();
      server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
      server.send(body.subarray(0, 150_000));
      await client.until(({ received }) => received.length > 150_000, 'the first part');
      server.send(Buffer.concat([body.subarray(150_000), Buffer.from(excess)]));
      expect((await client.message()).body === body.toString('latin1')).toBe(true);
    }
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const next = await upstream.next();
    await next.message();
    next.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood');
    expect((await client.message()).body).toBe('good');
    expect(proxy.dataPlane.stats.ringUsedBytes).toBe(0);
  });

  it.each(['client', 'upstream'] as const)(
    'that are cut by the %s in the middle leave no block behind',
    async (side) => {
      const upstream = await startUpstream();
      const proxy = await proxyTo(upstream.port);
      const half = Buffer.alloc(100_000, 'h');
      const cuts = Array.from({ length: 20 }, async () => {
        const client = await proxy.client();
        client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
        const server = await upstream.next();
        await server.message();
        server.send('HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n');
        server.send(half);
        // Of whichever client it is the answer to.
        return { client, server };
      });
      const pairs = await Promise.all(cuts);
      await Promise.all(
        pairs.map(({ client }) => client.until(({ received }) => received.length > half.length, 'the half')),
      );
      for (const pair of pairs) (side === 'client' ? pair.client : pair.server).socket.destroy();
      await eventually(() => proxy.dataPlane.stats.downstreamRqActive === 0, 'all exchanges are over');
      await eventually(() => proxy.dataPlane.stats.ringUsedBytes === 0, 'all output blocks are free');
    },
  );
});

function toggle(socket: { isPaused(): boolean; pause(): unknown; resume(): unknown }): void {
  if (socket.isPaused()) socket.resume();
  else socket.pause();
}
