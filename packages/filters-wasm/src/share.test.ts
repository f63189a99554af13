// Parts of limits: together they are the limit, and none of them is nothing.
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { LocalRateLimitSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bucketPart, createCore, createTables, ProblemList, partOf } from './index.js';

const counts = fc.integer({ min: 1, max: 64 });

function parts<T>(count: number, part: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => part(index));
}

test('parts of a limit add up to it; a smaller one than there are processes is one each', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7fffffff }), counts, (limit, count) => {
      const all = parts(count, (index) => partOf(limit, { index, count }));
      const sum = all.reduce((total, each) => total + each, 0);
      expect(sum).toBe(limit === 0 ? 0 : Math.max(limit, count));
      expect(Math.max(...all) - Math.min(...all)).toBeLessThanOrEqual(1);
    }),
  );
});

test('buckets together hold what one would, and are filled at the same rate', () => {
  fc.assert(
    fc.property(fc.bigInt(1n, 1_000_000n), fc.bigInt(50_000n, 10n ** 12n), counts, (maxTokens, interval, count) => {
      const all = parts(count, (index) => bucketPart({ maxTokens, interval }, { index, count }));
      const held = all.reduce((total, each) => total + each.maxTokens, 0n);
      expect(held).toBe(maxTokens < BigInt(count) ? BigInt(count) : maxTokens);
      // Tokens in the time in which one bucket would get `count`.
      expect(all.reduce((total, each) => total + (interval * BigInt(count)) / each.interval, 0n)).toBe(BigInt(count));
    }),
  );
});

test('one process has all of everything', () => {
  const core = createCore();
  const [one, whole] = [createTables(core, { index: 0, count: 1 }), createTables(core)];
  const cluster = create(ClusterSchema, { name: 'c' });
  const sizes = [one, whole].map((tables) =>
    tables.compile({ routeConfigurations: [], clusters: [{ cluster }], nowMs: 0 }),
  );
  expect(sizes[0]).toEqual(sizes[1]);
});

test('a bucket for each connection is not divided', () => {
  const problems = new ProblemList('Listener', 'l');
  const tables = createTables(createCore(), { index: 0, count: 2 });
  const record = (localRateLimitPerDownstreamConnection: boolean) =>
    tables.rateLimit(
      create(LocalRateLimitSchema, {
        statPrefix: 'a',
        tokenBucket: { maxTokens: 4, tokensPerFill: 4, fillInterval: durationFromMs(1000) },
        localRateLimitPerDownstreamConnection,
      }),
      'filter',
      'bucket',
      problems,
    ) as Uint8Array;
  const longs = (bytes: Uint8Array) => new BigInt64Array(bytes.slice(0, bytes.length & ~7).buffer);
  expect([...longs(record(true))]).toContain(1_000_000n);
  expect([...longs(record(false))]).toContain(2_000_000n);
  expect(problems.problems).toEqual([]);
});
