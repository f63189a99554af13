// ADS server: the rules of the incremental form.

import { expect, test } from 'vitest';
import { TestStream } from './test-stream.js';

const V1 = { version: 'v1', cds: { a: '1', b: '1' }, eds: { a: '1', b: '1' }, lds: { l: '1' }, rds: { r: '1' } };

async function acked(stream: TestStream): Promise<string[]> {
  const lines: string[] = [];
  for (;;) {
    const responses = await stream.take();
    if (responses.length === 0) return lines;
    const { describeResponse } = await import('./test-stream.js');
    for (const response of responses) {
      lines.push(describeResponse(response));
      stream.answer(response);
    }
  }
}

test('wildcard: everything at first, then only what changed', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('cds');
  expect(await acked(stream)).toEqual(['CDS a b']);
  stream.serve({ ...V1, version: 'v2', cds: { a: '1', b: '2', c: '1' } });
  expect(await acked(stream)).toEqual(['CDS b c']);
});

test('a first wildcard request is answered even if there is nothing', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve({ version: 'v1' });
  stream.change('lds');
  expect(await acked(stream)).toEqual(['LDS']);
});

test('named: unknown names are answered as removed, and sent once they exist', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('eds', { subscribe: ['a', 'later'] });
  expect(await acked(stream)).toEqual(['EDS a -later']);
  stream.serve({ ...V1, version: 'v2', eds: { a: '1', later: '1' } });
  expect(await acked(stream)).toEqual(['EDS later']);
});

test('a name that is asked for again is sent again', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('eds', { subscribe: ['a'] });
  await acked(stream);
  stream.change('eds', { subscribe: ['a'] });
  expect(await acked(stream)).toEqual(['EDS a']);
});

test('reconnect: only what differs is sent, what is gone is reported', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('lds', { initial: { l: 'old', gone: '1' } });
  stream.change('cds', { subscribe: ['*'], initial: { a: '1', b: '0', gone: '1' } });
  const lines = await acked(stream);
  expect(lines[0]).toBe('CDS b');
  await expect.poll(async () => lines.push(...(await acked(stream)))).toBe(3);
  expect(lines).toEqual(['CDS b', 'LDS l -gone', 'CDS -gone']);
});

test('reconnect: names in the versions are no subscription, and listed names may come with a wildcard', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('cds', { initial: { a: '1', b: '1' } });
  expect(await acked(stream)).toEqual(['CDS']);
  stream.serve({ ...V1, version: 'v2', cds: { a: '1', b: '1', c: '1' } });
  expect(await acked(stream)).toEqual(['CDS c']);

  const both = new TestStream({ form: 'delta' });
  both.serve(V1);
  both.change('cds', { subscribe: ['*', 'a'], initial: { a: '1', b: '1' } });
  expect(await acked(both)).toEqual(['CDS']);
  both.serve({ ...V1, version: 'v2', cds: { a: '1', b: '2' } });
  expect(await acked(both)).toEqual(['CDS b']);
});

test('reconnect: a client that holds everything is in sync without a response, and what it holds is known', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('rds', { subscribe: ['r'], initial: { r: '1' } });
  expect(await acked(stream)).toEqual([]);
  const [report] = stream.session.report();
  expect(report).toMatchObject({ status: 'SYNCED', sentNonce: '' });
  expect([...report!.resources.keys()]).toEqual(['r']);
});

test('a name added later leaves the legacy wildcard in place', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('cds');
  await acked(stream);
  stream.change('cds', { subscribe: ['a'] });
  expect(await acked(stream)).toEqual(['CDS a']);
  stream.serve({ ...V1, version: 'v2', cds: { a: '1', b: '1', c: '1' } });
  expect(await acked(stream)).toEqual(['CDS c']);
});

test('a name unsubscribed under a wildcard is sent again, or told as removed', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('cds', { subscribe: ['*', 'a', 'missing'] });
  expect(await acked(stream)).toEqual(['CDS a b -missing']);
  stream.change('cds', { unsubscribe: ['a'] });
  expect(await acked(stream)).toEqual(['CDS a']);
  stream.change('cds', { unsubscribe: ['missing'] });
  expect(await acked(stream)).toEqual(['CDS -missing']);
  stream.change('cds', { unsubscribe: ['*'] });
  stream.serve({ ...V1, version: 'v2', cds: { a: '2', b: '2' } });
  expect(await acked(stream)).toEqual([]);
});

test('removed resources are named', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('lds');
  await acked(stream);
  stream.serve({ ...V1, version: 'v2', lds: { m: '1' } });
  expect(await acked(stream)).toEqual(['LDS m -l']);
});

test('a change waits for the ACK before it and then carries the newest; what is asked for does not wait', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('eds', { subscribe: ['a'] });
  const [first] = await stream.take();
  stream.serve({ ...V1, version: 'v2', eds: { a: '2', b: '1' } });
  stream.serve({ ...V1, version: 'v3', eds: { a: '3', b: '1' } });
  expect(await stream.lines()).toEqual([]);
  stream.change('eds', { subscribe: ['b'] });
  const [asked] = await stream.take();
  expect(asked).toMatchObject({ resources: [{ name: 'b' }] });
  stream.answer(first!);
  stream.answer(asked!);
  expect(await stream.take()).toMatchObject([{ systemVersionInfo: 'v3', resources: [{ name: 'a', version: '3' }] }]);
});

test('what was in a rejected response comes again with the next change, not before', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('cds');
  const [first] = await stream.take();
  stream.answer(first!, { error: 'cluster a is bad' });
  expect(await stream.lines()).toEqual([]);
  stream.serve({ ...V1, version: 'v2', cds: { a: '2', b: '1' } });
  expect(await acked(stream)).toEqual(['CDS a b']);
  expect(stream.session.report()[0]).toMatchObject({ status: 'SYNCED' });
});

test('a slow consumer gets the newest snapshot, not all of them', async () => {
  const stream = new TestStream({ form: 'delta', autoFlush: false });
  stream.serve(V1);
  stream.change('cds');
  const [first] = await stream.take();
  stream.answer(first!);
  for (let version = 2; version < 50; version++) {
    stream.serve({ ...V1, version: `v${version}`, cds: { a: `${version}` } });
    expect(await stream.take()).toEqual([]);
  }
  stream.flush();
  expect(await stream.take()).toMatchObject([{ systemVersionInfo: 'v49', resources: [{ name: 'a', version: '49' }] }]);
});
