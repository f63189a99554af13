// ADS client rule by rule, with an in-memory transport.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
  ResourceSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { expect, test, vi } from 'vitest';
import { AdsClient, type AdsClientOptions } from './client.js';
import { Backoff } from './client-backoff.js';
import type { AdsTransport } from './client-transport.js';
import {
  type ClientStreamEvents,
  ResourceRejected,
  type ResourceUpdate,
  type ResponseVerdict,
  type TypeSubscription,
} from './client-types.js';

const NODE = create(NodeSchema, { id: 'n1' });
const CDS = TYPE_URL.cluster;

class OpenStream<Request, Response> {
  readonly sent: Request[] = [];
  cancelled = false;
  constructor(readonly events: ClientStreamEvents<Response>) {}
}

class FakeTransport implements AdsTransport {
  readonly sotw: OpenStream<DiscoveryRequest, DiscoveryResponse>[] = [];
  readonly delta: OpenStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>[] = [];
  openSotw(events: ClientStreamEvents<DiscoveryResponse>) {
    return this.#open(this.sotw, events);
  }
  openDelta(events: ClientStreamEvents<DeltaDiscoveryResponse>) {
    return this.#open(this.delta, events);
  }
  close() {}
  #open<Q, R>(list: OpenStream<Q, R>[], events: ClientStreamEvents<R>) {
    const stream = new OpenStream<Q, R>(events);
    list.push(stream);
    return {
      send: (request: Q) => stream.sent.push(request),
      finish: () => {},
      cancel: () => {
        stream.cancelled = true;
      },
    };
  }
}

function cluster(name: string, note = ''): Any {
  return packAny(ClusterSchema, create(ClusterSchema, { name, altStatName: note }));
}

/** Refuses clusters whose note is "bad". */
function subscription(
  mode: 'wildcard' | 'named',
  onUpdate: (update: ResourceUpdate<Cluster>) => ResponseVerdict | Promise<ResponseVerdict> = () => undefined,
): TypeSubscription<Cluster> {
  return {
    typeUrl: CDS,
    mode,
    decode: (any) => {
      const value = unpackAny(any, ClusterSchema);
      if (value.altStatName === 'bad') {
        throw new ResourceRejected(value.name, [{ path: 'alt_stat_name', message: 'is bad' }]);
      }
      return { name: value.name, value };
    },
    onUpdate,
  };
}

function start(protocol: 'sotw' | 'delta', options: Partial<AdsClientOptions> = {}) {
  const transport = new FakeTransport();
  const client = new AdsClient({
    transport,
    protocol,
    node: NODE,
    backoff: { initialMs: 1, maxMs: 2 },
    ...options,
  });
  return { transport, client };
}

const sotwResponse = (version: string, nonce: string, resources: Any[]) =>
  create(DiscoveryResponseSchema, { typeUrl: CDS, versionInfo: version, nonce, resources });
const deltaResponse = (nonce: string, resources: [name: string, version: string, any: Any][], removed: string[] = []) =>
  create(DeltaDiscoveryResponseSchema, {
    typeUrl: CDS,
    nonce,
    resources: resources.map(([name, version, resource]) => ({ name, version, resource })),
    removedResources: removed,
  });

test('state of the world: subscribes with the node once, acknowledges, refuses by resource and keeps the last good', async () => {
  const { transport, client } = start('sotw');
  const updates: ResourceUpdate<Cluster>[] = [];
  client.subscribe(
    subscription('wildcard', (update) => {
      updates.push(update);
    }),
  );
  client.start();
  const [stream] = transport.sotw;
  expect(stream?.sent[0]).toMatchObject({
    typeUrl: CDS,
    versionInfo: '',
    responseNonce: '',
    resourceNames: [],
    node: NODE,
  });
  stream?.events.onMessage(sotwResponse('1', 'a', [cluster('x'), cluster('y')]));
  await vi.waitFor(() => expect(stream?.sent).toHaveLength(2));
  expect(stream?.sent[1]).toMatchObject({ versionInfo: '1', responseNonce: 'a' });
  expect(stream?.sent[1]?.node).toBeUndefined();
  expect(stream?.sent[1]?.errorDetail).toBeUndefined();

  // y turned bad: it is refused by name, is not removed, and x and z are taken.
  stream?.events.onMessage(sotwResponse('2', 'b', [cluster('y', 'bad'), cluster('z')]));
  await vi.waitFor(() => expect(stream?.sent).toHaveLength(3));
  expect(stream?.sent[2]).toMatchObject({ versionInfo: '1', responseNonce: 'b' });
  expect(stream?.sent[2]?.errorDetail).toMatchObject({ code: 3, message: 'CDS "y" alt_stat_name: is bad' });
  expect(updates[1]?.upserts.map(({ name }) => name)).toEqual(['z']);
  expect(updates[1]?.removed).toEqual(['x']);
});

test('state of the world: what was held before the start and is not listed is removed', async () => {
  const { transport, client } = start('sotw');
  const onUpdate = vi.fn(() => undefined);
  client.subscribe(subscription('wildcard', onUpdate), new Map([['old', '7']]));
  client.start();
  transport.sotw[0]?.events.onMessage(sotwResponse('1', 'a', [cluster('new')]));
  await vi.waitFor(() => expect(onUpdate).toHaveBeenCalledWith(expect.objectContaining({ removed: ['old'] })));
});

test('state of the world: a named subscription stays silent without names and sends only changes', async () => {
  const { transport, client } = start('sotw');
  const handle = client.subscribe(subscription('named'));
  client.start();
  const [stream] = transport.sotw;
  expect(stream?.sent).toEqual([]);
  handle.setNames(['a']);
  handle.setNames(['a']);
  expect(stream?.sent.map(({ resourceNames }) => resourceNames)).toEqual([['a']]);
});

test('state of the world: names that change while a response is judged travel with its answer', async () => {
  const { transport, client } = start('sotw');
  let judge: (verdict: ResponseVerdict) => void = () => undefined;
  const handle = client.subscribe(
    subscription('named', () => new Promise<ResponseVerdict>((resolve) => (judge = resolve))),
  );
  client.start();
  const [stream] = transport.sotw;
  handle.setNames(['a']);
  stream?.events.onMessage(sotwResponse('1', 'n1', [cluster('a')]));
  handle.setNames(['a', 'b']);
  expect(stream?.sent).toHaveLength(1);
  judge([{ resourceName: 'a', path: 'name', message: 'cannot be bound' }]);
  await vi.waitFor(() => expect(stream?.sent).toHaveLength(2));
  expect(stream?.sent[1]).toMatchObject({ resourceNames: ['a', 'b'], responseNonce: 'n1', versionInfo: '' });
  expect(stream?.sent[1]?.errorDetail?.message).toBe('CDS "a" name: cannot be bound');
});

test('incremental: tells held versions at each stream, and a refused resource keeps its old version', async () => {
  const { transport, client } = start('delta');
  client.subscribe(subscription('wildcard'), new Map([['kept', '7']]));
  client.start();
  const [stream] = transport.delta;
  expect(stream?.sent[0]).toMatchObject({ resourceNamesSubscribe: [], initialResourceVersions: { kept: '7' } });
  stream?.events.onMessage(
    deltaResponse('a', [
      ['x', '1', cluster('x')],
      ['y', '1', cluster('y', 'bad')],
    ]),
  );
  await vi.waitFor(() => expect(stream?.sent).toHaveLength(2));
  expect(stream?.sent[1]).toMatchObject({ responseNonce: 'a', errorDetail: { code: 3 } });
  stream?.events.onMessage(deltaResponse('b', [], ['kept']));
  await vi.waitFor(() => expect(stream?.sent).toHaveLength(3));
  expect(stream?.sent[2]?.errorDetail).toBeUndefined();
  stream?.events.onEnd('gone');
  await vi.waitFor(() => expect(transport.delta).toHaveLength(2));
  expect(transport.delta[1]?.sent[0]?.initialResourceVersions).toEqual({ x: '1' });
  expect(transport.delta[1]?.sent[0]?.node?.id).toBe('n1');
});

test('incremental: names are subscribed and unsubscribed by difference', () => {
  const { transport, client } = start('delta');
  const handle = client.subscribe(subscription('named'));
  client.start();
  handle.setNames(['a', 'b']);
  handle.setNames(['b', 'c']);
  handle.setNames([]);
  const [stream] = transport.delta;
  expect(
    stream?.sent.map(({ resourceNamesSubscribe, resourceNamesUnsubscribe }) => [
      resourceNamesSubscribe,
      resourceNamesUnsubscribe,
    ]),
  ).toEqual([
    [['a', 'b'], []],
    [['c'], ['a']],
    [[], ['b', 'c']],
  ]);
});

test('a verdict of an older stream is not sent on the present one', async () => {
  const { transport, client } = start('sotw');
  let judge: (verdict: ResponseVerdict) => void = () => undefined;
  client.subscribe(subscription('wildcard', () => new Promise<ResponseVerdict>((resolve) => (judge = resolve))));
  client.start();
  transport.sotw[0]?.events.onMessage(sotwResponse('1', 'a', [cluster('x')]));
  transport.sotw[0]?.events.onEnd('gone');
  await vi.waitFor(() => expect(transport.sotw).toHaveLength(2));
  judge(undefined);
  // The next response proves that the verdict was looked at before.
  transport.sotw[1]?.events.onMessage(sotwResponse('2', 'b', [cluster('x')]));
  judge(undefined);
  await vi.waitFor(() => expect(transport.sotw[1]?.sent).toHaveLength(2));
  expect(transport.sotw[1]?.sent.map(({ responseNonce }) => responseNonce)).toEqual(['', 'b']);
});

test('a subscriber that throws refuses the whole response and nothing else stops', async () => {
  const { transport, client } = start('delta');
  client.subscribe(
    subscription('wildcard', () => {
      throw new Error('no room');
    }),
  );
  client.start();
  const [stream] = transport.delta;
  stream?.events.onMessage(deltaResponse('a', [['x', '1', cluster('x')]]));
  await vi.waitFor(() => expect(stream?.sent[1]?.errorDetail?.message).toContain('no room'));
});

test('back-off doubles up to its bound, with jitter, and starts again after success', () => {
  const backoff = new Backoff({ initialMs: 100, maxMs: 300, random: () => 0 });
  expect([backoff.nextMs(), backoff.nextMs(), backoff.nextMs(), backoff.nextMs()]).toEqual([50, 100, 150, 150]);
  backoff.reset();
  expect(backoff.nextMs()).toBe(50);
  expect(new Backoff({ initialMs: 100, maxMs: 300, random: () => 0.999 }).nextMs()).toBeGreaterThan(99);
});

test.each([
  ['sotw', false],
  ['sotw', true],
  ['delta', false],
  ['delta', true],
] as const)('%s: a wildcard (explicit: %s) takes names on demand besides', async (protocol, explicitWildcard) => {
  const { transport, client } = start(protocol);
  const handle = client.subscribe({ ...subscription('wildcard'), explicitWildcard });
  client.start();
  handle.setNames(['a']);
  handle.setNames([]);
  const [first, second] = [0, 1].map(() => {
    const stream = protocol === 'sotw' ? transport.sotw.at(-1) : transport.delta.at(-1);
    const names = (stream?.sent ?? []).map((request) =>
      request.$typeName === 'envoy.service.discovery.v3.DiscoveryRequest'
        ? request.resourceNames
        : [request.resourceNamesSubscribe, request.resourceNamesUnsubscribe],
    );
    stream?.events.onEnd('gone');
    handle.setNames(['b']);
    return { names, stream };
  });
  const legacy = explicitWildcard ? ['*'] : [];
  // An empty list after names would mean that nothing is wanted.
  if (protocol === 'sotw') expect(first?.names).toEqual([legacy, ['*', 'a'], ['*']]);
  else {
    expect(first?.names).toEqual([
      [legacy, []],
      [['a'], []],
      [[], ['a']],
    ]);
  }
  // On a new stream names alone would ask for these only.
  await vi.waitFor(() => expect([...transport.sotw, ...transport.delta]).toHaveLength(2));
  expect((protocol === 'sotw' ? transport.sotw[1] : transport.delta[1])?.sent[0]).toMatchObject(
    protocol === 'sotw' ? { resourceNames: ['*', 'b'] } : { resourceNamesSubscribe: ['*', 'b'] },
  );
  expect(second).toBeDefined();
});

test('times to live: a resource stays, in either form, and a heartbeat without a body does not remove it', async () => {
  const removed: string[] = [];
  const held: string[] = [];
  const note = (update: ResourceUpdate<Cluster>) => {
    removed.push(...update.removed);
    held.push(...update.upserts.map(({ name }) => name));
    return undefined;
  };
  const wrap = (name: string, resource?: Any) => {
    const ttl = { seconds: 0n, nanos: 1_000_000 };
    return packAny(
      ResourceSchema,
      create(ResourceSchema, { name, ttl, ...(resource === undefined ? {} : { resource }) }),
    );
  };
  const sotw = start('sotw');
  sotw.client.subscribe(subscription('wildcard', note));
  sotw.client.start();
  const [stream] = sotw.transport.sotw;
  stream?.events.onMessage(sotwResponse('1', 'a', [wrap('x', cluster('x')), wrap('', cluster('y'))]));
  stream?.events.onMessage(sotwResponse('2', 'b', [wrap('x'), wrap('y')]));
  await vi.waitFor(() => expect(stream?.sent).toHaveLength(3));
  expect(stream?.sent[2]).toMatchObject({ versionInfo: '2', responseNonce: 'b' });
  expect(stream?.sent[2]?.errorDetail).toBeUndefined();
  expect({ held, removed }).toEqual({ held: ['x', 'y'], removed: [] });

  const delta = start('delta');
  held.length = 0;
  delta.client.subscribe(subscription('wildcard', note));
  delta.client.start();
  const [incremental] = delta.transport.delta;
  const ttl = { seconds: 0n, nanos: 1_000_000 };
  const respond = (nonce: string, resource?: Any) =>
    create(DeltaDiscoveryResponseSchema, {
      typeUrl: CDS,
      nonce,
      resources: [
        { name: 'x', version: '1', ttl, aliases: ['other'], ...(resource === undefined ? {} : { resource }) },
      ],
    });
  incremental?.events.onMessage(respond('a', cluster('x')));
  incremental?.events.onMessage(respond('b'));
  await vi.waitFor(() => expect(incremental?.sent).toHaveLength(3));
  incremental?.events.onEnd('gone');
  await vi.waitFor(() => expect(delta.transport.delta).toHaveLength(2));
  expect(delta.transport.delta[1]?.sent[0]?.initialResourceVersions).toEqual({ x: '1' });
  // An alias is no name of its own.
  expect({ held, removed }).toEqual({ held: ['x'], removed: [] });
});

test.each(['sotw', 'delta'] as const)(
  '%s: a refusal that is over is taken back once nothing stands refused',
  async (protocol) => {
    const { transport, client } = start(protocol);
    let problems: ResponseVerdict = ['x', 'y'].map((resourceName) => ({
      resourceName,
      path: '',
      message: 'port is busy',
    }));
    const handle = client.subscribe(subscription('wildcard', () => problems));
    client.start();
    const stream = protocol === 'sotw' ? transport.sotw[0]! : transport.delta[0]!;
    const send = (nonce: string, note: string) =>
      'resourceNames' in stream.sent[0]!
        ? transport.sotw[0]?.events.onMessage(sotwResponse(note, nonce, [cluster('x', note), cluster('y', note)]))
        : transport.delta[0]?.events.onMessage(
            deltaResponse(nonce, [
              ['x', note, cluster('x', note)],
              ['y', note, cluster('y', note)],
            ]),
          );
    send('a', '1');
    await vi.waitFor(() => expect(stream.sent).toHaveLength(2));
    expect(stream.sent[1]?.errorDetail?.message).toContain('port is busy');
    handle.withdrawRefusal('x');
    handle.withdrawRefusal('x');
    handle.withdrawRefusal('never refused');
    expect(stream.sent).toHaveLength(2);
    expect(handle.status.lastError).toContain('port is busy');
    handle.withdrawRefusal('y');
    expect(stream.sent).toHaveLength(3);
    expect(stream.sent[2]).toMatchObject({ responseNonce: 'a' });
    expect(stream.sent[2]?.errorDetail).toBeUndefined();
    if (protocol === 'sotw') expect(stream.sent[2]).toMatchObject({ versionInfo: '1' });
    expect(handle.status.lastError).toBeUndefined();
    // What was refused by an older stream is not acknowledged on a newer one.
    problems = [{ resourceName: 'x', path: '', message: 'port is busy' }];
    send('b', '2');
    await vi.waitFor(() => expect(stream.sent).toHaveLength(4));
    stream.events.onEnd('gone');
    await vi.waitFor(() => expect([...transport.sotw, ...transport.delta]).toHaveLength(2));
    handle.withdrawRefusal('x');
    const next = protocol === 'sotw' ? transport.sotw[1] : transport.delta[1];
    expect(next?.sent).toHaveLength(1);
  },
);
