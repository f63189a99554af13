// Output blocks and held bytes: nothing is lost, mixed up or given back twice.

import { createCore, READ_BUFFER } from '@lateen/filters-wasm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeldBytes } from './held-bytes.js';
import { OutSlots } from './out-slots.js';

const core = createCore();

describe('OutSlots', () => {
  it('hands out blocks that do not overlap, until there are none, and takes each back once', () => {
    const slots = new OutSlots(core.headSlots);
    const taken: number[] = [];
    for (let block = slots.take(60_000); block !== 0; block = slots.take(60_000)) taken.push(block);
    const sorted = [...taken].sort((a, b) => a - b);
    for (let index = 1; index < sorted.length; index++) {
      expect(sorted[index]! - sorted[index - 1]!).toBeGreaterThanOrEqual(slots.largeBytes);
    }
    expect(slots.exhausted).toBe(1);
    const small = slots.take(100);
    expect(slots.capacity(small)).toBe(slots.smallBytes);
    for (const block of [...taken, small]) slots.give(block);
    expect(slots.usedBytes).toBe(0);
    expect(() => slots.give(small)).toThrow(RangeError);
    expect(() => slots.give(12)).toThrow(RangeError);
    expect(slots.take(slots.largeBytes + 1)).toBe(0);
  });
});

describe('HeldBytes', () => {
  it('is a queue of bytes that also takes back at the front', () => {
    const pieces = fc.array(
      fc.record({ action: fc.constantFrom('append', 'take', 'putBack'), size: fc.integer({ min: 1, max: 6000 }) }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(pieces, (steps) => {
        const held = new HeldBytes(core);
        let model: number[] = [];
        let next = 0;
        for (const { action, size } of steps) {
          if (action === 'take') {
            const count = held.takeTo(READ_BUFFER, size);
            expect([...core.bytes.subarray(READ_BUFFER, READ_BUFFER + count)]).toEqual(model.slice(0, size));
            model = model.slice(size);
          } else {
            const bytes = Array.from({ length: size }, () => next++ & 255);
            core.bytes.set(bytes, READ_BUFFER);
            if (action === 'append') held.append(READ_BUFFER, size);
            else held.putBack(READ_BUFFER, size);
            model = action === 'append' ? [...model, ...bytes] : [...bytes, ...model];
          }
          expect(held.length).toBe(model.length);
        }
        held.clear();
        expect(core.headSlots.used).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});
