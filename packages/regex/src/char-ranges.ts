// Sets of code points as sorted, disjoint ranges.

export const MAX_CODE_POINT = 0x10ffff;
/** The last character that a text can have: texts are bytes, each a character of Latin-1. */
export const MAX_BYTE = 0xff;

/** Pairs of first and last code point, ascending, not adjacent. */
export type Ranges = readonly (readonly [number, number])[];

/** Sorted and merged. */
export function normalizeRanges(ranges: Ranges): Ranges {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = merged[merged.length - 1];
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** Everything else; the ranges must be normalized. */
export function negateRanges(ranges: Ranges): Ranges {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [first, last] of ranges) {
    if (first > next) rest.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= MAX_CODE_POINT) rest.push([next, MAX_CODE_POINT]);
  return rest;
}
