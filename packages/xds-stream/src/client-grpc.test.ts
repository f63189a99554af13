// ADS client over gRPC against this package's server, both forms.

import { create } from '@bufbuild/protobuf';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { anyIs, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { afterEach, expect, test, vi } from 'vitest';
import { AdsClient } from './client.js';
import { createGrpcTransport } from './client-transport.js';
import { ResourceRejected } from './client-types.js';
import { createAdsService } from './server/ads-service.js';
import type { AdsForm, ServedSnapshot } from './server/model.js';
import { ENVOY_SERVED_TYPES } from './server/served-types.js';
import { snapshotOf } from './server/test-stream.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A real server of this package. */
async function startServer(port = 0) {
  let snapshot: ServedSnapshot | undefined;
  const listeners = new Set<() => void>();
  const nacks: string[] = [];
  const ads = createAdsService({
    types: ENVOY_SERVED_TYPES,
    authorize: () => undefined,
    events: { onNack: ({ error }) => nacks.push(error) },
    removalGraceMs: 1,
    source: {
      open: (_client, onChange) => {
        listeners.add(onChange);
        return { current: () => snapshot, close: () => listeners.delete(onChange) };
      },
    },
  });
  const server = new Server();
  server.addService(ads.definition, ads.implementation);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, value) =>
      error === null ? resolve(value) : reject(error),
    );
  });
  cleanups.push(() => server.forceShutdown());
  return {
    port: bound,
    nacks,
    stop: () => server.forceShutdown(),
    publish: (next: ServedSnapshot) => {
      snapshot = next;
      for (const listener of listeners) listener();
    },
  };
}

/** Holds clusters by name with their note, which is the version. */
function startClient(port: number, protocol: AdsForm) {
  const held = new Map<string, string>();
  const client = new AdsClient({
    transport: createGrpcTransport({ target: `127.0.0.1:${port}`, credentials: () => credentials.createInsecure() }),
    protocol,
    node: create(NodeSchema, { id: 'sidecar~1' }),
    backoff: { initialMs: 5, maxMs: 50 },
  });
  cleanups.push(() => client.close());
  client.subscribe({
    typeUrl: TYPE_URL.cluster,
    mode: 'wildcard',
    decode: (any) => {
      expect(anyIs(any, ClusterSchema)).toBe(true);
      const value = unpackAny(any, ClusterSchema);
      if (value.altStatName === 'bad')
        throw new ResourceRejected(value.name, [{ path: 'alt_stat_name', message: 'bad' }]);
      return { name: value.name, value };
    },
    onUpdate: ({ upserts, removed }) => {
      for (const name of removed) held.delete(name);
      for (const { name, value } of upserts) held.set(name, value.altStatName);
      return undefined;
    },
  });
  client.start();
  return { client, held };
}

test.each(['sotw', 'delta'] as const)(
  '%s over gRPC: takes, changes, refuses, removes, and returns after an outage',
  async (form) => {
    const server = await startServer();
    server.publish(snapshotOf({ version: 'v1', cds: { a: '1', b: '1' } }));
    const { client, held } = startClient(server.port, form);
    await vi.waitFor(() =>
      expect([...held]).toEqual([
        ['a', '1'],
        ['b', '1'],
      ]),
    );
    expect(client.connected).toBe(true);

    server.publish(snapshotOf({ version: 'v2', cds: { a: 'bad', b: '2' } }));
    await vi.waitFor(() => expect(held.get('b')).toBe('2'));
    await vi.waitFor(() => expect(server.nacks).toEqual(['CDS "a" alt_stat_name: bad']));
    expect(held.get('a')).toBe('1');

    server.stop();
    await vi.waitFor(() => expect(client.connected).toBe(false));
    expect(held.size).toBe(2);

    const again = await startServer(server.port);
    again.publish(snapshotOf({ version: 'v3', cds: { b: '3', c: '3' } }));
    await vi.waitFor(
      () =>
        expect([...held]).toEqual([
          ['b', '3'],
          ['c', '3'],
        ]),
      { timeout: 5_000 },
    );
  },
);
