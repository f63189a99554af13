// Quotas: a share of a limit in the whole numbers of a token bucket.

import type { RateLimitBudget } from '@lateen/translate';

/** A share: `requests` in `periodMs`, `burst` at once. */
export interface QuotaShare {
  readonly requests: number;
  readonly periodMs: number;
  readonly burst: number;
}

/** Tokens are whole: a share is written as so many requests in this many periods, so that small ones are exact. */
const PERIODS = 1_000;
/** Envoy's TokenBucket counts in uint32. */
const MAX_TOKENS = 2 ** 32 - 1;
/** A proxy counts tokens times microseconds in 64 bits; a little less than 2^62, for what is rounded. */
const MAX_BURST_TIMES_PERIOD = 4.6e18;

/**
 * Half of the burst is divided as the rate, half equally: with a burst as small as its rate who is sent little could not take
 * two requests at once, and what it refuses nobody else gets.
 * @param part of the whole, 0 to 1
 * @param equalPart one over the number of proxies
 */
export function quotaShare(
  { requests, periodMs, burst }: RateLimitBudget,
  part: number,
  equalPart: number,
): QuotaShare {
  const own = requests * part;
  const ownBurst = Math.max(1, Math.round((burst * (part + equalPart)) / 2));
  const fitting = Math.min(MAX_TOKENS / Math.max(own, 1), MAX_BURST_TIMES_PERIOD / (ownBurst * periodMs * 1_000));
  const periods = Math.max(1, Math.min(PERIODS, Math.floor(fitting)));
  // Envoy refuses a bucket that is never filled.
  return { requests: Math.max(1, Math.round(own * periods)), periodMs: periodMs * periods, burst: ownBurst };
}
