// TCP between two sidecars: mutual TLS, half-closes, who the peers are, and every byte in its place.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { TestAuthority } from '@lateen/identity/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { cluster, dataPlaneConfig, endpointOf, listener, TLS_INSPECTOR, testNode } from '../testing/envoy-config.js';
import { meshClientSocketOf, meshServerSocket, workloadSecrets } from '../testing/mesh-identity.js';
import { ACCESS_LOG } from '../testing/one-cluster.js';
import { type ProxyFixture, startProxy } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';
import { echo, openClient, readAll, sha256, startTcpServer, TCP_EXCHANGE, TCP_STATS, tcpProxy } from './tcp-fixture.js';

let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.create();
});

const ALPN = ['istio-peer-exchange', 'istio'];

interface Mesh {
  readonly client: ProxyFixture;
  readonly server: ProxyFixture;
  readonly log: AccessLogRecord[];
}

function node(name: string) {
  return testNode({
    NAME: `${name}-1`,
    NAMESPACE: 'default',
    WORKLOAD_NAME: name,
    LABELS: { app: name, version: 'v1' },
  });
}

/** A client's sidecar, mutual TLS, a server's sidecar (PERMISSIVE), and an application. */
async function startMesh(
  appPort: number,
  options: { alpn?: readonly string[]; exchange?: boolean } = {},
): Promise<Mesh> {
  const { alpn = ALPN, exchange = true } = options;
  const log: AccessLogRecord[] = [];
  const filters = [...(exchange ? [TCP_EXCHANGE] : []), TCP_STATS, tcpProxy({ cluster: 'app' }, ACCESS_LOG)];
  const server = await startProxy(
    dataPlaneConfig(
      [
        listener(
          'in',
          [
            {
              name: 'mtls',
              filter_chain_match: {
                transport_protocol: 'tls',
                application_protocols: ['istio', 'istio-peer-exchange'],
              },
              filters,
              transport_socket: meshServerSocket(),
            },
            { name: 'tls', filter_chain_match: { transport_protocol: 'tls' }, filters },
            { name: 'plaintext', filter_chain_match: { transport_protocol: 'raw_buffer' }, filters },
          ],
          {
            traffic_direction: 'INBOUND',
            listener_filters: [TLS_INSPECTOR],
            listener_filters_timeout: '0.3s',
            continue_on_listener_filters_timeout: true,
          },
        ),
      ],
      [cluster('app', [endpointOf(appPort)])],
      await workloadSecrets(authority, 'db'),
    ),
    { node: node('db'), createAccessLogSink: () => (record) => log.push(record) },
  );
  const client = await startProxy(
    dataPlaneConfig(
      [listener('out', [{ filters: [TCP_STATS, tcpProxy({ cluster: 'db' })] }], { traffic_direction: 'OUTBOUND' })],
      [
        cluster('db', [endpointOf(server.port())], {
          transport_socket: meshClientSocketOf(['db'], alpn),
          ...(exchange ? { filters: [TCP_EXCHANGE] } : {}),
        }),
      ],
      await workloadSecrets(authority, 'shop'),
    ),
    { node: node('shop') },
  );
  return { client, server, log };
}

function onlySeries(proxy: ProxyFixture) {
  const all = [...proxy.dataPlane.tcpMetricSeries()];
  expect(all.length).toBe(1);
  return all[0]!;
}

describe('TCP between sidecars', () => {
  it('is mutual TLS, and both reporters know both sides', async () => {
    const { client, server, log } = await startMesh(await startTcpServer(echo));
    const socket = await openClient(client.port());
    const all = readAll(socket);
    socket.end('ping');
    expect((await all).toString()).toBe('ping');
    await eventually(() => log.length === 1, 'the server side logs it');
    expect(log[0]).toMatchObject({
      bytesReceived: 4,
      bytesSent: 4,
      downstreamPeerUriSan: 'spiffe://cluster.local/ns/default/sa/shop',
      requestedServerName: 'outbound_.9080_._.reviews.default.svc.cluster.local',
    });
    const names = {
      source_workload: 'shop',
      source_app: 'shop',
      source_version: 'v1',
      source_principal: 'spiffe://cluster.local/ns/default/sa/shop',
      destination_workload: 'db',
      destination_app: 'db',
      destination_principal: 'spiffe://cluster.local/ns/default/sa/db',
      request_protocol: 'tcp',
    };
    await eventually(() => client.dataPlane.stats.tcpCxActive === 0, 'the client side is over too');
    const source = onlySeries(client);
    const destination = onlySeries(server);
    expect(source.labels).toMatchObject({ ...names, reporter: 'source' });
    expect(destination.labels).toMatchObject({
      ...names,
      reporter: 'destination',
      connection_security_policy: 'mutual_tls',
    });
    const counts = { openedTotal: 1, closedTotal: 1, sentBytesTotal: 4, receivedBytesTotal: 4 };
    expect(source).toMatchObject(counts);
    expect(destination).toMatchObject(counts);
  });

  it('lets the server speak first, and keeps half-closed connections open', async () => {
    const port = await startTcpServer((socket) => {
      socket.write('ready');
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => socket.end(`got ${Buffer.concat(chunks)}`));
    });
    const { client } = await startMesh(port);
    const socket = await openClient(client.port());
    const all = readAll(socket);
    await once(socket, 'data');
    socket.end('query');
    expect((await all).toString()).toBe('readygot query');
  });

  it('adds no bytes where the peers have not agreed to introduce themselves', async () => {
    for (const options of [{ alpn: ['istio'] }, { exchange: false }]) {
      const { client } = await startMesh(await startTcpServer(echo), options);
      const socket = await openClient(client.port());
      const all = readAll(socket);
      socket.end('ping');
      expect((await all).toString()).toBe('ping');
    }
  });

  it('takes plaintext beside it, from servers that speak first too, and hands on TLS that is not the mesh’s', async () => {
    const { server, log } = await startMesh(await startTcpServer((socket) => socket.end('hello')));
    expect((await readAll(await openClient(server.port()))).toString()).toBe('hello');
    const foreign = connectTls({ port: server.port(), host: '127.0.0.1', rejectUnauthorized: false });
    foreign.on('error', () => {});
    // The application answers the ClientHello with its own bytes, which are no TLS.
    await eventually(() => foreign.closed || log.some(({ bytesReceived }) => bytesReceived > 100), 'the hello arrives');
    foreign.destroy();
  });

  it('cuts the client off where the server is cut off', async () => {
    const port = await startTcpServer((socket) => {
      socket.write('part');
      socket.once('data', () => socket.resetAndDestroy());
    });
    const { client } = await startMesh(port);
    const socket = await openClient(client.port());
    await once(socket, 'data');
    socket.write('x');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.resume();
    socket.once('end', () => socket.destroy());
    await closed;
    await eventually(() => client.dataPlane.stats.tcpCxActive === 0, 'nothing is left of it');
  });

  it('carries 16 MiB each way at once without a byte wrong', async () => {
    const { client } = await startMesh(await startTcpServer(echo));
    const socket = await openClient(client.port());
    const bytes = Buffer.alloc(16 << 20);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
    const all = readAll(socket);
    socket.end(bytes);
    expect(sha256(await all)).toBe(sha256(bytes));
  });
});

/** What one end does: writes of these sizes, with a pause of the event loop after some, then its end. */
interface Script {
  readonly writes: readonly number[];
  readonly pauseAfter: readonly boolean[];
  /** It ends only after the other end has. */
  readonly endsLast: boolean;
}

const script: fc.Arbitrary<Script> = fc.record({
  writes: fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 300_000 })), { maxLength: 12 }),
  pauseAfter: fc.array(fc.boolean(), { maxLength: 12 }),
  endsLast: fc.boolean(),
});

/** The byte at a place of a stream: both ends know what must arrive. */
function expected(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (Math.imul(at + 1, seed) >>> 11) & 0xff;
  return bytes;
}

async function play(
  socket: Socket,
  { writes, pauseAfter, endsLast }: Script,
  seed: number,
  otherEnded: Promise<unknown>,
) {
  const total = writes.reduce((sum, length) => sum + length, 0);
  const bytes = expected(seed, total);
  let at = 0;
  for (const [index, length] of writes.entries()) {
    socket.write(bytes.subarray(at, at + length));
    at += length;
    if (pauseAfter[index]) await new Promise((resolve) => setImmediate(resolve));
  }
  if (endsLast) await otherEnded;
  socket.end();
}

describe('every chunking and every order of ends', () => {
  it.each([{ exchange: true }, { exchange: false }])('loses and reorders no byte (%o)', async (options) => {
    const accepted: Socket[] = [];
    const appPort = await startTcpServer((socket) => accepted.push(socket));
    const { client, server } = await startMesh(appPort, options);
    // Through both sidecars, and through one of them in plaintext.
    for (const port of [client.port(), server.port()]) {
      await fc.assert(
        fc.asyncProperty(script, script, async (ours, theirs) => {
          const [mine, yours] = [3_266_489_917, 668_265_263];
          const count = accepted.length;
          const near = await openClient(port);
          // The inspector of a PERMISSIVE port waits for the client's first byte.
          near.write('!');
          await eventually(() => accepted.length > count, 'the application has the connection');
          const far = accepted.at(-1)!;
          const [atNear, atFar] = [readAll(near), readAll(far)];
          const both = theirs.endsLast && ours.endsLast;
          await Promise.all([
            play(near, both ? { ...ours, endsLast: false } : ours, mine, atNear),
            play(far, theirs, yours, atFar),
          ]);
          const total = ({ writes }: Script) => writes.reduce((sum, length) => sum + length, 0);
          expect((await atFar).subarray(1).equals(expected(mine, total(ours)))).toBe(true);
          expect((await atNear).equals(expected(yours, total(theirs)))).toBe(true);
          near.destroy();
          far.destroy();
        }),
        { numRuns: 15 },
      );
    }
    await eventually(() => client.dataPlane.stats.tcpCxActive === 0, 'no connection is left');
    await eventually(() => server.dataPlane.stats.tcpCxActive === 0, 'no connection is left');
    expect(client.dataPlane.stats.ringUsedBytes).toBe(0);
    expect(server.dataPlane.stats.ringUsedBytes).toBe(0);
  });
});
