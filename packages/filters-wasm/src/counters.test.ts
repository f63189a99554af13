// Series, histograms and interned peers, against maps and arrays.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createCore } from './core.js';
import * as L from './layout.js';
import { readSeries, SERIES_BUCKET_BOUNDS } from './metric-series.js';

describe('record', () => {
  it('counts as a map of keys would', () => {
    const { wasm, ...core } = createCore();
    const expected = new Map<string, { requests: number; durationSum: number; buckets: number[] }>();
    const small = fc.integer({ min: 0, max: 5 });
    const durations = fc.oneof(
      fc.double({ min: 0, max: 5_000_000, noNaN: true }),
      fc.constantFrom(...SERIES_BUCKET_BOUNDS),
    );
    fc.assert(
      fc.property(
        small,
        small,
        small,
        fc.constantFrom(200, 503),
        small,
        fc.constantFrom(-1, 0, 14),
        durations,
        (context, peer, connection, code, flags, grpc, duration) => {
          wasm.record(context, peer, connection, code, flags, grpc, duration, duration * 2, 0);
          const key = [context, peer, connection, code, flags, grpc].join();
          const entry = expected.get(key) ?? { requests: 0, durationSum: 0, buckets: Array(20).fill(0) as number[] };
          expected.set(key, entry);
          entry.requests++;
          entry.durationSum += duration;
          const bucket = SERIES_BUCKET_BOUNDS.findIndex((bound) => duration <= bound);
          entry.buckets[bucket < 0 ? 19 : bucket]!++;
        },
      ),
      { numRuns: 5000 },
    );
    const actual = new Map(
      [...readSeries({ wasm, ...core })].map((series) => [
        [series.context, series.peer, series.connection, series.code, series.flags, series.grpcStatus].join(),
        { requests: series.requests, durationSum: series.durationMs.sum, buckets: [...series.durationMs.buckets] },
      ]),
    );
    expect(actual).toEqual(expected);
    expect(wasm.seriesOverflow()).toBe(0);
  });

  it('counts apart what does not fit', () => {
    const core = createCore();
    for (let i = 0; i < L.SERIES_COUNT + 10; i++) core.wasm.record(i, 1, 1, 200, 0, -1, 1, 1, 1);
    // Series 0 is the overflow's, so one key less than the count fits.
    expect(core.wasm.seriesCount()).toBe(L.SERIES_COUNT);
    expect(core.wasm.seriesOverflow()).toBe(11);
    const [overflow] = [...readSeries(core)];
    expect(overflow).toMatchObject({ context: 0, code: 0, requests: 11 });
    core.wasm.record(5, 1, 1, 200, 0, -1, 1, 1, 1);
    expect([...readSeries(core)].find((series) => series.context === 5)).toMatchObject({ requests: 2 });
  });
});

describe('internPeer', () => {
  it('gives each value one id, with any hint, until the table is full', () => {
    const core = createCore();
    const ids = new Map<string, number>();
    const intern = (value: string, hint = 0) =>
      core.wasm.internPeer(L.READ_BUFFER, core.bytes.write(value, L.READ_BUFFER, 'latin1'), hint);
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 40 }).map((text) => Buffer.from(text).toString('latin1')),
        fc.integer({ min: -2, max: 5000 }),
        (value, hint) => {
          const id = intern(value, hint);
          expect(id).toBe(ids.get(value) ?? id);
          ids.set(value, id);
          expect(core.peerMetadata(id)?.toString('latin1')).toBe(value);
        },
      ),
      { numRuns: 2000 },
    );
    expect(new Set(ids.values()).size).toBe(ids.size);
    expect(intern('')).toBe(0);
    for (let i = 0; core.wasm.peerOverflow() === 0; i++) intern(`filler ${i}`);
    expect(core.wasm.peerCount()).toBeLessThan(L.PEER_COUNT);
    expect(intern('one too many')).toBe(0);
    const [value, id] = [...ids][0]!;
    expect(intern(value)).toBe(id);
    expect(core.peerMetadata(0)).toBeUndefined();
    expect(core.peerMetadata(1e9)).toBeUndefined();
  });
});
