// Limits: token buckets, one for each identity and one for all, so that one workload cannot use up the authority.

export interface RateLimitOptions {
  /** Sustained rate. */
  readonly perSecond: number;
  /** How many at once. */
  readonly burst: number;
}

export interface RateLimits {
  /** Takes one from both buckets, or from none; says which one was empty. */
  take(identity: string): 'ok' | 'identity' | 'total';
}

interface Bucket {
  tokens: number;
  atMs: number;
}

// Beyond this many identities the buckets that are full again are forgotten, which changes nothing for them.
const SWEEP_ABOVE = 10_000;

/** @param nowMs a monotonic clock */
export function createRateLimits(
  options: { readonly identity: RateLimitOptions; readonly total: RateLimitOptions },
  nowMs: () => number = () => performance.now(),
): RateLimits {
  const total: Bucket = { tokens: options.total.burst, atMs: nowMs() };
  const identities = new Map<string, Bucket>();
  return {
    take: (identity) => {
      const now = nowMs();
      let bucket = identities.get(identity);
      if (bucket === undefined) {
        if (identities.size >= SWEEP_ABOVE) sweep(identities, options.identity, now);
        bucket = { tokens: options.identity.burst, atMs: now };
        identities.set(identity, bucket);
      }
      refill(bucket, options.identity, now);
      refill(total, options.total, now);
      if (bucket.tokens < 1) return 'identity';
      if (total.tokens < 1) return 'total';
      bucket.tokens -= 1;
      total.tokens -= 1;
      return 'ok';
    },
  };
}

function refill(bucket: Bucket, limit: RateLimitOptions, now: number): void {
  bucket.tokens = Math.min(limit.burst, bucket.tokens + ((now - bucket.atMs) / 1000) * limit.perSecond);
  bucket.atMs = now;
}

function sweep(buckets: Map<string, Bucket>, limit: RateLimitOptions, now: number): void {
  for (const [identity, bucket] of buckets) {
    refill(bucket, limit, now);
    if (bucket.tokens >= limit.burst) buckets.delete(identity);
  }
}
