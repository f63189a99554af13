// Configuration: all or nothing, swapped between two requests; what is unchanged keeps its sockets and connections.

import { createServer } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { describe, expect, it } from 'vitest';
import { ConfigRejected, type DataPlaneConfig } from './data-plane.js';
import {
  address,
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from './testing/envoy-config.js';
import { startProxy, startUpstream } from './testing/proxy-fixture.js';
import { eventually, type RawConnection, type RawUpstream } from './testing/raw-peers.js';

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

async function answer(server: RawConnection, text: string): Promise<void> {
  await server.message();
  server.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
}

function simple(upstream: RawUpstream, name = 'c', extra: Record<string, unknown> = {}): DataPlaneConfig {
  return dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(anyHost(toCluster(name)))] }], extra)],
    [cluster(name, [endpointOf(upstream.port)])],
  );
}

async function rejection(promise: Promise<void>): Promise<ConfigRejected> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConfigRejected);
  return error as ConfigRejected;
}

describe('apply', () => {
  it('moves traffic to other routes and endpoints without touching unchanged listeners', async () => {
    const [one, two] = [await startUpstream(), await startUpstream()];
    const rds = (target: string) =>
      fromEnvoyJson(RouteConfigurationSchema, { name: 'r', ...anyHost(toCluster(target)) });
    const hcm = connectionManager({ rds: 'r' });
    const base = dataPlaneConfig(
      [listener('l', [{ filters: [hcm] }])],
      [cluster('one', [endpointOf(one.port)]), cluster('two', [endpointOf(two.port)])],
    );
    const proxy = await startProxy({ ...base, routes: new Map([['r', rds('one')]]) });
    const port = proxy.port();
    const client = await proxy.client();
    client.send(GET);
    await answer(await one.next(), 'one');
    expect((await client.message()).body).toBe('one');
    await proxy.dataPlane.apply({ ...base, routes: new Map([['r', rds('two')]]) });
    expect(proxy.port()).toBe(port);
    client.send(GET);
    const second = await two.next();
    await answer(second, 'two');
    const { head, body } = await client.message();
    expect(body).toBe('two');
    expect(head).not.toMatch(/connection: close/i);
  });

  it('takes a filter chain back that is still draining', async () => {
    const upstream = await startUpstream();
    const chain = (prefix: string) =>
      dataPlaneConfig(
        [listener('l', [{ filters: [connectionManager({ ...anyHost(toCluster('c')), name: prefix })] }])],
        [cluster('c', [endpointOf(upstream.port)])],
      );
    const proxy = await startProxy(chain('first'));
    await proxy.dataPlane.apply(chain('second'));
    await proxy.dataPlane.apply(chain('first'));
    await proxy.dataPlane.apply(chain('second'));
    const client = await proxy.client();
    client.send(GET);
    await answer(await upstream.next(), 'ok');
    expect((await client.message()).body).toBe('ok');
  });

  it('lets requests in flight finish where their cluster is removed', async () => {
    const [one, two] = [await startUpstream(), await startUpstream()];
    const proxy = await startProxy(simple(one, 'one'));
    const client = await proxy.client();
    client.send(GET);
    const server = await one.next();
    await server.message();
    await proxy.dataPlane.apply(simple(two, 'two'));
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone');
    expect((await client.message()).body).toBe('done');
    await server.untilEnd();
  });

  it('drains the connections of a changed filter chain with their next response', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(simple(upstream));
    const port = proxy.port();
    const client = await proxy.client();
    client.send(GET);
    const server = await upstream.next();
    await answer(server, 'a');
    expect((await client.message()).head).not.toMatch(/connection: close/i);
    const changed = dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')), { server_name: 'other' })] }])],
      [cluster('c', [endpointOf(upstream.port)])],
    );
    await proxy.dataPlane.apply(changed);
    expect(proxy.port()).toBe(port);
    client.send(GET);
    await answer(server, 'b');
    const { head, body } = await client.message();
    expect(body).toBe('b');
    expect(head).toMatch(/\r\nconnection: close\r\n/i);
    await client.untilEnd();
    const late = await proxy.client();
    late.send(GET);
    await answer(server, 'c');
    expect((await late.message()).head).toMatch(/\r\nserver: other\r\n/i);
  });

  it('stops accepting on a removed listener and binds a new one, also on the same address', async () => {
    const upstream = await startUpstream();
    const port = await freePort();
    const at = (name: string) => simpleAt(upstream, name, port);
    const proxy = await startProxy(at('first'));
    const client = await proxy.client();
    await proxy.dataPlane.apply(at('second'));
    expect(proxy.dataPlane.listeners().find(({ state }) => state === 'active')).toMatchObject({
      name: 'second',
      addresses: [{ address: '127.0.0.1', port }],
    });
    client.send(GET);
    const server = await upstream.next();
    await answer(server, 'a');
    expect((await client.message()).head).toMatch(/\r\nconnection: close\r\n/i);
    await proxy.dataPlane.apply(dataPlaneConfig([], []));
    await expect(proxy.client('second')).rejects.toThrow('no listener');
  });

  it('binds additional addresses', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(
      simple(upstream, 'c', { additional_addresses: [{ address: address('127.0.0.1', 0) }] }),
    );
    const [view] = proxy.dataPlane.listeners();
    expect(view?.addresses).toHaveLength(2);
    expect(new Set(view?.addresses.map((each) => each.port)).size).toBe(2);
  });

  it('keeps everything as it was where something is wrong, and says all of it', async () => {
    const upstream = await startUpstream();
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const proxy = await startProxy(simple(upstream));
    const bad = simple(upstream);
    const twoFaults = await rejection(
      proxy.dataPlane.apply({
        ...bad,
        listeners: [
          create(ListenerSchema, { name: 'empty' }),
          fromEnvoyJson(
            ListenerSchema,
            listener('filter', [
              {
                filters: [
                  {
                    name: 'x',
                    typed_config: {
                      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                    },
                  },
                ],
              },
            ]),
          ),
        ],
      }),
    );
    expect(twoFaults.problems.map(({ resourceName, path }) => `${resourceName} ${path}`)).toEqual(
      expect.arrayContaining(['empty filter_chains', 'empty address', 'filter filter_chains[0].filters[0]']),
    );
    const unbound = await rejection(
      proxy.dataPlane.apply(simple(upstream, 'c', { address: address('127.0.0.1', port), name: 'l' })),
    );
    expect(unbound.message).toMatch(/cannot bind 127.0.0.1:\d+: .*EADDRINUSE/);
    const client = await proxy.client();
    client.send(GET);
    await answer(await upstream.next(), 'still');
    expect((await client.message()).body).toBe('still');
    expect(proxy.dataPlane.stats).toMatchObject({ configApplied: 1, configRejected: 2 });
    await new Promise((resolve) => taken.close(resolve));
  });
});

describe('drain', () => {
  it('stops accepting, finishes what is in flight and says goodbye', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(simple(upstream));
    const port = proxy.port();
    const client = await proxy.client();
    const idle = await proxy.client();
    client.send(GET);
    const server = await upstream.next();
    await server.message();
    const drained = proxy.dataPlane.drain(5000);
    server.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
    await client.untilText('\r\n\r\n');
    await eventually(() => idle.ended, 'the idle connection is closed');
    server.send('done');
    expect((await client.message()).body).toBe('done');
    await client.untilEnd();
    await drained;
    await expect(proxy.client()).rejects.toThrow();
    expect(port).toBeGreaterThan(0);
  });

  it('ends at the grace time where a request does not', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(simple(upstream));
    const client = await proxy.client();
    client.send(GET);
    await (await upstream.next()).message();
    const startMs = performance.now();
    await proxy.dataPlane.drain(300);
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(290);
    await client.untilEnd();
  });
});

function simpleAt(upstream: RawUpstream, name: string, port: number): DataPlaneConfig {
  return dataPlaneConfig(
    [
      listener(name, [{ filters: [connectionManager(anyHost(toCluster('c')))] }], {
        address: address('127.0.0.1', port),
      }),
    ],
    [cluster('c', [endpointOf(upstream.port)])],
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
