// Localities of endpoints as a client sees them: against Istio's rules written plainly.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClientPlace } from '../../resolve/locality/client-place.js';
import { arrangementOf, groupByLocality, type PlacedEndpoint } from './locality-balancing.js';

const OUTLIERS = { outlierDetection: {} };

function place(locality: string, labels: Record<string, string> = {}): ClientPlace {
  return { locality, labels, key: locality };
}

function endpoint(locality: string, weight = 1, labels: Record<string, string> = {}): PlacedEndpoint {
  return { locality, weight, labels };
}

/** Priority and weight by locality. */
function seen(endpoints: readonly PlacedEndpoint[], setting: object, client: ClientPlace, policy: object = OUTLIERS) {
  const arrangement = arrangementOf({ ...policy, loadBalancer: { localityLbSetting: setting } }, {}, client);
  return Object.fromEntries(
    groupByLocality(endpoints, arrangement).map(({ locality, priority, weight }) => [locality, [priority, weight]]),
  );
}

const part = fc.constantFrom('a', 'b', 'c');
const anyLocality = fc.oneof(
  fc.constant(''),
  part,
  fc.tuple(part, part).map((parts) => parts.join('/')),
  fc.tuple(part, part, part).map((parts) => parts.join('/')),
);
const anyEndpoints = fc.array(
  fc.tuple(anyLocality, fc.integer({ min: 1, max: 9 })).map(([locality, weight]) => endpoint(locality, weight)),
  { minLength: 1, maxLength: 12 },
);

/** The same region, zone and subzone; the same region and zone; the same region; the rest, the named one before others. */
function rank(client: string, other: string, to: string | undefined): number {
  const [a, b] = [client, other].map((text) => [...text.split('/'), '', ''].slice(0, 3));
  const same = a!.findIndex((each, index) => each !== b![index]);
  if (same < 0) return 0;
  if (same > 0) return 3 - same;
  return to !== undefined && b![0] !== to ? 4 : 3;
}

describe('failover', () => {
  it('orders endpoints by their distance, without gaps', () => {
    fc.assert(
      fc.property(anyEndpoints, anyLocality, fc.option(part), (endpoints, client, to) => {
        const region = client.split('/')[0]!;
        const failover = to === null ? [] : [{ from: region, to }];
        const groups = groupByLocality(
          endpoints,
          arrangementOf({ ...OUTLIERS, loadBalancer: { localityLbSetting: { failover } } }, {}, place(client)),
        );
        const ranks = [...new Set(endpoints.map(({ locality }) => rank(client, locality, to ?? undefined)))].sort();
        for (const { locality, priority } of groups) {
          expect(priority).toBe(ranks.indexOf(rank(client, locality, to ?? undefined)));
        }
        expect(groups.flatMap((group) => group.endpoints)).toHaveLength(endpoints.length);
      }),
    );
  });

  it('is there without asking where failures are noticed, and nowhere else', () => {
    const endpoints = [endpoint('eu/z1'), endpoint('us/z1', 2)];
    expect(seen(endpoints, {}, place('us/z1'))).toEqual({ 'eu/z1': [1, 1], 'us/z1': [0, 2] });
    expect(seen(endpoints, {}, place('us/z1'), {})).toEqual({ 'eu/z1': [0, 1], 'us/z1': [0, 2] });
    expect(seen(endpoints, { enabled: false }, place('us/z1'))).toEqual({ 'eu/z1': [0, 1], 'us/z1': [0, 2] });
    const mesh = arrangementOf(OUTLIERS, { localityLbSetting: { enabled: false } }, place('us/z1'));
    expect(mesh).toBeUndefined();
  });
});

describe('distribute', () => {
  it('splits a share over the localities that it means, by their endpoints', () => {
    const endpoints = [endpoint('eu/z1', 3), endpoint('eu/z2', 1), endpoint('us/z1'), endpoint('ap/z1'), endpoint('')];
    const distribute = [{ from: 'eu', to: { '*': 10, 'eu/*': 80, 'us/z1': 10 } }];
    expect(seen(endpoints, { distribute }, place('eu/z9'), {})).toEqual({
      'eu/z1': [0, 60],
      'eu/z2': [0, 20],
      'us/z1': [0, 10],
      'ap/z1': [0, 5],
      '': [0, 5],
    });
    expect(seen(endpoints, { distribute: [{ from: 'us/*', to: { us: 100 } }] }, place('us/z1'))).toEqual({
      'us/z1': [0, 100],
    });
  });

  it('gives shares that add up to at most one endpoint more than they should', () => {
    fc.assert(
      fc.property(anyEndpoints, fc.integer({ min: 1, max: 99 }), (endpoints, share) => {
        const distribute = [{ from: '*', to: { 'a/*': share, '*': 100 - share } }];
        const groups = Object.entries(seen(endpoints, { distribute }, place(''), {}));
        const sum = (inA: boolean) => {
          const own = groups.filter(([locality]) => (locality.split('/')[0] === 'a') === inA);
          return { weight: own.reduce((total, [, [, weight]]) => total + weight!, 0), count: own.length };
        };
        for (const [inA, wanted] of [
          [true, share],
          [false, 100 - share],
        ] as const) {
          const { weight, count } = sum(inA);
          if (count === 0) continue;
          expect(weight).toBeGreaterThanOrEqual(wanted);
          expect(weight).toBeLessThan(wanted + count);
        }
      }),
    );
  });
});

describe('failoverPriority', () => {
  it('puts endpoints first that agree in more labels, from the first on', () => {
    const endpoints = [
      endpoint('eu/z1', 1, { tier: 'gold', rack: '1' }),
      endpoint('eu/z1', 2, { tier: 'gold', rack: '2' }),
      endpoint('us/z1', 3, { rack: '1' }),
    ];
    const client = place('eu/z1', { tier: 'gold', rack: '1' });
    const groups = groupByLocality(
      endpoints,
      arrangementOf(
        { ...OUTLIERS, loadBalancer: { localityLbSetting: { failoverPriority: ['tier', 'rack'] } } },
        {},
        client,
      ),
    );
    expect(groups.map(({ locality, priority, weight }) => [locality, priority, weight])).toEqual([
      ['eu/z1', 0, 1],
      ['eu/z1', 1, 2],
      ['us/z1', 2, 3],
    ]);
    expect(seen(endpoints.slice(1), { failoverPriority: ['topology.kubernetes.io/region=us'] }, client)).toEqual({
      'eu/z1': [1, 2],
      'us/z1': [0, 3],
    });
  });
});
