// Nothing leaks: clients and upstreams that leave at any moment, over plain and mutual TLS, with swaps in between.

import { createServer, type Socket } from 'node:net';
import { TestAuthority } from '@lateen/identity/testing';
import { afterAll, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  TLS_INSPECTOR,
  toCluster,
} from './testing/envoy-config.js';
import { meshClientSocket, meshServerSocket, workloadSecrets } from './testing/mesh-identity.js';
import { type ProxyFixture, startProxy } from './testing/proxy-fixture.js';
import { connectRaw, eventually } from './testing/raw-peers.js';

const ROUNDS = 12;
const CLIENTS = 25;

/** A random number generator with a seed, so that a failure can be repeated. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const servers: { stop: () => Promise<void> }[] = [];
afterAll(async () => {
  for (const server of servers) await server.stop();
});

/** An upstream that answers, stalls, cuts, sends garbage or closes, as chance has it. */
async function startUnreliableUpstream(random: () => number): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let buffered = '';
    socket.on('data', (chunk: Buffer) => {
      buffered += chunk.toString('latin1');
      if (!buffered.includes('\r\n\r\n')) return;
      buffered = '';
      const dice = random();
      if (dice < 0.5) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else if (dice < 0.6) socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`);
      else if (dice < 0.65) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(300_000)}`);
      else if (dice < 0.7) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
      else if (dice < 0.75) socket.end('HTTP/1.1 200 OK\r\n\r\nuntil the end');
      else if (dice < 0.8) socket.write('nonsense\r\n\r\n');
      else if (dice < 0.9) socket.destroy();
      else socket.resetAndDestroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push({
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
  return (server.address() as { port: number }).port;
}

/** A client that sends something, reads a little, and leaves when it likes. */
async function disturb(port: number, random: () => number): Promise<void> {
  const client = await connectRaw(port);
  const dice = random();
  if (dice < 0.1) client.send('GET / HT');
  else if (dice < 0.2) client.send('garbage\r\n\r\n');
  else if (dice < 0.4)
    client.send(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n${'y'.repeat(100_000)}`);
  else if (dice < 0.6) client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
  else client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1 + Math.floor(random() * 4)));
  await new Promise((resolve) => setTimeout(resolve, random() * 15));
  if (random() < 0.3 && 'resetAndDestroy' in client.socket) (client.socket as Socket).resetAndDestroy();
  else client.socket.destroy();
}

function quiet({ dataPlane }: ProxyFixture): boolean {
  const { stats } = dataPlane;
  const endpoints = dataPlane.clusters().flatMap((view) => [...view.endpoints]);
  return (
    stats.downstreamRqActive === 0 &&
    stats.downstreamCxActive === 0 &&
    stats.ringUsedBytes === 0 &&
    dataPlane.clusters().every(({ rqPending }) => rqPending === 0) &&
    endpoints.every(({ rqActive }) => rqActive === 0)
  );
}

it('gives everything back after any disturbance, and then still serves', async () => {
  const random = createRandom(7);
  const upstream = await startUnreliableUpstream(random);
  const authority = await TestAuthority.create();
  const retry = { retry_policy: { retry_on: 'connect-failure,reset', num_retries: 1 } };
  const inbound = await startProxy(
    dataPlaneConfig(
      [
        listener(
          'in',
          [
            {
              filter_chain_match: { transport_protocol: 'tls' },
              filters: [connectionManager(anyHost(toCluster('app', { timeout: '0.3s', ...retry })))],
              transport_socket: meshServerSocket(),
            },
          ],
          { listener_filters: [TLS_INSPECTOR], traffic_direction: 'INBOUND' },
        ),
      ],
      [cluster('app', [endpointOf(upstream)])],
      await workloadSecrets(authority, 'reviews'),
    ),
  );
  const secrets = await workloadSecrets(authority, 'productpage');
  const mirrors = [{ cluster: 'copies' }, { cluster: 'reviews' }];
  const thresholds = [{ max_connections: 8, max_pending_requests: 20 }];
  const outboundConfig = (version: number) =>
    dataPlaneConfig(
      [
        listener('out', [
          {
            filters: [
              connectionManager(
                anyHost(toCluster('reviews', { timeout: '0.5s', request_mirror_policies: mirrors, ...retry })),
                {
                  server_name: `version-${version}`,
                },
              ),
            ],
          },
        ]),
      ],
      [
        cluster('reviews', [endpointOf(inbound.port())], {
          transport_socket: meshClientSocket('reviews'),
          circuit_breakers: { thresholds },
        }),
        cluster('copies', [endpointOf(upstream)], { circuit_breakers: { thresholds } }),
      ],
      secrets,
    );
  const outbound = await startProxy(outboundConfig(0));
  for (let round = 1; round <= ROUNDS; round++) {
    const port = outbound.port();
    const clients = Array.from({ length: CLIENTS }, () => disturb(port, random));
    if (round % 3 === 0) await outbound.dataPlane.apply(outboundConfig(round));
    if (round % 4 === 0) inbound.dataPlane.updateSecrets(await workloadSecrets(authority, 'reviews'));
    await Promise.all(clients);
  }
  await eventually(() => quiet(outbound), 'the outbound proxy is quiet');
  // What is left at the inbound one are idle pooled connections of the outbound one.
  await eventually(
    () => inbound.dataPlane.stats.downstreamRqActive === 0 && inbound.dataPlane.stats.ringUsedBytes === 0,
    'the inbound proxy is quiet',
  );
  let served = 0;
  for (let attempt = 0; attempt < 30 && served < 3; attempt++) {
    const client = await outbound.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await client.untilEnd();
    if (/^HTTP\/1.1 200 /.test(client.received)) served++;
  }
  expect(served).toBe(3);
});
