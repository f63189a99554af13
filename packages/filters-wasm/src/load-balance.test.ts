// Endpoint choice: shares by policy and weight, ejected and tried endpoints, priorities, circuit breakers.
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { createTestCore } from './reference/test-core.js';
import * as T from './table-layout.js';
import { createTables, overflowsOf, setEjected } from './tables.js';

const { core, wasm } = createTestCore();
const tables = createTables(core);

const NO_PANIC = { commonLbConfig: { healthyPanicThreshold: { value: 0 } } };

interface Host {
  readonly weight?: number;
  readonly priority?: number;
  readonly health?: string;
}

/** Puts one cluster in use; its slot. Hosts are 10.0.0.1, 10.0.0.2, … */
function use(lbPolicy: string, hosts: readonly Host[], more: { [key: string]: JsonValue } = {}, name = 'c'): number {
  const endpoints = hosts.map(({ weight = 1, priority = 0, health = 'HEALTHY' }, index) => ({
    priority,
    lbEndpoints: [
      {
        endpoint: { address: { socketAddress: { address: `10.0.0.${index + 1}`, portValue: 80 } } },
        loadBalancingWeight: weight,
        healthStatus: health,
      },
    ],
  }));
  const cluster = fromJson(ClusterSchema, {
    name,
    type: 'STATIC',
    lbPolicy,
    loadAssignment: { clusterName: name, endpoints },
    ...more,
  });
  expect(tables.compile({ routeConfigurations: [], clusters: [{ cluster }], nowMs: 0 })).toMatchObject({ ok: true });
  tables.activate();
  return tables.clusterSlot(name);
}
const hostOf = (endpoint: number) =>
  endpoint < 0 ? endpoint : Number(tables.endpoint(endpoint)!.address.split('.')[3]);
function shares(cluster: number, picks: number, busy = false): number[] {
  const counts: number[] = [];
  for (let i = 0; i < picks; i++) {
    const endpoint = wasm.pick(cluster, 0, 3);
    if (busy) wasm.endpointBegin(endpoint);
    counts[hostOf(endpoint) - 1] = (counts[hostOf(endpoint) - 1] ?? 0) + 1;
  }
  return counts;
}
function eject(cluster: number, host: number, on = true): void {
  const endpoint = tables.endpointsOf(cluster).find(({ address }) => address === `10.0.0.${host}`)!;
  setEjected(core, cluster, endpoint.slot, on);
}

describe('pick', () => {
  it('takes turns under ROUND_ROBIN', () => {
    expect(shares(use('ROUND_ROBIN', [{}, {}]), 100)).toEqual([50, 50]);
    expect(shares(use('ROUND_ROBIN', [{}, {}, {}], {}, 'three'), 99)).toEqual([33, 33, 33]);
  });

  it('goes on where it was when the tables change', () => {
    const first = hostOf(wasm.pick(use('ROUND_ROBIN', [{}, {}], {}, 'swap'), 0, 1));
    const second = hostOf(wasm.pick(use('ROUND_ROBIN', [{}, {}], {}, 'swap'), 0, 1));
    expect([first, second].sort()).toEqual([1, 2]);
  });

  it('spreads turns by weight exactly', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 2, maxLength: 5 }),
        fc.uuid(),
        (weights, name) => {
          const cluster = use(
            'ROUND_ROBIN',
            weights.map((weight) => ({ weight })),
            {},
            name,
          );
          const total = weights.reduce((sum, weight) => sum + weight, 0);
          if (new Set(weights).size > 1) expect(shares(cluster, total)).toEqual(weights);
          else expect(shares(cluster, weights.length)).toEqual(weights.map(() => 1));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('prefers the less busy endpoint under LEAST_REQUEST', () => {
    expect(shares(use('LEAST_REQUEST', [{}, {}], {}, 'least'), 100, true)).toEqual([50, 50]);
    const weighted = shares(use('LEAST_REQUEST', [{ weight: 1 }, { weight: 3 }], {}, 'least-weighted'), 400, true);
    expect(weighted[0]!).toBeGreaterThan(90);
    expect(weighted[0]!).toBeLessThan(110);
  });

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM'])('never takes an ejected endpoint under %s', (policy) => {
    const cluster = use(policy, [{}, {}, {}], NO_PANIC, `ejected-${policy}`);
    eject(cluster, 2);
    const counts = shares(cluster, 3000);
    expect(counts[1]).toBeUndefined();
    // The neighbour does not inherit all of the share.
    expect(Math.abs(counts[0]! - counts[2]!)).toBeLessThan(300);
    eject(cluster, 1);
    eject(cluster, 3);
    expect(wasm.pick(cluster, 0, 1)).toBe(T.PICK_NO_HEALTHY);
  });

  it.each(['ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM'])(
    'avoids tried endpoints while there are others under %s',
    (policy) => {
      const cluster = use(policy, [{}, {}, {}], {}, `tried-${policy}`);
      for (let i = 0; i < 200; i++) {
        const slots = new Set<number>();
        for (let tried = 0; tried < 3; tried++) {
          const endpoint = wasm.pick(cluster, tried, 5);
          core.i32[(L.PICK_TRIED >> 2) + tried] = endpoint;
          slots.add(endpoint);
        }
        expect(slots.size).toBe(3);
        expect(wasm.pick(cluster, 3, 5)).toBeGreaterThanOrEqual(0);
      }
    },
  );

  it('uses the next priority only where the first has nothing healthy', () => {
    const cluster = use(
      'ROUND_ROBIN',
      [{}, { priority: 1 }, { health: 'UNHEALTHY' }, { health: 'DRAINING' }],
      {},
      'priorities',
    );
    expect(shares(cluster, 10)).toEqual([10]);
    eject(cluster, 1);
    expect(hostOf(wasm.pick(cluster, 0, 1))).toBe(2);
    eject(cluster, 1, false);
    expect(hostOf(wasm.pick(cluster, 0, 1))).toBe(1);
  });

  it('tells a missing cluster, an empty one and one of original destinations apart', () => {
    expect(wasm.pick(tables.clusterSlot('nobody'), 0, 1)).toBe(T.PICK_NO_CLUSTER);
    expect(wasm.pick(-1, 0, 1)).toBe(T.PICK_NO_CLUSTER);
    expect(wasm.pick(1e9, 0, 1)).toBe(T.PICK_NO_CLUSTER);
    expect(wasm.pick(use('ROUND_ROBIN', []), 0, 1)).toBe(T.PICK_NO_HEALTHY);
    expect(wasm.pick(use('CLUSTER_PROVIDED', [], { type: 'ORIGINAL_DST' }), 0, 1)).toBe(T.PICK_ORIGINAL_DESTINATION);
  });
});

describe('circuit breakers', () => {
  it('refuse what is over the limit, and count it', () => {
    const cluster = use('ROUND_ROBIN', [{}], { circuitBreakers: { thresholds: [{ maxRequests: 2 }] } }, 'limited');
    expect([1, 2, 3].map(() => wasm.acquire(cluster, T.LIMIT_REQUESTS))).toEqual([1, 1, 0]);
    expect(overflowsOf(core, cluster)).toEqual([0, 0, 1, 0]);
    wasm.release(cluster, T.LIMIT_REQUESTS);
    expect(wasm.acquire(cluster, T.LIMIT_REQUESTS)).toBe(1);
    expect([1, 2, 3, 4].map(() => wasm.acquire(cluster, T.LIMIT_RETRIES))).toEqual([1, 1, 1, 0]);
    expect(wasm.acquire(cluster, 4)).toBe(0);
  });

  it('let as many requests be tried again as a budget allows', () => {
    const budget = (retryBudget: { budgetPercent?: { value: number }; minRetryConcurrency?: number }) =>
      use('ROUND_ROBIN', [{}], { circuitBreakers: { thresholds: [{ maxRetries: 1, retryBudget }] } }, 'budget');
    const taken = (cluster: number) => {
      let count = 0;
      while (count < 100 && wasm.acquire(cluster, T.LIMIT_RETRIES) === 1) count++;
      for (let each = 0; each < count; each++) wasm.release(cluster, T.LIMIT_RETRIES);
      return count;
    };
    expect(taken(budget({}))).toBe(3);
    const cluster = budget({ budgetPercent: { value: 12.5 }, minRetryConcurrency: 2 });
    for (let each = 0; each < 40; each++) wasm.acquire(cluster, T.LIMIT_REQUESTS);
    expect(taken(cluster)).toBe(5);
    for (let each = 0; each < 30; each++) wasm.release(cluster, T.LIMIT_REQUESTS);
    expect(taken(cluster)).toBe(2);
    expect(taken(budget({ budgetPercent: { value: 0 }, minRetryConcurrency: 0 }))).toBe(0);
  });

  it('never count below zero', () => {
    const cluster = use('ROUND_ROBIN', [{}], { circuitBreakers: { thresholds: [{ maxConnections: 1 }] } }, 'floor');
    wasm.release(cluster, T.LIMIT_CONNECTIONS);
    expect([1, 2].map(() => wasm.acquire(cluster, T.LIMIT_CONNECTIONS))).toEqual([1, 0]);
  });
});
