// ADS server: the rules of the state-of-the-world form.

import { expect, test } from 'vitest';
import { describeResponse, TestStream } from './test-stream.js';

const V1 = {
  version: 'v1',
  cds: { a: '1', b: '1' },
  eds: { a: '1', b: '1' },
  lds: { l: '1' },
  rds: { r: '1' },
};

test('nothing is sent before there is a snapshot, not even an empty set', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.ask('cds', []);
  expect(await stream.lines()).toEqual([]);
  stream.serve(V1);
  expect(await stream.lines()).toEqual(['CDS a b']);
});

test('an empty first request is a wildcard; the same after names were given is none', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('cds', []);
  const [all] = await stream.take();
  expect(describeResponse(all!)).toBe('CDS a b');
  expect(all).toMatchObject({ versionInfo: 'v1' });
  stream.answer(all!, { names: ['a'] });
  const [one] = await stream.take();
  expect(describeResponse(one!)).toBe('CDS a');
  stream.answer(one!, { names: [] });
  stream.serve({ ...V1, version: 'v2', cds: { a: '2', b: '2' } });
  expect(await stream.lines()).toEqual([]);
});

test('an explicit wildcard goes along with names', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('cds', ['*', 'missing']);
  expect(await stream.lines()).toEqual(['CDS a b']);
});

test('endpoints and routes have no legacy wildcard', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('eds', []);
  expect(await stream.lines()).toEqual([]);
});

test('full sets for clusters, only what changed or was asked for otherwise', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('eds', ['a']);
  const [first] = await stream.take();
  expect(describeResponse(first!)).toBe('EDS a');
  stream.answer(first!, { names: ['a', 'b'] });
  const [second] = await stream.take();
  expect(describeResponse(second!)).toBe('EDS b');
  stream.answer(second!, { names: ['a', 'b'] });
  stream.serve({ ...V1, version: 'v2', eds: { a: '2', b: '1' } });
  expect(await stream.lines()).toEqual(['EDS a']);
});

test('a snapshot that changes nothing subscribed sends nothing', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('rds', ['r']);
  const [first] = await stream.take();
  stream.answer(first!, { names: ['r'] });
  stream.serve({ ...V1, version: 'v2', cds: { a: '7' }, rds: { r: '1', other: '1' } });
  expect(await stream.lines()).toEqual([]);
});

test('a stale nonce is ignored', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('eds', ['a']);
  const [first] = await stream.take();
  stream.ask('eds', ['b'], 'older');
  stream.ask('eds', ['b'], '');
  expect(await stream.lines()).toEqual([]);
  stream.ask('eds', ['b'], first!.nonce);
  expect(await stream.lines()).toEqual(['EDS b']);
});

test('a NACK is told with its text, nothing is repeated, and the next change carries everything', async () => {
  const nacks: string[] = [];
  const stream = new TestStream({ form: 'sotw', events: { onNack: ({ error }) => nacks.push(error) } });
  stream.serve(V1);
  stream.ask('eds', ['a', 'b']);
  const [first] = await stream.take();
  stream.answer(first!, { names: ['a', 'b'], error: 'bad endpoint' });
  expect(await stream.lines()).toEqual([]);
  expect(nacks).toEqual(['bad endpoint']);
  expect(stream.session.report()[0]).toMatchObject({ status: 'NACK', error: 'bad endpoint', ackedVersion: '' });
  stream.serve({ ...V1, version: 'v2', eds: { a: '2', b: '1' } });
  const [second] = await stream.take();
  expect(describeResponse(second!)).toBe('EDS a b');
  stream.answer(second!, { names: ['a', 'b'] });
  expect(stream.session.report()[0]).toMatchObject({ status: 'SYNCED', ackedVersion: 'v2' });
});

test('a named cluster that does not exist is answered by an empty set', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('cds', ['missing']);
  expect(await stream.lines()).toEqual(['CDS']);
});

test('a re-subscribed name is sent again', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('eds', ['a', 'b']);
  const [first] = await stream.take();
  stream.answer(first!, { names: ['a'] });
  expect(await stream.lines()).toEqual([]);
  stream.answer(first!, { names: ['a', 'b'] });
  expect(await stream.lines()).toEqual(['EDS b']);
});

test('an unknown type is answered as empty', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  const { DiscoveryRequestSchema } = await import('@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js');
  const { create } = await import('@bufbuild/protobuf');
  stream.session.receive(create(DiscoveryRequestSchema, { typeUrl: 'type.googleapis.com/unknown.Type' }));
  expect(await stream.lines()).toEqual(['type.googleapis.com/unknown.Type']);
  expect(() => stream.session.receive(create(DiscoveryRequestSchema, {}))).toThrow(/type_url/);
});
