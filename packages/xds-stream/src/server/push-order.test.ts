// ADS server: what waits for what, in both forms.

import { expect, test } from 'vitest';
import { type AnyResponse, describeResponse, TestStream } from './test-stream.js';

const V1 = { version: 'v1', cds: { a: '1' }, eds: { a: '1' }, lds: { l: '1' }, rds: { r: '1' } };
const V2 = { version: 'v2', cds: { a: '1', b: '1' }, eds: { a: '1', b: '1' }, lds: { l: '1' }, rds: { r: '2' } };
const V3 = { version: 'v3', cds: { b: '1' }, eds: { b: '1' }, lds: { l: '1' }, rds: { r: '3' } };

/** A client of both forms that has everything of V1. */
async function synced(form: 'sotw' | 'delta', options: { ackTimeoutMs?: number; removalGraceMs?: number } = {}) {
  const stream = new TestStream({ form, ...options });
  const names: Record<string, string[]> = { CDS: [], EDS: ['a'], LDS: [], RDS: ['r'] };
  stream.serve(V1);
  if (form === 'sotw')
    for (const kind of ['cds', 'eds', 'lds', 'rds'] as const) stream.ask(kind, names[kind.toUpperCase()]!);
  else {
    stream.change('cds');
    stream.change('eds', { subscribe: ['a'] });
    stream.change('lds');
    stream.change('rds', { subscribe: ['r'] });
  }
  const answer = (response: AnyResponse, error?: string) => {
    const kind = describeResponse(response).slice(0, 3);
    stream.answer(response, { names: names[kind]!, ...(error === undefined ? {} : { error }) });
  };
  const order: string[] = [];
  for (let responses = await stream.take(); responses.length > 0; responses = await stream.take()) {
    for (const response of responses) {
      order.push(describeResponse(response).slice(0, 3));
      answer(response);
    }
  }
  expect(order).toEqual(['CDS', 'EDS', 'LDS', 'RDS']);
  const subscribeEndpoints = (all: string[]) => {
    names.EDS = all;
  };
  return { stream, answer, subscribeEndpoints };
}

for (const form of ['sotw', 'delta'] as const) {
  test(`${form}: routes wait for the new cluster's ACK and its endpoints`, async () => {
    const { stream, answer, subscribeEndpoints } = await synced(form);
    stream.serve(V2);
    const [clusters, ...others] = await stream.take();
    expect(describeResponse(clusters!)).toBe(form === 'sotw' ? 'CDS a b' : 'CDS b');
    expect(others).toEqual([]);
    // The client holds the ACK back while the cluster warms: endpoints are sent all the same, routes are not.
    subscribeEndpoints(['a', 'b']);
    if (form === 'sotw') stream.ask('eds', ['a', 'b'], nonceOf(stream, 'EDS'));
    else stream.change('eds', { subscribe: ['b'] });
    const [endpoints, ...tooEarly] = await stream.take();
    expect(describeResponse(endpoints!)).toBe('EDS b');
    expect(tooEarly).toEqual([]);
    answer(endpoints!);
    expect(await stream.lines()).toEqual([]);
    answer(clusters!);
    expect(await stream.lines()).toEqual(['RDS r']);
  });

  test(`${form}: endpoints of a changed cluster are sent again even if unchanged`, async () => {
    const { stream } = await synced(form);
    stream.serve({ ...V1, version: 'v2', cds: { a: '2' } });
    expect(await stream.lines()).toEqual(['CDS a', 'EDS a']);
  });

  test(`${form}: a removed cluster stays until the routes are acknowledged and the grace time is over`, async () => {
    const { stream, answer, subscribeEndpoints } = await synced(form, { removalGraceMs: 40 });
    stream.serve({ ...V2, rds: { r: '1' } });
    const [clusters] = await stream.take();
    subscribeEndpoints(['a', 'b']);
    if (form === 'sotw') stream.ask('eds', ['a', 'b'], nonceOf(stream, 'EDS'));
    else stream.change('eds', { subscribe: ['b'] });
    answer(clusters!);
    for (const response of await stream.take()) answer(response);

    stream.serve(V3);
    const [routes, ...tooEarly] = await stream.take();
    expect(describeResponse(routes!)).toBe('RDS r');
    expect(tooEarly).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(await stream.lines()).toEqual([]);
    const answeredAtMs = Date.now();
    answer(routes!);
    const removals: string[] = [];
    await expect
      .poll(async () => {
        for (const response of await stream.take()) {
          removals.push(describeResponse(response));
          answer(response);
        }
        return removals;
      })
      .toEqual(form === 'sotw' ? ['CDS b'] : ['CDS -a', 'EDS -a']);
    expect(Date.now() - answeredAtMs).toBeGreaterThanOrEqual(39);
  });

  test(`${form}: a resource that comes back in time is never removed`, async () => {
    const { stream, answer } = await synced(form, { removalGraceMs: 20 });
    stream.serve({ ...V1, version: 'v2', cds: {}, eds: {} });
    expect(await stream.lines()).toEqual([]);
    stream.serve({ ...V1, version: 'v3' });
    for (const response of await stream.take()) answer(response);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await stream.lines()).toEqual([]);
  });

  test(`${form}: a cluster that is removed again before its endpoints were asked for holds nothing back`, async () => {
    const { stream, answer } = await synced(form);
    stream.serve({ ...V2, rds: { r: '1' } });
    for (const response of await stream.take()) answer(response);
    stream.serve({ ...V1, version: 'v3', rds: { r: '2' } });
    for (const response of await stream.take()) answer(response);
    const startedAtMs = Date.now();
    stream.serve({ ...V1, version: 'v4', rds: { r: '3' } });
    const lines: string[] = [];
    await expect.poll(() => collect(stream, lines)).toContain('RDS r');
    expect(Date.now() - startedAtMs).toBeLessThan(500);
  });

  test(`${form}: a cluster that is back before its endpoints were asked for is waited for as before`, async () => {
    const { stream, answer, subscribeEndpoints } = await synced(form, { removalGraceMs: 5_000 });
    stream.serve({ ...V2, rds: { r: '1' } });
    for (const response of await stream.take()) answer(response);
    stream.serve({ ...V1, version: 'v3' });
    for (const response of await stream.take()) answer(response);
    stream.serve({ ...V2, version: 'v4', rds: { r: '2' } });
    expect(await stream.lines()).toEqual([]);
    subscribeEndpoints(['a', 'b']);
    if (form === 'sotw') stream.ask('eds', ['a', 'b'], nonceOf(stream, 'EDS'));
    else stream.change('eds', { subscribe: ['b'] });
    const [endpoints] = await stream.take();
    expect(describeResponse(endpoints!)).toBe('EDS b');
    answer(endpoints!);
    expect(await stream.lines()).toEqual(['RDS r']);
  });

  test(`${form}: an ACK after a NACK of the same response takes the refusal back`, async () => {
    const { stream, answer } = await synced(form);
    stream.serve({ ...V1, version: 'v2', lds: { l: '2' } });
    const [listeners] = await stream.take();
    const status = () => stream.session.report().find(({ typeUrl }) => typeUrl.endsWith('Listener'));
    answer(listeners!, 'port is busy');
    expect(status()).toMatchObject({ status: 'NACK', error: 'port is busy' });
    answer(listeners!);
    expect(status()).toMatchObject({ status: 'SYNCED', ackedNonce: listeners!.nonce });
    expect(status()?.error).toBeUndefined();
    expect(await stream.lines()).toEqual([]);
    // The next change does not carry it again.
    stream.serve({ ...V1, version: 'v3', lds: { l: '2', m: '1' } });
    expect(await stream.lines()).toEqual([form === 'sotw' ? 'LDS l m' : 'LDS m']);
  });

  test(`${form}: a NACK opens the gate`, async () => {
    const { stream, answer } = await synced(form);
    stream.serve({ ...V2, cds: { a: '2' }, eds: { a: '1' } });
    const responses = await stream.take();
    expect(responses.map(describeResponse)).toEqual(['CDS a', 'EDS a']);
    answer(responses[0]!, 'bad cluster');
    answer(responses[1]!);
    expect(await stream.lines()).toEqual(['RDS r']);
  });

  test(`${form}: a time-out opens the gate`, async () => {
    const { stream } = await synced(form, { ackTimeoutMs: 50 });
    stream.serve({ ...V2, cds: { a: '2' }, eds: { a: '1' } });
    const lines: string[] = [];
    await expect.poll(() => collect(stream, lines)).toBe('CDS a, EDS a, RDS r');
  });

  test(`${form}: while routes stand rejected, what the old ones use is not removed`, async () => {
    const { stream, answer } = await synced(form, { removalGraceMs: 5 });
    stream.serve({ ...V1, version: 'v2', cds: {}, eds: {}, rds: { r: '2' } });
    const [routes] = await stream.take();
    answer(routes!, 'bad route');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await stream.lines()).toEqual([]);
    stream.serve({ ...V1, version: 'v3', cds: {}, eds: {}, rds: { r: '3' } });
    const [better] = await stream.take();
    answer(better!);
    const lines: string[] = [];
    await expect.poll(() => collect(stream, lines)).toMatch(/^CDS/);
  });
}

test('a type that nobody subscribed to holds nothing back', async () => {
  const stream = new TestStream({ form: 'sotw' });
  stream.serve(V1);
  stream.ask('lds', ['l']);
  stream.ask('rds', ['r']);
  expect(await stream.lines()).toEqual(['LDS l', 'RDS r']);
});

test('listeners wait a moment for the client to ask for the endpoints of its clusters, not for ever', async () => {
  const stream = new TestStream({ form: 'delta' });
  stream.serve(V1);
  stream.change('cds');
  stream.change('lds');
  const [clusters, ...tooEarly] = await stream.take();
  expect(tooEarly).toEqual([]);
  stream.answer(clusters!);
  expect(await stream.lines()).toEqual([]);
  const lines: string[] = [];
  await expect.poll(() => collect(stream, lines)).toBe('LDS l');
});

test('convergence is told once everything of a snapshot is acknowledged', async () => {
  const converged: string[] = [];
  const stream = new TestStream({
    form: 'delta',
    events: { onConverged: (_client, { version }) => converged.push(version) },
  });
  stream.serve(V1);
  stream.change('cds');
  const [clusters] = await stream.take();
  expect(converged).toEqual([]);
  stream.answer(clusters!);
  await stream.take();
  expect(converged).toEqual(['v1']);
});

/** Everything received so far. */
async function collect(stream: TestStream, lines: string[]): Promise<string> {
  lines.push(...(await stream.lines()));
  return lines.join(', ');
}

function nonceOf(stream: TestStream, kind: 'EDS'): string {
  const report = stream.session.report().find(({ typeUrl }) => describeTypeUrl(typeUrl) === kind);
  return report?.sentNonce ?? '';
}

function describeTypeUrl(typeUrl: string): string {
  return typeUrl.endsWith('ClusterLoadAssignment') ? 'EDS' : typeUrl;
}

test('routes wait for endpoints whose name the client drops and takes back while their cluster is on its way', async () => {
  const { stream, answer } = await synced('delta');
  stream.serve({ ...V1, version: 'v2', cds: { a: '2' }, rds: { r: '2' } });
  // The drop is of an earlier removal; it arrives after the new cluster was sent.
  await stream.take().then(([clusters, endpoints]) => {
    stream.change('eds', { unsubscribe: ['a'] });
    answer(clusters!);
    answer(endpoints!);
  });
  expect(await stream.lines()).toEqual([]);
  stream.change('eds', { subscribe: ['a'] });
  const [endpoints, ...tooEarly] = await stream.take();
  expect([describeResponse(endpoints!), tooEarly]).toEqual(['EDS a', []]);
  answer(endpoints!);
  expect(await stream.lines()).toEqual(['RDS r']);
});
