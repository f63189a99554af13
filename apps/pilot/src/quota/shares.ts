// Quotas: how a mesh-wide rate is divided among the proxies that ask for it.

/** What one proxy asks for. */
export interface Demand {
  /** Requests a second that it was sent of late, let through or not. */
  readonly offered: number;
}

/** So much of the rate is kept for proxies that are sent little, so that growing demand is not refused before it is known. */
const SPARE = 0.02;

/**
 * Shares of a rate, in requests a second, that sum to it. Where all that is offered fits, each gets what it is sent and
 * an equal part of the rest. Else nobody gets more than it can use, and those that are sent more get equally much (max-min
 * fairness), but for a little that is spread over all.
 */
export function divideRate(rate: number, demands: readonly Demand[]): number[] {
  if (demands.length === 0) return [];
  const spare = (rate * SPARE) / demands.length;
  const level = fairLevel(rate * (1 - SPARE), demands);
  const shares = demands.map(({ offered }) => Math.min(offered, level) + spare);
  const rest = (rate - shares.reduce((sum, share) => sum + share, 0)) / demands.length;
  return shares.map((share) => share + rest);
}

/** What each may have at most, so that together they have what there is. */
function fairLevel(available: number, demands: readonly Demand[]): number {
  const sorted = demands.map(({ offered }) => offered).sort((a, b) => a - b);
  let left = available;
  for (const [index, offered] of sorted.entries()) {
    const equal = left / (sorted.length - index);
    if (offered >= equal) return equal;
    left -= offered;
  }
  return Number.POSITIVE_INFINITY;
}
