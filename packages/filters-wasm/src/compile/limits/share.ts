// One proxy may be several processes. What limits a proxy is divided among them: each keeps to its part.

/** Which of how many processes of one proxy this is. */
export interface Share {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** The proxy is one process. */
export const WHOLE: Share = { index: 0, count: 1 };

/**
 * This process's part of a limit. The parts together are the limit; where it is smaller than the number of processes they
 * are one each, since else a process could do nothing at all. 0 stays 0.
 */
export function partOf(limit: number, { index, count }: Share): number {
  if (limit === 0) return 0;
  return Math.max(Math.floor(limit / count) + (index < limit % count ? 1 : 0), 1);
}

/** What a token bucket holds, and in which time it gets a number of tokens. */
export interface Filling {
  readonly maxTokens: bigint;
  /** Microseconds. */
  readonly interval: bigint;
}

/** This process's part of a token bucket: of its tokens, and of its rate exactly, since it is filled so much more slowly. */
export function bucketPart({ maxTokens, interval }: Filling, share: Share): Filling {
  if (share.count === 1) return { maxTokens, interval };
  return { maxTokens: BigInt(partOf(Number(maxTokens), share)), interval: interval * BigInt(share.count) };
}
