// ADS server over real gRPC: both forms, admission, slow consumers.

import { connect } from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { grpcService, TYPE_URL } from '@lateen/xds-proto';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { afterEach, expect, test } from 'vitest';
import { createAdsService } from './ads-service.js';
import type { AdsService, AdsServiceOptions, ServedSnapshot } from './model.js';
import { ENVOY_SERVED_TYPES } from './served-types.js';
import { describeResponse, snapshotOf } from './test-stream.js';

const V1 = { version: 'v1', cds: { a: '1' }, eds: { a: '1' }, lds: { l: '1' }, rds: { r: '1' } };
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Harness {
  readonly ads: AdsService;
  readonly client: Client;
  readonly target: string;
  publish(snapshot: ServedSnapshot): void;
}

async function startServer(options: Partial<AdsServiceOptions> = {}): Promise<Harness> {
  let snapshot: ServedSnapshot | undefined;
  const listeners = new Set<() => void>();
  const ads = createAdsService({
    types: ENVOY_SERVED_TYPES,
    authorize: () => undefined,
    source: {
      open: (_client, onChange) => {
        listeners.add(onChange);
        return { current: () => snapshot, close: () => listeners.delete(onChange) };
      },
    },
    removalGraceMs: 10,
    ...options,
  });
  const server = new Server();
  server.addService(ads.definition, ads.implementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  cleanups.push(
    () => server.forceShutdown(),
    () => client.close(),
  );
  return {
    ads,
    client,
    target: `127.0.0.1:${port}`,
    publish: (next) => {
      snapshot = next;
      for (const listener of listeners) listener();
    },
  };
}

const methods = grpcService(AggregatedDiscoveryService);

function openStream<Request, Response>(client: Client, name: string): ClientDuplexStream<Request, Response> {
  const method = methods[name]!;
  const call = client.makeBidiStreamRequest<Request, Response>(
    method.path,
    method.requestSerialize as never,
    method.responseDeserialize as never,
  );
  cleanups.push(() => call.cancel());
  return call;
}

test('a state-of-the-world client gets a consistent set in order, and acknowledges it', async () => {
  const { ads, client, publish } = await startServer();
  publish(snapshotOf(V1));
  const call = openStream<DiscoveryRequest, DiscoveryResponse>(client, 'streamAggregatedResources');
  const lines: string[] = [];
  const names: Record<string, string[]> = { [TYPE_URL.endpoint]: ['a'], [TYPE_URL.route]: ['r'] };
  call.on('error', () => {});
  call.on('data', (response: DiscoveryResponse) => {
    lines.push(describeResponse(response));
    call.write(
      create(DiscoveryRequestSchema, {
        typeUrl: response.typeUrl,
        versionInfo: response.versionInfo,
        responseNonce: response.nonce,
        resourceNames: names[response.typeUrl] ?? [],
      }),
    );
  });
  for (const typeUrl of [TYPE_URL.cluster, TYPE_URL.endpoint, TYPE_URL.listener, TYPE_URL.route]) {
    call.write(create(DiscoveryRequestSchema, { typeUrl, node: { id: 'sotw' }, resourceNames: names[typeUrl] ?? [] }));
  }
  await expect.poll(() => lines).toEqual(['CDS a', 'EDS a', 'LDS l', 'RDS r']);
  await expect.poll(() => ads.clients()[0]?.types.map((type) => type.status)).toEqual(new Array(4).fill('SYNCED'));
  expect(ads.clients()[0]?.client).toMatchObject({ form: 'sotw', node: { id: 'sotw' } });
});

test('an incremental client too; when it is gone it is forgotten', async () => {
  const disconnected: string[] = [];
  const { ads, client, publish } = await startServer({
    events: { onDisconnect: ({ node }) => disconnected.push(node.id) },
  });
  publish(snapshotOf(V1));
  const call = openStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>(client, 'deltaAggregatedResources');
  const lines: string[] = [];
  call.on('error', () => {});
  call.on('data', (response: DeltaDiscoveryResponse) => {
    lines.push(describeResponse(response));
    call.write(create(DeltaDiscoveryRequestSchema, { typeUrl: response.typeUrl, responseNonce: response.nonce }));
  });
  const subscribe = (typeUrl: string, resourceNamesSubscribe: string[]) =>
    call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, node: { id: 'delta' }, resourceNamesSubscribe }));
  subscribe(TYPE_URL.cluster, []);
  subscribe(TYPE_URL.endpoint, ['a']);
  subscribe(TYPE_URL.listener, ['*']);
  subscribe(TYPE_URL.route, ['r', 'gone']);
  await expect.poll(() => lines).toEqual(['CDS a', 'EDS a', 'LDS l', 'RDS r -gone']);
  publish(snapshotOf({ ...V1, version: 'v2', cds: { a: '1', b: '1' } }));
  await expect.poll(() => lines.at(-1)).toBe('CDS b');
  call.cancel();
  await expect.poll(() => ads.clients()).toEqual([]);
  expect(disconnected).toEqual(['delta']);
});

test('a client that is not let in learns why, and nothing else', async () => {
  const refused: string[] = [];
  const { ads, client, publish } = await startServer({
    authorize: async (_peer, node) => ({ refused: `${node?.id} is not who it says` }),
    events: { onRefused: (_address, _node, reason) => refused.push(reason) },
  });
  publish(snapshotOf(V1));
  const call = openStream<DiscoveryRequest, DiscoveryResponse>(client, 'streamAggregatedResources');
  const received: unknown[] = [];
  call.on('data', (response) => received.push(response));
  const ended = new Promise((resolve) => call.on('error', resolve));
  call.write(create(DiscoveryRequestSchema, { typeUrl: TYPE_URL.cluster, node: { id: 'mallory' } }));
  call.write(create(DiscoveryRequestSchema, { typeUrl: TYPE_URL.listener }));
  expect(await ended).toMatchObject({ code: status.PERMISSION_DENIED, details: 'mallory is not who it says' });
  expect(received).toEqual([]);
  expect(ads.clients()).toEqual([]);
  expect(refused).toHaveLength(1);
});

test('a request that makes no sense ends the stream', async () => {
  const { client, publish } = await startServer();
  publish(snapshotOf(V1));
  const call = openStream<DiscoveryRequest, DiscoveryResponse>(client, 'streamAggregatedResources');
  const ended = new Promise((resolve) => call.on('error', resolve));
  call.write(create(DiscoveryRequestSchema, { node: { id: 'x' } }));
  expect(await ended).toMatchObject({ code: status.INVALID_ARGUMENT });
});

test('a client that does not read costs one message, and gets the newest when it reads again', async () => {
  const sent: string[] = [];
  const { target, publish } = await startServer({
    events: { onSent: ({ version }) => sent.push(version) },
    ackTimeoutMs: 1,
  });
  const wide = (version: number) =>
    snapshotOf({
      version: `v${version}`,
      cds: Object.fromEntries(Array.from({ length: 4000 }, (_, index) => [`cluster-${index}`, `${version}`])),
    });
  publish(wide(0));
  // Plain HTTP/2, because a gRPC client reads ahead whatever its user does.
  const session = connect(`http://${target}`);
  cleanups.push(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.write(frame(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl: TYPE_URL.cluster }))));
  await expect.poll(() => sent).toEqual(['v0']);
  for (let version = 1; version <= 60; version++) {
    publish(wide(version));
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  expect(sent).toEqual(['v0']);
  stream.resume();
  await expect.poll(() => sent).toEqual(['v0', 'v60']);
});

/** gRPC's length-prefixed message. */
function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

test('close tells every client to come back', async () => {
  const { ads, client, publish } = await startServer();
  publish(snapshotOf(V1));
  const call = openStream<DiscoveryRequest, DiscoveryResponse>(client, 'streamAggregatedResources');
  const ended = new Promise((resolve) => call.on('error', resolve));
  const first = new Promise((resolve) => call.once('data', resolve));
  call.write(create(DiscoveryRequestSchema, { typeUrl: TYPE_URL.cluster, node: { id: 'x' } }));
  await first;
  ads.close();
  expect(await ended).toMatchObject({ code: status.UNAVAILABLE });
});
