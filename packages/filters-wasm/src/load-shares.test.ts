// The shares that endpoints get, against theory (chi-square) and plain references: all policies, weights, load, warm-up.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { warmthAt } from './compile/balancing/slow-start.js';
import { setWarmth, warmUpOf } from './compile/balancing/warm-up.js';
import { fillMaglevTable, xxHash64 } from './reference/reference-hash.js';
import { createTestCore } from './reference/test-core.js';
import { createTables } from './tables.js';

/** Random numbers are the same in each run, so nothing here comes out differently from one run to the next. */
const SEED = 20_240_607;
const { core, wasm } = createTestCore();
const tables = createTables(core);

type More = { [key: string]: JsonValue };

const clusterOf = (lbPolicy: string, weights: readonly number[], more: More = {}) =>
  fromJson(ClusterSchema, {
    name: 'c',
    type: 'STATIC',
    lbPolicy,
    loadAssignment: {
      clusterName: 'c',
      endpoints: [
        {
          lbEndpoints: weights.map((weight, index) => ({
            endpoint: { address: { socketAddress: { address: `10.0.0.${index}`, portValue: 80 } } },
            loadBalancingWeight: weight,
          })),
        },
      ],
    },
    ...more,
  });

/** Puts a cluster in use; the slots of its endpoints, in their order. */
function use(lbPolicy: string, weights: readonly number[], more: More = {}): number[] {
  const cluster = clusterOf(lbPolicy, weights, more);
  expect(tables.compile({ routeConfigurations: [], clusters: [{ cluster }], nowMs: 0 })).toMatchObject({ ok: true });
  tables.activate();
  const slots = tables.endpointsOf(tables.clusterSlot('c')).map(({ slot }) => slot);
  setWarmth(core, tables.clusterSlot('c'), new Map(slots.map((slot) => [slot, 1000])));
  return slots;
}

const pick = () => wasm.pick(tables.clusterSlot('c'), 0, 3);

function countsOf(slots: readonly number[], picks: number): number[] {
  const counts = slots.map(() => 0);
  for (let each = 0; each < picks; each++) counts[slots.indexOf(pick())]! += 1;
  return counts;
}

/** Pearson's statistic is below this but once in 10^9 samples, for any number of cells (Laurent and Massart's bound). */
function expectShares(counts: readonly number[], shares: readonly number[]): void {
  const picks = counts.reduce((sum, count) => sum + count, 0);
  const total = shares.reduce((sum, share) => sum + share, 0);
  let statistic = 0;
  for (const [index, share] of shares.entries()) {
    const expected = (picks * share) / total;
    if (expected === 0) expect(counts[index]).toBe(0);
    else statistic += (counts[index]! - expected) ** 2 / expected;
  }
  const freedom = shares.length - 1;
  const tail = Math.log(1e9);
  expect(statistic, `${counts} for ${shares}`).toBeLessThan(freedom + 2 * Math.sqrt(freedom * tail) + 2 * tail);
}

const ones = (count: number) => Array.from({ length: count }, () => 1);
const anyWeights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 8 });
const anyWarmth = fc.integer({ min: 1, max: 1000 });

/** Smooth weighted round robin, as nginx describes it. */
function takeTurns(weights: readonly number[], picks: number): number[] {
  const current = weights.map(() => 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Array.from({ length: picks }, () => {
    for (const [index, weight] of weights.entries()) current[index]! += weight;
    const best = current.indexOf(Math.max(...current));
    current[best]! -= total;
    return best;
  });
}

/** Each endpoint's chance where two are drawn by weight and the less busy one in relation to its weight is taken. */
function chancesOfTwo(active: readonly number[], weights: readonly number[]): number[] {
  const equal = weights.every((weight) => weight === weights[0]);
  const chances = weights.map(() => 0);
  for (const [first, firstWeight] of weights.entries()) {
    for (const [drawn, drawnWeight] of weights.entries()) {
      // With equal weights the same one twice means its neighbour.
      const second = equal && drawn === first ? (first + 1) % weights.length : drawn;
      const isLess = active[second]! * weights[first]! < active[first]! * weights[second]!;
      chances[isLess ? second : first]! += firstWeight * drawnWeight;
    }
  }
  return chances;
}

describe('shares without load', () => {
  it('are even under RANDOM, whatever the weights, as in Envoy', () => {
    expectShares(countsOf(use('RANDOM', [9, 1, 1, 5, 2]), 10_000), ones(5));
  });

  it.each([
    ['LEAST_REQUEST', ones(7)],
    ['LEAST_REQUEST', [1, 2, 3, 10]],
    ['ROUND_ROBIN', ones(7)],
    ['ROUND_ROBIN', [1, 2, 3, 10]],
  ] as const)('follow the weights under %s: %s', (policy, weights) => {
    expectShares(countsOf(use(policy, weights), 10_000), weights);
  });

  it('are those of the points of the ring under RING_HASH', () => {
    const keys = ones(8).map((_, index) => `10.0.0.${index}:80`);
    const points = keys
      .flatMap((key, owner) =>
        Array.from({ length: 128 }, (_, point) => ({ at: xxHash64(Buffer.from(`${key}_${point}`), 0n), owner })),
      )
      .sort((a, b) => (a.at < b.at ? -1 : 1));
    const arcs = keys.map(() => 0);
    for (const [index, { at, owner }] of points.entries()) {
      const before = index === 0 ? points.at(-1)!.at - 2n ** 64n : points[index - 1]!.at;
      arcs[owner]! += Number(at - before);
    }
    expectShares(countsOf(use('RING_HASH', ones(8)), 20_000), arcs);
  });

  it('are those of the places of the table under MAGLEV', () => {
    const weights = [1, 2, 3, 4];
    const keys = weights.map((weight, index) => ({ key: `10.0.0.${index}:80`, weight }));
    const table = fillMaglevTable(keys, 1009);
    const places = keys.map(({ key }) => table.filter((each) => each === key).length);
    expectShares(countsOf(use('MAGLEV', weights, { maglevLbConfig: { tableSize: '1009' } }), 20_000), places);
  });

  it('are turns in the order of a plain reference under ROUND_ROBIN with weights', () => {
    fc.assert(
      fc.property(anyWeights, (weights) => {
        fc.pre(new Set(weights).size > 1);
        const slots = use('ROUND_ROBIN', weights);
        const picks = weights.reduce((sum, weight) => sum + weight, 0);
        const turns = Array.from({ length: picks }, () => slots.indexOf(pick()));
        expect(turns).toEqual(takeTurns(weights, picks));
      }),
      { numRuns: 100, seed: SEED },
    );
  });
});

describe('LEAST_REQUEST under load', () => {
  /** Sets the numbers of active requests for the time of `run`. */
  function withActive(slots: readonly number[], active: readonly number[], run: () => void): void {
    slots.forEach((slot, index) => {
      for (let each = 0; each < active[index]!; each++) wasm.endpointBegin(slot);
    });
    run();
    slots.forEach((slot, index) => {
      for (let each = 0; each < active[index]!; each++) wasm.endpointEnd(slot);
    });
  }

  it('takes the less busy of two, as often as a plain reference says', () => {
    const endpoint = fc.record({ weight: fc.integer({ min: 1, max: 5 }), active: fc.integer({ min: 0, max: 6 }) });
    fc.assert(
      fc.property(fc.array(endpoint, { minLength: 2, maxLength: 6 }), fc.boolean(), (endpoints, equal) => {
        const weights = endpoints.map(({ weight }) => (equal ? 1 : weight));
        const active = endpoints.map((each) => each.active);
        const slots = use('LEAST_REQUEST', weights);
        withActive(slots, active, () => expectShares(countsOf(slots, 4000), chancesOfTwo(active, weights)));
      }),
      { numRuns: 60, seed: SEED },
    );
  });

  /** Share of a slow endpoint among four, and the most requests that it had at a time: 1,000 a second for ten seconds. */
  function underSlowEndpoint(policy: string): { readonly share: number; readonly most: number } {
    const slots = use(policy, ones(4));
    const ends: { readonly atMs: number; readonly slot: number }[] = [];
    let slow = 0;
    let active = 0;
    let most = 0;
    for (let nowMs = 0; nowMs < 10_000; nowMs++) {
      while (ends[0] !== undefined && ends[0].atMs <= nowMs) {
        const { slot } = ends.shift()!;
        wasm.endpointEnd(slot);
        if (slot === slots[0]) active--;
      }
      const slot = pick();
      wasm.endpointBegin(slot);
      const isSlow = slot === slots[0];
      if (isSlow) {
        slow++;
        active++;
        most = Math.max(most, active);
      }
      ends.push({ atMs: nowMs + (isSlow ? 200 : 10), slot });
      ends.sort((a, b) => a.atMs - b.atMs);
    }
    for (const { slot } of ends) wasm.endpointEnd(slot);
    return { share: slow / 10_000, most };
  }

  it('spares an endpoint that takes twenty times as long', () => {
    const even = underSlowEndpoint('ROUND_ROBIN');
    const sparing = underSlowEndpoint('LEAST_REQUEST');
    expect(even.share).toBeCloseTo(0.25, 2);
    expect(even.most).toBeGreaterThanOrEqual(50);
    expect(sparing.share).toBeLessThan(0.05);
    expect(sparing.most).toBeLessThanOrEqual(10);
    // It is not left alone either.
    expect(sparing.share).toBeGreaterThan(0.001);
  });
});

describe('warm-up', () => {
  const settings = { windowMs: 10_000, aggression: 1, minimum: 0.1 };

  it('grows as Envoy says: the time to the power of 1 / aggression, from the minimum to all', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.double({ min: 0.1, max: 10, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 120_000 }),
        (windowMs, aggression, minimum, ageMs) => {
          const wanted = ageMs >= windowMs ? 1 : Math.max((Math.max(ageMs, 1) / windowMs) ** (1 / aggression), minimum);
          const warmth = warmthAt({ windowMs, aggression, minimum }, ageMs);
          expect(Math.abs(warmth / 1000 - wanted)).toBeLessThanOrEqual(0.001);
          expect(warmth).toBeGreaterThan(0);
        },
      ),
      { seed: SEED },
    );
  });

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST'])('is the curve of the share under %s', (policy) => {
    const slots = use(policy, ones(5));
    for (const ageMs of [0, 500, 1000, 2500, 5000, 7500, 9990, 10_000, 60_000]) {
      const warmth = warmthAt(settings, ageMs);
      setWarmth(
        core,
        tables.clusterSlot('c'),
        new Map(slots.map((slot, index) => [slot, index === 0 ? warmth : 1000])),
      );
      const factor = Math.min(Math.max(ageMs / settings.windowMs, settings.minimum), 1);
      expectShares(countsOf(slots, 5000), [factor, 1, 1, 1, 1]);
    }
  });

  it('scales weights: turns in the order of a plain reference', () => {
    fc.assert(
      fc.property(anyWeights, fc.array(anyWarmth, { minLength: 8, maxLength: 8 }), (weights, all) => {
        const warmth = weights.map((_, index) => all[index]!);
        warmth[0] = Math.min(warmth[0]!, 999);
        const slots = use('ROUND_ROBIN', weights);
        setWarmth(core, tables.clusterSlot('c'), new Map(slots.map((slot, index) => [slot, warmth[index]!])));
        const turns = Array.from({ length: 200 }, () => slots.indexOf(pick()));
        const scaled = weights.map((weight, index) => weight * warmth[index]!);
        expect(turns).toEqual(takeTurns(scaled, 200));
      }),
      { numRuns: 100, seed: SEED },
    );
  });

  it('leaves nothing behind: afterwards turns are those of the weights', () => {
    const weights = [3, 1, 2];
    const slots = use('ROUND_ROBIN', weights);
    setWarmth(core, tables.clusterSlot('c'), new Map(slots.map((slot, index) => [slot, index === 1 ? 17 : 1000])));
    countsOf(slots, 1001);
    setWarmth(core, tables.clusterSlot('c'), new Map(slots.map((slot) => [slot, 1000])));
    expect(Array.from({ length: 60 }, () => slots.indexOf(pick()))).toEqual(takeTurns(weights, 60));
  });

  it('takes weights that are too large for thousandths as they are', () => {
    const slots = use('LEAST_REQUEST', [1_000_000_000, 1_000_000_000]);
    setWarmth(core, tables.clusterSlot('c'), new Map(slots.map((slot, index) => [slot, index === 0 ? 250 : 1000])));
    expectShares(countsOf(slots, 5000), [1, 4]);
  });

  it('is read with the defaults of Envoy', () => {
    const slowStart = { slowStartWindow: '30s' };
    const expected = { windowMs: 30_000, aggression: 1, minimum: 0.1 };
    const least = { leastRequestLbConfig: { slowStartConfig: slowStart } };
    expect(warmUpOf(clusterOf('LEAST_REQUEST', [1], least))).toEqual(expected);
    expect(warmUpOf(clusterOf('ROUND_ROBIN', [1], { roundRobinLbConfig: { slowStartConfig: slowStart } }))).toEqual(
      expected,
    );
    expect(warmUpOf(clusterOf('RANDOM', [1], least))).toBeUndefined();
    expect(warmUpOf(clusterOf('ROUND_ROBIN', [1]))).toBeUndefined();
  });

  it.each([
    [{ slowStartWindow: '1s', aggression: { defaultValue: 0, runtimeKey: 'x' } }, 'aggression'],
    [{ slowStartWindow: '1s', minWeightPercent: { value: 101 } }, 'min_weight_percent'],
    [{ slowStartWindow: '-1s' }, 'slow_start_window'],
  ])('is refused where it makes no sense: %j', (slowStartConfig, field) => {
    const cluster = clusterOf('ROUND_ROBIN', [1], { roundRobinLbConfig: { slowStartConfig } });
    const result = tables.compile({ routeConfigurations: [], clusters: [{ cluster }], nowMs: 0 });
    expect(result.ok).toBe(false);
    expect(result.problems[0]?.path).toBe(`round_robin_lb_config.slow_start_config.${field}`);
  });
});
