// Upstream: pools of single clients are kept only as long as something may come of them.

import { expect, test } from 'vitest';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket, SocketOwner } from '../transport/proxy-socket.js';
import { Endpoint } from './endpoint.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import type { UpstreamRequest } from './upstream-request.js';
import type { UpstreamTransport } from './upstream-transport.js';

/** Sockets that were opened, none of which ever connects. */
const opened: { readonly owner: SocketOwner }[] = [];

const transport = {
  key: 'test',
  tls: false,
  clientBound: true,
  open: (_target, events) => {
    opened.push({ owner: events });
    const socket = { owner: events, watcher: null, destroy: () => events.onClosed(null) };
    return { socket: socket as unknown as OwnedSocket, resuming: false };
  },
} satisfies UpstreamTransport;

/** @param limit whether the cluster has room for one more request that waits */
function endpointWith(limit: () => boolean): Endpoint {
  const path = {
    clock: { nowMs: 0, tick: () => undefined },
    wheel: { schedule: () => undefined, cancel: () => undefined },
    core: { wasm: { acquire: () => (limit() ? 1 : 0), release: () => undefined } },
    slots: {},
    stats: {},
  } as unknown as DataPath;
  const cluster = {
    slot: 0,
    http: { protocol: 'http1', key: '' },
    connectTimeoutMs: 1000,
  } as unknown as UpstreamCluster;
  return new Endpoint(path, 0, '127.0.0.1', 1, cluster, transport);
}

function requestOf(remotePort: number): UpstreamRequest & { failures: number } {
  const clientAddresses = { remoteAddress: '127.0.0.1', remotePort, localAddress: '127.0.0.2', localPort: 80 };
  const request = { clientAddresses, pendingOn: null, nextPending: null, failures: 0 };
  return Object.assign(request, { onUpstreamFailed: () => request.failures++ }) as unknown as UpstreamRequest & {
    failures: number;
  };
}

test('one that is refused at once leaves none', () => {
  const endpoint = endpointWith(() => false);
  for (let port = 1; port <= 100; port++) endpoint.acquire(requestOf(port));
  expect(endpoint.clientPoolCount).toBe(0);
});

test('one whose connection fails leaves none', () => {
  const endpoint = endpointWith(() => true);
  const requests = Array.from({ length: 10 }, (_, port) => requestOf(port + 1));
  for (const request of requests) endpoint.acquire(request);
  expect(endpoint.clientPoolCount).toBe(10);
  for (const { owner } of opened.splice(0)) owner.onClosed(new Error('refused'));
  expect(requests.map(({ failures }) => failures)).toEqual(requests.map(() => 1));
  expect(endpoint.clientPoolCount).toBe(0);
});

test('one that is given up while its connection is made leaves none once that ends', () => {
  const endpoint = endpointWith(() => true);
  const request = requestOf(1);
  endpoint.acquire(request);
  request.pendingOn?.abandon(request);
  for (const { owner } of opened.splice(0)) owner.onClosed(null);
  expect(endpoint.clientPoolCount).toBe(0);
});

test('a pool that ends late does not take away the next one of its client', () => {
  const endpoint = endpointWith(() => true);
  const request = requestOf(1);
  endpoint.acquire(request);
  const pool = request.pendingOn!;
  for (const { owner } of opened.splice(0)) owner.onClosed(null);
  expect(endpoint.clientPoolCount).toBe(0);
  endpoint.acquire(requestOf(1));
  endpoint.poolEmptied(pool);
  expect(endpoint.clientPoolCount).toBe(1);
});
