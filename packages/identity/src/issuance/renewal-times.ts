// Issuance, client side: when to renew, and how long to wait after a failure.

/** Share of a life that is left when the certificate is renewed, as Istio's SECRET_GRACE_PERIOD_RATIO. */
export const DEFAULT_GRACE_PERIOD_RATIO = 0.5;
const RENEW_JITTER_FRACTION = 0.01;
const FIRST_RETRY_MS = 100;
// Without a valid certificate nothing works, so the waits stay short; with one there is time.
const MAX_RETRY_WITHOUT_CERTIFICATE_MS = 2_000;
const MAX_RETRY_MS = 30_000;
const MAX_SPREAD_MS = 10_000;

/**
 * The life less the grace period, ±1 % so that clients that started together drift apart.
 * @param gracePeriodRatio share of the life that is left at renewal, between 0 and 1
 */
export function renewAfterMs(lifeMs: number, gracePeriodRatio: number, random: () => number = Math.random): number {
  return lifeMs * (1 - gracePeriodRatio + (random() * 2 - 1) * RENEW_JITTER_FRACTION);
}

/**
 * How long to wait after the given number of failures in a row: doubles each time, ±25 %, and never longer than a quarter
 * of the life that is left.
 * @param leftMs until the present certificate ends; 0 or less where there is none
 */
export function retryAfterMs(failures: number, leftMs: number, random: () => number = Math.random): number {
  const capMs =
    leftMs <= 0 ? MAX_RETRY_WITHOUT_CERTIFICATE_MS : Math.max(FIRST_RETRY_MS, Math.min(MAX_RETRY_MS, leftMs / 4));
  const delayMs = Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16), capMs);
  return delayMs * (0.75 + random() * 0.5);
}

/**
 * How long to wait before a renewal that changed trust roots ask for: spread over 10 seconds or a tenth of the life that is
 * left, so that the clients of a mesh do not come all at once.
 */
export function renewSoonMs(leftMs: number, random: () => number = Math.random): number {
  return random() * Math.max(0, Math.min(MAX_SPREAD_MS, leftMs / 10));
}
