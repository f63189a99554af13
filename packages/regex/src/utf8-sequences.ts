// Code points as the byte sequences of UTF-8.
import type { Ranges } from './char-ranges.js';

/** Ranges of bytes, one after another, that together stand for a range of code points. */
export type ByteSequence = readonly (readonly [number, number])[];

/** Last code point that UTF-8 writes with 1, 2, 3 and 4 bytes. */
const LAST_OF_LENGTH = [0x7f, 0x7ff, 0xffff, 0x10ffff] as const;

/** Sequences for all code points in the ranges; surrogates have none. */
export function utf8Sequences(ranges: Ranges): ByteSequence[] {
  const found: ByteSequence[] = [];
  for (const [first, last] of ranges) {
    let low = first;
    LAST_OF_LENGTH.forEach((end, index) => {
      if (low > end || low > last) return;
      split(low, Math.min(last, end), index + 1, found);
      low = end + 1;
    });
  }
  return found;
}

/** Cuts a range of code points of one length until each byte's range is independent of the others. */
function split(low: number, high: number, length: number, into: ByteSequence[]): void {
  if (low <= 0xdfff && high >= 0xd800) {
    if (low < 0xd800) split(low, 0xd7ff, length, into);
    if (high > 0xdfff) split(0xe000, high, length, into);
    return;
  }
  for (let rest = 1; rest < length; rest++) {
    const mask = (1 << (6 * rest)) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    if ((low & mask) !== 0) {
      split(low, low | mask, length, into);
      split((low | mask) + 1, high, length, into);
      return;
    }
    if ((high & mask) !== mask) {
      split(low, (high & ~mask) - 1, length, into);
      split(high & ~mask, high, length, into);
      return;
    }
  }
  const from = encode(low, length);
  const to = encode(high, length);
  into.push(from.map((byte, index) => [byte, to[index] as number]));
}

function encode(point: number, length: number): number[] {
  if (length === 1) return [point];
  const bytes = [((0xf00 >> length) & 0xff) | (point >> (6 * (length - 1)))];
  for (let rest = length - 2; rest >= 0; rest--) bytes.push(0x80 | ((point >> (6 * rest)) & 0x3f));
  return bytes;
}
