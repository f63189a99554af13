// Benchmark: sums, spreads and ratios of what was measured.

/** What one proxy did in one slice of load. */
export interface Slice {
  readonly cpuUs: number;
  readonly requests: number;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

const round = (value: number) => Number(value.toFixed(2));

/** Smallest, middle (mean of the two middle ones where their number is even) and largest. @throws Error without values */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('no values to summarize: every round failed');
  const sorted = [...values].sort((left, right) => left - right);
  const upper = Math.floor(sorted.length / 2);
  const lower = sorted.length % 2 === 1 ? upper : upper - 1;
  const at = (position: number) => sorted[position] ?? Number.NaN;
  return { min: round(at(0)), median: round((at(lower) + at(upper)) / 2), max: round(at(sorted.length - 1)) };
}

/** The value below which `share` (0 to 1) of the sorted values lie, by the nearest rank. @throws Error without values */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) throw new Error('no values to take a percentile of');
  const rank = Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length)));
  return sorted[rank - 1] ?? Number.NaN;
}

/** CPU for each request over all slices: sum over sum, so that a slice counts by what it did. @throws Error without requests */
export function cpuUsPerRequest(slices: readonly Slice[]): number {
  let cpu = 0;
  let requests = 0;
  for (const slice of slices) {
    cpu += slice.cpuUs;
    requests += slice.requests;
  }
  if (requests === 0) throw new Error('no request was served in any slice');
  return cpu / requests;
}

/** One round's ratio of two proxies whose slices alternated in it. */
export function roundRatio(slices: readonly Slice[], peer: readonly Slice[]): number {
  return cpuUsPerRequest(slices) / cpuUsPerRequest(peer);
}

/** `items` beginning with another one for each slice, so that none always follows the same neighbour first. */
export function rotated<T>(items: readonly T[], by: number): T[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
