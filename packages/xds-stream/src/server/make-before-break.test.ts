// Property: whatever the timing of requests, answers and snapshots, a client that follows references never holds a route
// without its cluster and that cluster's endpoints, and ends up with exactly the newest snapshot.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AdsForm } from './model.js';
import { type AnyResponse, describeResponse, type SnapshotSpec, TestStream } from './test-stream.js';

const CLUSTERS = ['a', 'b', 'c'];
type Kind = 'cds' | 'eds' | 'lds' | 'rds';

/** A snapshot in which each route's version says which clusters it uses: "a+b#3". */
function specOf(version: number, clusters: readonly string[], revision: string): SnapshotSpec {
  const each = Object.fromEntries(clusters.map((name) => [name, revision]));
  return {
    version: `v${version}`,
    cds: each,
    eds: Object.fromEntries(clusters.map((name) => [name, '1'])),
    lds: { l: '1' },
    rds: { r: `${clusters.join('+')}#${version % 5}` },
  };
}

/** A client at the other end of two queues, which the test empties message by message. */
class SimulatedClient {
  readonly inbox: AnyResponse[] = [];
  readonly outbox: (() => void)[] = [];
  readonly held: Record<Kind, Map<string, string>> = { cds: new Map(), eds: new Map(), lds: new Map(), rds: new Map() };
  readonly violations: string[] = [];
  private readonly names: Record<Kind, Set<string>> = {
    cds: new Set(),
    eds: new Set(),
    lds: new Set(),
    rds: new Set(),
  };
  private readonly nonces: Record<Kind, string> = { cds: '', eds: '', lds: '', rds: '' };

  constructor(
    private readonly form: AdsForm,
    private readonly stream: TestStream,
    /** Versions are not in the state-of-the-world form; the test knows which snapshot a response is of. */
    private readonly versionOf: (kind: Kind, name: string, snapshotVersion: string) => string,
  ) {
    for (const kind of ['cds', 'lds'] as const) this.subscribe(kind, [], []);
    this.follow('rds', new Set(['r']));
  }

  deliver(response: AnyResponse): void {
    const kind = describeResponse(response).slice(0, 3).toLowerCase() as Kind;
    this.nonces[kind] = response.nonce;
    const held = this.held[kind];
    const [, ...names] = describeResponse(response).split(' ');
    if (response.$typeName === 'envoy.service.discovery.v3.DeltaDiscoveryResponse') {
      for (const { name, version } of response.resources) if (this.wants(kind, name)) held.set(name, version);
      for (const name of response.removedResources) held.delete(name);
    } else {
      if (kind === 'cds' || kind === 'lds') held.clear();
      for (const name of names.filter((each) => this.wants(kind, each)))
        held.set(name, this.versionOf(kind, name, response.versionInfo.split('+')[0]!));
    }
    const answered = [...this.names[kind]];
    this.outbox.push(() => this.stream.answer(response, { names: answered }));
    this.follow('eds', new Set(this.held.cds.keys()));
    this.check(kind);
  }

  /** What arrives for a subscription that has just ended is ignored. */
  private wants(kind: Kind, name: string): boolean {
    return kind === 'cds' || kind === 'lds' || this.names[kind].has(name);
  }

  private follow(kind: 'eds' | 'rds', wanted: Set<string>): void {
    const known = this.names[kind];
    const added = [...wanted].filter((name) => !known.has(name));
    const gone = [...known].filter((name) => !wanted.has(name));
    this.names[kind] = wanted;
    for (const name of gone) this.held[kind].delete(name);
    if (added.length + gone.length > 0) this.subscribe(kind, added, gone);
  }

  private subscribe(kind: Kind, added: string[], gone: string[]): void {
    const names = [...this.names[kind]];
    const nonce = this.nonces[kind];
    this.outbox.push(() => {
      if (this.form === 'sotw') this.stream.ask(kind, names, nonce);
      else this.stream.change(kind, { subscribe: added, unsubscribe: gone });
    });
  }

  private check(after: Kind): void {
    for (const version of this.held.rds.values()) {
      for (const cluster of version.split('#')[0]!.split('+').filter(Boolean)) {
        if (!this.held.cds.has(cluster)) this.violations.push(`after ${after}: the route wants cluster ${cluster}`);
        else if (!this.held.eds.has(cluster)) this.violations.push(`after ${after}: ${cluster} has no endpoints`);
      }
    }
  }
}

async function simulate(form: AdsForm, steps: readonly number[], sets: readonly (readonly string[])[]): Promise<void> {
  const specs = new Map<string, SnapshotSpec>();
  const stream = new TestStream({ form, removalGraceMs: 1 });
  const client = new SimulatedClient(
    form,
    stream,
    (kind, name, version) => specs.get(version)?.[kind]?.[name] ?? 'kept',
  );
  let served = 0;
  const serveNext = () => {
    const clusters = sets[served % sets.length]!;
    const spec = specOf(served, clusters, `${Math.floor(served / 3)}`);
    served += 1;
    specs.set(spec.version, spec);
    stream.serve(spec);
    return spec;
  };
  let newest = serveNext();
  const settle = async () => {
    for (let turns = 0; turns < 4; turns++) await new Promise((resolve) => setImmediate(resolve));
    client.inbox.push(...stream.received.splice(0));
  };
  for (const step of steps) {
    if (step === 0 && client.inbox.length > 0) client.deliver(client.inbox.shift()!);
    else if (step === 1) client.outbox.shift()?.();
    else if (step === 2) newest = serveNext();
    await settle();
  }
  const converged = () =>
    (['cds', 'eds', 'lds', 'rds'] as const).every(
      (kind) =>
        JSON.stringify([...client.held[kind].keys()].sort()) === JSON.stringify(Object.keys(newest[kind] ?? {}).sort()),
    ) && client.held.rds.get('r') === newest.rds?.r;
  await expect
    .poll(
      async () => {
        await settle();
        while (client.inbox.length + client.outbox.length > 0) {
          for (const response of client.inbox.splice(0)) client.deliver(response);
          client.outbox.shift()?.();
          await settle();
        }
        return converged();
      },
      { timeout: 30_000, interval: 2 },
    )
    .toBe(true);
  expect(client.violations).toEqual([]);
  stream.session.close();
}

const clusterSets = fc.array(fc.subarray(CLUSTERS), { minLength: 2, maxLength: 6 });
const timings = fc.array(fc.constantFrom(0, 0, 0, 1, 1, 1, 2), { minLength: 60, maxLength: 250 });

test.each(['sotw', 'delta'] as const)('%s: no timing leaves a route without what it needs', async (form) => {
  await fc.assert(
    fc.asyncProperty(timings, clusterSets, (steps, sets) => simulate(form, steps, sets)),
    { numRuns: 100 },
  );
});
