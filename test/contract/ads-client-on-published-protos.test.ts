// The ADS client against a server of the published protos: what is on the wire, request by request.

import { create, toBinary } from '@bufbuild/protobuf';
import { credentials } from '@grpc/grpc-js';
import { TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { AdsClient, createGrpcTransport, ResourceRejected, type XdsProtocol } from '@lateen/xds-stream';
import { afterEach, expect, test, vi } from 'vitest';
import { type PublishedServer, type PublishedStream, startPublishedServer } from './published-ads.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

const type_url = TYPE_URL.cluster;
const cluster = (name: string, altStatName = '') => ({
  type_url,
  value: Buffer.from(toBinary(ClusterSchema, create(ClusterSchema, { name, altStatName }))),
});

async function connect(protocol: XdsProtocol) {
  const server = await startPublishedServer();
  cleanups.push(() => server.stop());
  const held = new Set<string>();
  const client = new AdsClient({
    transport: createGrpcTransport({
      target: `127.0.0.1:${server.port}`,
      credentials: () => credentials.createInsecure(),
    }),
    protocol,
    node: create(NodeSchema, { id: 'sidecar~1' }),
    backoff: { initialMs: 5, maxMs: 20 },
  });
  cleanups.push(() => client.close());
  const handle = client.subscribe({
    typeUrl: type_url,
    mode: 'wildcard',
    decode: (any) => {
      const value = unpackAny(any, ClusterSchema);
      if (value.altStatName === 'bad') throw new ResourceRejected(value.name, [{ path: '', message: 'is bad' }]);
      return { name: value.name, value };
    },
    onUpdate: ({ upserts, removed }) => {
      for (const name of removed) held.delete(name);
      for (const { name } of upserts) held.add(name);
      return undefined;
    },
  });
  client.start();
  return { server, handle, held };
}

const patience = { timeout: 10_000 };
async function stream(server: PublishedServer, index: number, requests: number): Promise<PublishedStream> {
  await vi.waitFor(() => expect(server.streams[index]?.requests).toHaveLength(requests), patience);
  return server.streams[index]!;
}

test('incremental: wildcard, ACK, NACK, late ACK, on demand, heartbeat, and what is held at the next stream', async () => {
  const { server, handle, held } = await connect('delta');
  const first = await stream(server, 0, 1);
  expect(first.requests[0]).toMatchObject({
    type_url,
    node: { id: 'sidecar~1' },
    resource_names_subscribe: [],
    initial_resource_versions: {},
    response_nonce: '',
  });
  const resource = (name: string, version: string, note = '') => ({ name, version, resource: cluster(name, note) });
  first.send({
    type_url,
    nonce: 'n1',
    system_version_info: '1',
    resources: [resource('a', 'a1'), resource('b', 'b1')],
  });
  await stream(server, 0, 2);
  expect(first.requests[1]).toMatchObject({ type_url, node: null, response_nonce: 'n1', error_detail: null });
  first.send({ type_url, nonce: 'n2', resources: [resource('b', 'b2', 'bad')], removed_resources: ['a'] });
  await stream(server, 0, 3);
  expect(first.requests[2]).toMatchObject({
    response_nonce: 'n2',
    error_detail: { code: 3, message: 'CDS "b": is bad' },
  });
  handle.withdrawRefusal('b');
  await stream(server, 0, 4);
  expect(first.requests[3]).toMatchObject({ response_nonce: 'n2', error_detail: null });
  handle.setNames(['on-demand']);
  await stream(server, 0, 5);
  expect(first.requests[4]).toMatchObject({ resource_names_subscribe: ['on-demand'], response_nonce: '' });
  // A resource with a time to live, and then its heartbeat.
  const ttl = { seconds: 0, nanos: 1_000_000 };
  first.send({ type_url, nonce: 'n3', resources: [{ ...resource('c', 'c1'), ttl, aliases: ['other'] }] });
  await stream(server, 0, 6);
  first.send({ type_url, nonce: 'n4', resources: [{ name: 'c', version: 'c1', ttl }] });
  await stream(server, 0, 7);
  expect([...held].sort()).toEqual(['b', 'c']);
  first.end();
  const second = await stream(server, 1, 1);
  expect(second.requests[0]).toMatchObject({
    node: { id: 'sidecar~1' },
    resource_names_subscribe: ['*', 'on-demand'],
    initial_resource_versions: { b: 'b2', c: 'c1' },
  });
});

test('state of the world: version, nonce, wildcard with names, resources in envelopes', async () => {
  const { server, handle, held } = await connect('sotw');
  const first = await stream(server, 0, 1);
  expect(first.requests[0]).toMatchObject({ type_url, resource_names: [], version_info: '', response_nonce: '' });
  const envelope = (name: string, resource?: ReturnType<typeof cluster>) => ({
    // As the loader writes an Any: the published Resource message, encoded by hand of its first fields.
    type_url: 'type.googleapis.com/envoy.service.discovery.v3.Resource',
    value: Buffer.concat([
      field(3, Buffer.from(name)),
      ...(resource === undefined
        ? []
        : [field(2, Buffer.concat([field(1, Buffer.from(resource.type_url)), field(2, resource.value)]))]),
    ]),
  });
  first.send({ type_url, version_info: '1', nonce: 'n1', resources: [cluster('a'), envelope('b', cluster('b'))] });
  await stream(server, 0, 2);
  expect(first.requests[1]).toMatchObject({ version_info: '1', response_nonce: 'n1', error_detail: null });
  first.send({ type_url, version_info: '2', nonce: 'n2', resources: [cluster('a', 'bad'), envelope('b')] });
  await stream(server, 0, 3);
  expect(first.requests[2]).toMatchObject({ version_info: '1', response_nonce: 'n2', error_detail: { code: 3 } });
  expect([...held].sort()).toEqual(['a', 'b']);
  handle.setNames(['x']);
  await stream(server, 0, 4);
  expect(first.requests[3]).toMatchObject({ resource_names: ['*', 'x'], version_info: '1', response_nonce: 'n2' });
  handle.setNames([]);
  await stream(server, 0, 5);
  expect(first.requests[4]).toMatchObject({ resource_names: ['*'] });
  first.send({ type_url, version_info: '3', nonce: 'n3', resources: [] });
  await vi.waitFor(() => expect([...held]).toEqual([]), patience);
});

/** A length-delimited protobuf field shorter than 128 bytes. */
function field(number: number, bytes: Buffer): Buffer {
  if (bytes.length > 127) throw new Error('too long for one byte of length');
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}
