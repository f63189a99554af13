// TCP proxy: what a client and an upstream see of each other, half-closes and failures included.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { cluster, dataPlaneConfig, endpointOf, listener, TLS_INSPECTOR } from '../testing/envoy-config.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { type ProxyFixture, startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { echo, openClient, readAll, startTcpServer, TCP_STATS, tcpProxy } from './tcp-fixture.js';

interface Setup {
  readonly proxy: ProxyFixture;
  readonly log: AccessLogRecord[];
}

async function start(
  ports: readonly number[],
  options: { proxy?: object; cluster?: object; listener?: object } = {},
): Promise<Setup> {
  const log: AccessLogRecord[] = [];
  const filter = tcpProxy({ cluster: 'c' }, { ...ACCESS_LOG, ...options.proxy });
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [TCP_STATS, filter] }], { traffic_direction: 'OUTBOUND', ...options.listener })],
    [
      cluster(
        'c',
        ports.map((port) => endpointOf(port)),
        { lb_policy: 'ROUND_ROBIN', ...options.cluster },
      ),
    ],
  );
  const proxy = await startProxy(config, { createAccessLogSink: () => (record) => log.push(record) });
  return { proxy, log };
}

function greetAndLeaveLast(socket: Socket): void {
  socket.write('hi');
  socket.resume();
  socket.on('end', () => socket.end());
}

/** A port where nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('TCP proxy', () => {
  it('carries bytes both ways and logs and counts them', async () => {
    const { proxy, log } = await start([await startTcpServer(echo)]);
    const client = await openClient(proxy.port());
    const all = readAll(client);
    client.end('hello');
    expect((await all).toString()).toBe('hello');
    await eventually(() => log.length === 1, 'the connection is logged');
    expect(log[0]).toMatchObject({
      bytesReceived: 5,
      bytesSent: 5,
      responseCode: 0,
      responseFlags: '-',
      protocol: undefined,
      upstreamCluster: 'c',
      attemptCount: 1,
    });
    expect(log[0]?.upstreamHost).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(log[0]?.upstreamLocalAddress).toMatch(/^127\.0\.0\.1:\d+$/);
    const [series] = [...proxy.dataPlane.tcpMetricSeries()];
    expect(series).toMatchObject({ openedTotal: 1, closedTotal: 1, sentBytesTotal: 5, receivedBytesTotal: 5 });
    expect(series?.labels).toMatchObject({ reporter: 'source', request_protocol: 'tcp', response_flags: '-' });
    expect(series?.labels).not.toHaveProperty('response_code');
    expect(proxy.dataPlane.stats).toMatchObject({ downstreamCxActive: 0, upstreamCxActive: 0, tcpCxActive: 0 });
  });

  it('lets a server speak first', async () => {
    const { proxy } = await start([await startTcpServer((socket) => socket.write('220 ready\r\n'))]);
    const client = await openClient(proxy.port());
    const [greeting] = (await once(client, 'data')) as [Buffer];
    expect(greeting.toString()).toBe('220 ready\r\n');
  });

  it('keeps one direction open when the other has ended', async () => {
    // The upstream answers only after its client has ended.
    const port = await startTcpServer((socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => socket.end(`got ${Buffer.concat(chunks).length}`));
    });
    const { proxy } = await start([port]);
    const client = await openClient(proxy.port());
    const all = readAll(client);
    client.end(Buffer.alloc(300_000));
    expect((await all).toString()).toBe('got 300000');
  });

  it('lets a client send after the upstream has ended', async () => {
    let received = 0;
    let ended = false;
    const port = await startTcpServer((socket) => {
      socket.end('bye');
      socket.on('data', (chunk) => (received += chunk.length));
      socket.on('end', () => (ended = true));
    });
    const { proxy, log } = await start([port]);
    const client = await openClient(proxy.port());
    expect((await readAll(client)).toString()).toBe('bye');
    client.write(Buffer.alloc(100_000));
    await eventually(() => received === 100_000, 'the upstream has everything');
    client.end();
    await eventually(() => ended, 'the upstream sees the end');
    await eventually(() => log.length === 1, 'the connection is over');
  });

  it('hands a reset on as a reset, in both directions', async () => {
    const upstreamPort = await startTcpServer((socket) => {
      socket.write('part');
      socket.once('data', () => socket.resetAndDestroy());
    });
    const { proxy, log } = await start([upstreamPort]);
    const client = await openClient(proxy.port());
    const errors: Error[] = [];
    let ended = false;
    client.on('end', () => (ended = true));
    client.on('error', (error) => errors.push(error));
    await once(client, 'data');
    client.write('x');
    await eventually(() => client.closed, 'the client is cut off');
    expect(errors.map((error) => (error as NodeJS.ErrnoException).code)).toEqual(['ECONNRESET']);
    expect(ended).toBe(false);

    let upstreamError: NodeJS.ErrnoException | undefined;
    const port = await startTcpServer((socket) => socket.on('error', (error) => (upstreamError = error)));
    const second = await start([port]);
    const leaver = await openClient(second.proxy.port());
    leaver.write('x');
    await eventually(() => second.proxy.dataPlane.stats.upstreamCxActive === 1, 'the upstream is connected');
    leaver.resetAndDestroy();
    await eventually(() => upstreamError !== undefined, 'the upstream sees the reset');
    expect(upstreamError?.code).toBe('ECONNRESET');
    await eventually(() => log.length === 1 && second.log.length === 1, 'both are logged');
  });

  it('closes with UF,URX where nobody listens, after as many attempts as are configured', async () => {
    const port = await closedPort();
    const { proxy, log } = await start([port, await closedPort()], { proxy: { max_connect_attempts: 3 } });
    const client = await openClient(proxy.port());
    expect((await readAll(client)).length).toBe(0);
    await eventually(() => log.length === 1, 'the connection is logged');
    expect(log[0]).toMatchObject({ responseFlags: 'UF,URX', attemptCount: 3 });
    expect(log[0]?.upstreamTransportFailureReason).toContain('Connection refused');
    const [series] = [...proxy.dataPlane.tcpMetricSeries()];
    expect(series).toMatchObject({ openedTotal: 1, closedTotal: 1 });
    expect(series?.labels.response_flags).toBe('UF,URX');
  });

  it('goes to another endpoint where attempts are left', async () => {
    const ports = [await closedPort(), await startTcpServer(echo)];
    const { proxy } = await start(ports, { proxy: { max_connect_attempts: 2 } });
    for (let round = 0; round < 4; round++) {
      const client = await openClient(proxy.port());
      const all = readAll(client);
      client.end('again');
      expect((await all).toString()).toBe('again');
    }
  });

  it('closes with UH without endpoints, with NC without the cluster', async () => {
    const none = await start([]);
    await readAll(await openClient(none.proxy.port()));
    await eventually(() => none.log.length === 1, 'it is logged');
    expect(none.log[0]?.responseFlags).toBe('UH');
    const missing = await start([], { proxy: { cluster: 'other' } });
    await readAll(await openClient(missing.proxy.port()));
    await eventually(() => missing.log.length === 1, 'it is logged');
    expect(missing.log[0]?.responseFlags).toBe('NC');
  });

  it('refuses connections over the limit with UO', async () => {
    const { proxy, log } = await start([await startTcpServer(greetAndLeaveLast)], {
      cluster: { circuit_breakers: { thresholds: [{ max_connections: 1 }] } },
    });
    const first = await openClient(proxy.port());
    await once(first, 'data');
    await readAll(await openClient(proxy.port()));
    await eventually(() => log.length === 1, 'the second is logged');
    expect(log[0]?.responseFlags).toBe('UO');
    first.destroy();
    await eventually(() => log.length === 2, 'the first is over');
    const third = await openClient(proxy.port());
    await once(third, 'data');
  });

  it('spreads connections by weight', async () => {
    const a = await startTcpServer((socket) => socket.end('a'));
    const b = await startTcpServer((socket) => socket.end('b'));
    const weights = {
      clusters: [
        { name: 'a', weight: 80 },
        { name: 'b', weight: 20 },
      ],
    };
    const config = dataPlaneConfig(
      [listener('l', [{ filters: [tcpProxy({ weighted_clusters: weights })] }])],
      [cluster('a', [endpointOf(a)]), cluster('b', [endpointOf(b)])],
    );
    const proxy = await startProxy(config);
    let toA = 0;
    const count = 300;
    for (let index = 0; index < count; index++) {
      const client = await openClient(proxy.port());
      const answer = await readAll(client);
      client.end();
      if (answer.toString() === 'a') toA++;
    }
    // 80 % within five standard deviations.
    expect(Math.abs(toA - 240)).toBeLessThan(35);
  });

  it('chooses the endpoint by the address of the client where the listener hashes it', async () => {
    const names = ['a', 'b', 'c'];
    const ports = await Promise.all(names.map((name) => startTcpServer((socket) => socket.end(name))));
    const { proxy } = await start(ports, {
      proxy: { hash_policy: [{ source_ip: {} }] },
      cluster: { lb_policy: 'MAGLEV' },
    });
    const askFrom = async (localAddress: string): Promise<string> => {
      const client = connect({ port: proxy.port(), host: '127.0.0.1', localAddress });
      return (await readAll(client)).toString();
    };
    const chosen = new Set<string>();
    for (let last = 1; last <= 12; last++) {
      const answers = await Promise.all([1, 2, 3].map(() => askFrom(`127.0.0.${last}`)));
      expect(new Set(answers).size, `of 127.0.0.${last}`).toBe(1);
      chosen.add(answers[0]!);
    }
    expect([...chosen].sort()).toEqual(names);
  });

  it('ends what is idle, and what is too old', async () => {
    const idle = await start([await startTcpServer(echo)], { proxy: { idle_timeout: '0.2s' } });
    const quiet = await openClient(idle.proxy.port());
    await readAll(quiet);
    await eventually(() => idle.log.length === 1, 'it is logged');
    expect(idle.log[0]?.responseFlags).toBe('-');

    const aged = await start([await startTcpServer(echo)], { proxy: { max_downstream_connection_duration: '0.2s' } });
    await readAll(await openClient(aged.proxy.port())).catch(() => {});
    await eventually(() => aged.log.length === 1, 'it is logged');
    expect(aged.log[0]?.responseFlags).toBe('DT');
  });

  it('does not read faster than the other side takes, in either direction', async () => {
    let upstream: Socket | undefined;
    const port = await startTcpServer((socket) => {
      upstream = socket;
      socket.pause();
    });
    const { proxy } = await start([port]);
    const client = await openClient(proxy.port());
    client.pause();
    await eventually(() => upstream !== undefined, 'the upstream is connected');
    const chunk = Buffer.alloc(1 << 20, 1);
    for (let sent = 0; sent < 32; sent++) {
      client.write(chunk);
      upstream!.write(chunk);
    }
    const taken = () => {
      const [series] = [...proxy.dataPlane.tcpMetricSeries()];
      return (series?.sentBytesTotal ?? 0) + (series?.receivedBytesTotal ?? 0);
    };
    // What the proxy took fills the system's buffers behind it and its own: a part of the 64 MiB that are offered.
    let last = -1;
    let steady = 0;
    await eventually(() => {
      steady = taken() === last && last > 0 ? steady + 1 : 0;
      last = taken();
      return steady > 20;
    }, 'nothing moves any more');
    expect(last).toBeLessThan(40 << 20);
    expect(proxy.dataPlane.stats.ringUsedBytes).toBeLessThan(1 << 20);
    // And everything arrives in the end.
    let received = 0;
    let answered = 0;
    upstream!.on('data', (data) => (received += data.length)).resume();
    client.on('data', (data) => (answered += data.length)).resume();
    client.end();
    upstream!.end();
    await eventually(() => received === 32 << 20 && answered === 32 << 20, 'all 32 MiB have come both ways');
  });
});

describe('TLS inspector before a TCP proxy', () => {
  const inspected = (extra: object) => ({
    listener_filters: [TLS_INSPECTOR],
    listener_filters_timeout: '0.3s',
    ...extra,
  });

  it('lets a server speak first once the client has said nothing in time', async () => {
    const { proxy } = await start([await startTcpServer((socket) => socket.write('hello'))], {
      listener: inspected({ continue_on_listener_filters_timeout: true }),
    });
    const [greeting] = (await once(await openClient(proxy.port()), 'data')) as [Buffer];
    expect(greeting.toString()).toBe('hello');
  });

  it('hands on what was read while looking', async () => {
    const { proxy } = await start([await startTcpServer(echo)], {
      listener: inspected({ continue_on_listener_filters_timeout: true }),
    });
    const client = await openClient(proxy.port());
    // The beginning of a TLS record, and then nothing: no ClientHello.
    client.write(Buffer.from([22, 3, 1]));
    const [back] = (await once(client, 'data')) as [Buffer];
    expect([...back]).toEqual([22, 3, 1]);
  });

  it('closes what says nothing in time where it is not to go on', async () => {
    const { proxy } = await start([await startTcpServer((socket) => socket.write('hello'))], {
      listener: inspected({}),
    });
    expect((await readAll(await openClient(proxy.port()))).length).toBe(0);
  });
});
