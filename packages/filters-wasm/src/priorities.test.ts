// Shares of priorities and localities by health: against Envoy's rules written plainly, and against what is picked.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as P from './compile/balancing/priority-layout.js';
import { PICK_TRIED } from './layout.js';
import { createTestCore } from './reference/test-core.js';
import * as T from './table-layout.js';
import { clusterStateOffset, createTables, setEjected, setUnusable } from './tables.js';

const { core, wasm } = createTestCore();
const tables = createTables(core);

interface Locality {
  readonly priority?: number;
  readonly weight?: number;
  /** One for each endpoint: whether it is well. */
  readonly well: readonly boolean[];
}

/** Puts a cluster in use whose endpoints are 10.PRIORITY.LOCALITY.N; its slot. */
function use(localities: readonly Locality[], panic: number, more: { [key: string]: JsonValue } = {}): number {
  const endpoints = localities.map(({ priority = 0, weight, well }, index) => ({
    priority,
    ...(weight === undefined ? {} : { loadBalancingWeight: weight }),
    lbEndpoints: well.map((_, host) => ({
      endpoint: { address: { socketAddress: { address: `10.${priority}.${index}.${host}`, portValue: 80 } } },
    })),
  }));
  const { commonLbConfig = {}, ...rest } = more;
  const cluster = fromJson(ClusterSchema, {
    name: 'c',
    type: 'STATIC',
    lbPolicy: 'RANDOM',
    commonLbConfig: { healthyPanicThreshold: { value: panic }, ...(commonLbConfig as object) },
    loadAssignment: { clusterName: 'c', endpoints },
    ...rest,
  });
  expect(tables.compile({ routeConfigurations: [], clusters: [{ cluster }], nowMs: 0 })).toMatchObject({ ok: true });
  tables.activate();
  const slot = tables.clusterSlot('c');
  for (const endpoint of tables.endpointsOf(slot)) {
    const [, , locality, host] = endpoint.address.split('.').map(Number);
    setEjected(core, slot, endpoint.slot, !localities[locality!]!.well[host!]);
  }
  return slot;
}

/** Requests by the part of the address that `part` says. */
function counts(slot: number, picks: number, part: 1 | 2): number[] {
  const found: number[] = [];
  for (let i = 0; i < picks; i++) {
    const place = Number(tables.endpoint(wasm.pick(slot, 0, 3))!.address.split('.')[part]);
    found[place] = (found[place] ?? 0) + 1;
  }
  return Array.from(found, (count) => count ?? 0);
}

/** Pearson's statistic against shares; cells without a share must be empty. */
function chiSquare(found: readonly number[], shares: readonly number[]): number {
  const picks = found.reduce((sum, count) => sum + count, 0);
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.reduce((sum, share, index) => {
    const expected = (picks * share) / total;
    if (expected === 0) {
      expect(found[index] ?? 0).toBe(0);
      return sum;
    }
    return sum + ((found[index] ?? 0) - expected) ** 2 / expected;
  }, 0);
}

/** Of four degrees of freedom or fewer this is passed once in ten million times. */
const CHI_SQUARE_LIMIT = 38;

interface PriorityState {
  readonly load: number;
  readonly panic: boolean;
}

function stateOf(slot: number): PriorityState[] {
  wasm.pick(slot, 0, 1);
  const at = (offset: number) => core.i32[offset >> 2]!;
  const table = at(clusterStateOffset(slot) + T.CLUSTER_STATE_TABLE);
  let before = 0;
  return Array.from({ length: at(table + T.CLUSTER_PRIORITY_COUNT) }, (_, index) => {
    const record = table + at(table + T.CLUSTER_PRIORITIES) + index * P.PRIORITY_BYTES;
    const load = at(record + P.PRIORITY_LOAD) - before;
    before += load;
    return { load, panic: at(record + P.PRIORITY_PANIC) === 1 };
  });
}

/** What Envoy's documentation of priority levels and of the panic threshold says. */
function reference(priorities: readonly (readonly boolean[])[], panic: number): PriorityState[] {
  const healthy = priorities.map((well) => well.filter(Boolean).length);
  const health = priorities.map((well, index) => Math.min(100, Math.floor((140 * healthy[index]!) / well.length)));
  const total = Math.min(
    100,
    health.reduce((sum, each) => sum + each, 0),
  );
  const inPanic = priorities.map((well, index) => total < 100 && (100 * healthy[index]!) / well.length < panic);
  const size = priorities.flat().length;
  const wanted = inPanic.every(Boolean)
    ? priorities.map((well) => Math.floor((100 * well.length) / size))
    : health.map((each) => (total === 0 ? 0 : Math.floor((100 * each) / total)));
  let left = 100;
  const loads = wanted.map((load) => {
    const given = Math.min(load, left);
    left -= given;
    return given;
  });
  const first = Math.max(
    0,
    loads.findIndex((load) => load > 0),
  );
  loads[first]! += left;
  return loads.map((load, index) => ({ load, panic: inPanic[index]! }));
}

describe('priorities', () => {
  const anyPriority = fc.array(fc.boolean(), { minLength: 1, maxLength: 6 });

  it('share requests by health, and are in panic, as the plain reference says', () => {
    fc.assert(
      fc.property(
        fc.array(anyPriority, { minLength: 1, maxLength: 4 }),
        fc.constantFrom(0, 30, 50, 100),
        (priorities, panic) => {
          const slot = use(
            priorities.map((well, priority) => ({ priority, well })),
            panic,
          );
          expect(stateOf(slot)).toEqual(reference(priorities, panic));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('are picked in that share', () => {
    const half = [true, false, true, false];
    const slot = use([{ well: half }, { priority: 1, well: [true, true] }], 0);
    expect(stateOf(slot).map(({ load }) => load)).toEqual([70, 30]);
    expect(chiSquare(counts(slot, 10_000, 1), [70, 30])).toBeLessThan(CHI_SQUARE_LIMIT);
  });

  it('fail over, and come back', () => {
    const localities = [{ well: [true, true] }, { priority: 1, well: [true] }];
    const slot = use(localities, 0);
    expect(counts(slot, 100, 1)).toEqual([100]);
    const first = tables.endpointsOf(slot).filter(({ address }) => address.startsWith('10.0.'));
    for (const endpoint of first) setEjected(core, slot, endpoint.slot, true);
    expect(counts(slot, 100, 1)).toEqual([0, 100]);
    for (const endpoint of first) setEjected(core, slot, endpoint.slot, false);
    expect(counts(slot, 100, 1)).toEqual([100]);
  });

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM', 'RING_HASH', 'MAGLEV'])(
    'leave endpoints out that were never checked under %s, and do not count them',
    (lbPolicy) => {
      const slot = use([{ well: [true, true, true, true] }], 50, { lbPolicy });
      const [checked, ...unchecked] = tables.endpointsOf(slot).map((endpoint) => endpoint.slot);
      const bits = T.UNUSABLE_FAILING | T.UNUSABLE_UNCHECKED;
      for (const endpoint of unchecked) setUnusable(core, slot, endpoint, bits, bits);
      const picked = () => new Set(Array.from({ length: 100 }, () => wasm.pick(slot, 0, 1)));
      // One of one is healthy: no panic.
      expect(picked()).toEqual(new Set([checked]));
      setUnusable(core, slot, checked!, T.UNUSABLE_FAILING, T.UNUSABLE_FAILING);
      expect(picked()).toEqual(new Set([checked]));
      setUnusable(core, slot, unchecked[0]!, bits, bits);
      setUnusable(core, slot, checked!, T.UNUSABLE_UNCHECKED, T.UNUSABLE_UNCHECKED);
      expect(picked()).toEqual(new Set([T.PICK_NO_HEALTHY]));
      for (const endpoint of [checked!, ...unchecked]) setUnusable(core, slot, endpoint, bits, 0);
      expect(picked().size).toBe(4);
    },
  );

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM', 'RING_HASH', 'MAGLEV'])(
    'in panic use all endpoints under %s',
    (lbPolicy) => {
      const slot = use([{ well: [false, false, true] }], 50, { lbPolicy });
      const seen = new Set<number>();
      for (let i = 0; i < 200; i++) seen.add(wasm.pick(slot, 0, 1));
      expect(seen.size).toBe(3);
      const well = use([{ well: [false, true, true] }], 50, { lbPolicy });
      seen.clear();
      for (let i = 0; i < 200; i++) seen.add(wasm.pick(well, 0, 1));
      expect(seen.size).toBe(2);
    },
  );
});

describe('localities', () => {
  const WEIGHTED = { commonLbConfig: { localityWeightedLbConfig: {} } };
  const well = [true, true, true];

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM'])('share requests by weight under %s', (lbPolicy) => {
    const localities = [
      { weight: 70, well: [true] },
      { weight: 20, well },
      { weight: 10, well: [true, true] },
    ];
    const slot = use(localities, 0, { ...WEIGHTED, lbPolicy });
    expect(chiSquare(counts(slot, 10_000, 2), [70, 20, 10])).toBeLessThan(CHI_SQUARE_LIMIT);
  });

  it('lose weight where less than 5 of 7 endpoints are well', () => {
    const localities = [
      { weight: 50, well: [true, true, true, false] },
      { weight: 50, well: [true, false] },
    ];
    const slot = use(localities, 0, WEIGHTED);
    // 1.4 × 3/4 is more than everything; 1.4 × 1/2 is 70 %.
    expect(chiSquare(counts(slot, 10_000, 2), [100, 70])).toBeLessThan(CHI_SQUARE_LIMIT);
  });

  it('have the shares that a plain reference says, by weight and health, whoever fails and comes back', () => {
    const anyLocality = fc.record({
      weight: fc.integer({ min: 1, max: 50 }),
      well: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(anyLocality, { minLength: 2, maxLength: 5 }), (localities) => {
        fc.pre(localities.some(({ well }) => well.includes(true)));
        // Envoy: what is well of a locality counts 1.4 times, up to all of its weight.
        const shareOf = ({ weight, well: all }: (typeof localities)[number]) =>
          weight * Math.min(100, Math.floor((140 * all.filter(Boolean).length) / all.length));
        const slot = use(localities, 0, WEIGHTED);
        expect(chiSquare(counts(slot, 3000, 2), localities.map(shareOf))).toBeLessThan(CHI_SQUARE_LIMIT);
        for (const { slot: endpoint } of tables.endpointsOf(slot)) setEjected(core, slot, endpoint, false);
        const weights = localities.map(({ weight }) => weight);
        expect(chiSquare(counts(slot, 3000, 2), weights)).toBeLessThan(CHI_SQUARE_LIMIT);
      }),
      { numRuns: 60, seed: 20_240_607 },
    );
  });

  it('have no weights without locality_weighted_lb_config', () => {
    const slot = use(
      [
        { weight: 90, well: [true] },
        { weight: 10, well },
      ],
      0,
    );
    expect(chiSquare(counts(slot, 10_000, 2), [25, 75])).toBeLessThan(CHI_SQUARE_LIMIT);
  });
});

describe('priorities that were tried', () => {
  const slotsIn = (slot: number, priority: number) =>
    tables
      .endpointsOf(slot)
      .filter(({ address }) => address.startsWith(`10.${priority}.`))
      .map((endpoint) => endpoint.slot);
  const tried = (slot: number, slots: readonly number[]): number => {
    core.i32.set(slots, PICK_TRIED >> 2);
    return wasm.triedPriorities(slot, slots.length);
  };

  it('are left out of the next pick, and of no other', () => {
    const well = [true, true];
    const slot = use([{ well }, { priority: 1, well }, { priority: 2, well }], 0);
    const excluded = tried(slot, [slotsIn(slot, 0)[1]!]);
    expect(excluded).toBe(1);
    const next = Array.from({ length: 50 }, () => {
      core.i32[P.PICK_EXCLUDED >> 2] = excluded;
      return tables.endpoint(wasm.pick(slot, 0, 3))!.address.split('.')[1];
    });
    expect(new Set(next)).toEqual(new Set(['1']));
    expect(counts(slot, 50, 1)).toEqual([50]);
  });

  it('are none where nobody else is well', () => {
    const slot = use([{ well: [true] }, { priority: 1, well: [false] }, { priority: 2, well: [true] }], 0);
    expect(tried(slot, slotsIn(slot, 0))).toBe(1);
    expect(tried(slot, [...slotsIn(slot, 0), ...slotsIn(slot, 2)])).toBe(0);
  });

  it('give the others shares by their health', () => {
    const slot = use([{ well: [true] }, { priority: 1, well: [true, false, false] }, { priority: 2, well: [true] }], 0);
    const excluded = tried(slot, slotsIn(slot, 0));
    const found = [0, 0, 0];
    for (let i = 0; i < 2000; i++) {
      core.i32[P.PICK_EXCLUDED >> 2] = excluded;
      found[Number(tables.endpoint(wasm.pick(slot, 0, 3))!.address.split('.')[1])]!++;
    }
    // A third of 140 % is 46 % for the one, and the rest of 100 % for the next.
    expect(chiSquare(found, [0, 46, 54])).toBeLessThan(CHI_SQUARE_LIMIT);
  });
});
