// Meaning: the conditions of `retryOn`, Envoy's for HTTP and for gRPC.

/** Envoy's words (x-envoy-retry-on, x-envoy-retry-grpc-on). */
export const RETRY_CONDITIONS: readonly string[] = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
  'retriable-headers',
  'http3-post-connect-failure',
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
];

const KNOWN: ReadonlySet<string> = new Set(RETRY_CONDITIONS);

/** Of HTTP/3 alone, which no connection to an upstream has: in Envoy, too, it does nothing then. */
export const WITHOUT_EFFECT = 'http3-post-connect-failure';

/** Status codes in one `retryOn` that the proxy has room for. */
export const MAX_RETRY_CODES = 8;

/** First and last of each run of status codes that have a name (RFC 9110 and the registry, as Go's library has them). */
const NAMED_CODES: readonly (readonly [number, number])[] = [
  [100, 103],
  [200, 208],
  [226, 226],
  [300, 305],
  [307, 308],
  [400, 418],
  [421, 426],
  [428, 429],
  [431, 431],
  [451, 451],
  [500, 508],
  [510, 511],
];

/** Whether an item is a status code that has a name; Istio refuses others. */
export function isStatusCode(word: string): boolean {
  if (!/^[1-5]\d\d$/.test(word)) return false;
  return NAMED_CODES.some(([first, last]) => Number(word) >= first && Number(word) <= last);
}

/** Whether one item of `retryOn` is known: a word above, or a status code. */
export function isRetryCondition(word: string): boolean {
  return KNOWN.has(word) || isStatusCode(word);
}
