// Interop tests: whether two counts of the same thing may come from the same chance.

/** How often a field had which value. */
export type Counts = ReadonlyMap<string, number>;

/** Deviations of the normal distribution beyond which chance is no explanation: once in some ten million comparisons. */
const DEVIATIONS = 5.4;

const totalOf = (counts: Counts): number => [...counts.values()].reduce((sum, count) => sum + count, 0);

/** Counts of how often each value came. */
export function countsOf(values: readonly string[]): Counts {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** In words: `200 × 3, 503 × 1`. */
export function countsText(counts: Counts): string {
  if (counts.size === 1) return [...counts.keys()][0] ?? '';
  const sorted = [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([value, count]) => `${value} × ${count}`).join(', ');
}

/**
 * Pearson's chi-square of two samples; its distribution by the cube root (Wilson and Hilferty). A value that each of the two always has
 * is no chance, however seldom it was asked for.
 */
export function mayBeAlike(left: Counts, right: Counts): boolean {
  const values = new Set([...left.keys(), ...right.keys()]);
  if (values.size <= 1) return true;
  if (left.size === 1 && right.size === 1) return false;
  const ofLeft = totalOf(left);
  const ofRight = totalOf(right);
  let chiSquare = 0;
  for (const value of values) {
    const both = (left.get(value) ?? 0) + (right.get(value) ?? 0);
    for (const [counts, total] of [
      [left, ofLeft],
      [right, ofRight],
    ] as const) {
      const expected = (both * total) / (ofLeft + ofRight);
      chiSquare += ((counts.get(value) ?? 0) - expected) ** 2 / expected;
    }
  }
  const freedom = values.size - 1;
  const spread = 2 / (9 * freedom);
  return (Math.cbrt(chiSquare / freedom) - (1 - spread)) / Math.sqrt(spread) <= DEVIATIONS;
}

/** Whether two sums over so many trials may be alike: both are what a share of the trials comes to. */
export function mayBeAlikeSums(left: number, right: number, trials: number): boolean {
  const share = Math.min(1, (left + right) / (2 * trials));
  return Math.abs(left - right) <= DEVIATIONS * Math.sqrt(2 * trials * share * (1 - share));
}
