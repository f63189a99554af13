// Characters that are one when case is ignored (Unicode's simple folding), for `(?i)`.
import { normalizeRanges, type Ranges } from './char-ranges.js';

/** Beyond this no character has another case. */
const LAST_CASED = 0x1e943;

let orbits: Map<number, readonly number[]> | undefined;

/** The other members of each character's orbit. Made on first use: most patterns fold ASCII alone. */
function foldOrbits(): Map<number, readonly number[]> {
  if (orbits !== undefined) return orbits;
  const sets = new Map<number, Set<number>>();
  const unite = (a: number, b: number) => {
    const ofA = sets.get(a) ?? new Set([a]);
    for (const member of sets.get(b) ?? [b]) ofA.add(member);
    for (const member of ofA) sets.set(member, ofA);
  };
  const single = (text: string) => {
    const point = text.codePointAt(0) as number;
    return String.fromCodePoint(point) === text ? point : undefined;
  };
  for (let point = 0x41; point <= LAST_CASED; point++) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const text = String.fromCodePoint(point);
    for (const other of [single(text.toLowerCase()), single(text.toUpperCase())]) {
      // The two mappings relate some characters that folding keeps apart (dotless i); `iu` compares by simple folding.
      if (other === undefined || other === point) continue;
      if (new RegExp(`^\\u{${other.toString(16)}}$`, 'iu').test(text)) unite(point, other);
    }
  }
  orbits = new Map([...sets].map(([point, set]) => [point, [...set]]));
  return orbits;
}

/** The ranges with every character that differs from one of them only by case; they must be normalized. */
export function foldRanges(ranges: Ranges): Ranges {
  const more: (readonly [number, number])[] = [...ranges];
  for (const [first, last] of ranges) {
    for (let point = first; point <= Math.min(last, 0x7f); point++) more.push(...foldAscii(point));
  }
  if ((ranges[ranges.length - 1]?.[1] ?? 0) > 0x7f) {
    for (const [point, others] of foldOrbits()) {
      if (includes(ranges, point)) for (const other of others) more.push([other, other]);
    }
  }
  return normalizeRanges(more);
}

function includes(ranges: Ranges, point: number): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ranges[middle] as readonly [number, number])[1] < point) low = middle + 1;
    else high = middle;
  }
  const found = ranges[low];
  return found !== undefined && found[0] <= point;
}

/** An ASCII letter's other case; k and s have a third (the signs for kelvin and for the long s). */
function foldAscii(point: number): [number, number][] {
  const letter = point | 0x20;
  if (letter < 0x61 || letter > 0x7a) return [];
  const folds: [number, number][] = [[point ^ 0x20, point ^ 0x20]];
  if (letter === 0x6b) folds.push([0x212a, 0x212a]);
  if (letter === 0x73) folds.push([0x17f, 0x17f]);
  return folds;
}
