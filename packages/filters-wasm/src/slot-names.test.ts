// Slots and stable records are only given to another name once nothing can refer to them.
import { describe, expect, it } from 'vitest';
import * as L from './layout.js';
import { createSlotNames } from './slot-names.js';
import { createStableRegion } from './stable-region.js';

const HOUR_MS = 3_600_000;

describe('slot names', () => {
  it('keep a slot until it is retired, has rested and is idle', () => {
    let idle = true;
    const reset: number[] = [];
    const names = createSlotNames(
      2,
      () => idle,
      (slot) => reset.push(slot),
    );
    expect([names.slot('a', 0), names.slot('b', 0), names.slot('a', 0), names.slot('c', 0)]).toEqual([0, 1, 0, -1]);
    names.retire('a', 1000);
    expect(names.slot('c', 2000)).toBe(-1);
    idle = false;
    expect(names.slot('c', HOUR_MS)).toBe(-1);
    idle = true;
    expect(names.slot('a', HOUR_MS)).toBe(0);
    expect(names.slot('c', HOUR_MS)).toBe(-1);
    names.retire('a', HOUR_MS);
    expect(names.slot('c', 2 * HOUR_MS)).toBe(0);
    expect(names.name(0)).toBe('c');
    expect(names.slot('a', 2 * HOUR_MS)).toBe(-1);
    // What was never used is as the memory begins: zeros.
    expect(reset).toEqual([0]);
  });
});

describe('the stable region', () => {
  it('shares equal records of one owner, and reuses what was retired long ago only when it is full', () => {
    const stable = createStableRegion(Buffer.alloc(L.STABLE_REGION + L.STABLE_REGION_BYTES));
    const record = (fill: number, bytes = 1 << 16) => Buffer.alloc(bytes, fill);
    const first = stable.intern('policy', record(1), 0);
    expect(stable.intern('policy', record(1), 0)).toBe(first);
    const listener = stable.intern('listener', record(1), 0);
    expect(listener).not.toBe(first);
    let fill = 2;
    while (stable.intern('policy', record(fill), 0) !== 0) fill++;
    expect(stable.usedBytes).toBeLessThanOrEqual(L.STABLE_REGION_BYTES);
    stable.retain('policy', new Set([first]), 0);
    expect(stable.intern('policy', record(200), HOUR_MS - 1)).toBe(0);
    const reused = stable.intern('policy', record(200), HOUR_MS);
    expect(reused).toBeGreaterThan(0);
    expect([first, listener]).not.toContain(reused);
    // The second record was the one given away.
    expect(stable.intern('policy', record(2), HOUR_MS)).not.toBe(reused);
    expect(stable.intern('policy', record(1), HOUR_MS)).toBe(first);
  });
});
