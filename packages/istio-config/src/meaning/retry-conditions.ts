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

/** Known, but not acted on yet. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  'envoy-ratelimited',
  'retriable-headers',
  'http3-post-connect-failure',
]);

/** Status codes in one `retryOn` that the proxy has room for. */
export const MAX_RETRY_CODES = 8;

/** Whether the proxy tries again on one item of `retryOn`. */
export function isSupportedRetryCondition(word: string): boolean {
  return !UNSUPPORTED.has(word);
}

/** Whether an item is a status code. */
export function isStatusCode(word: string): boolean {
  return /^[1-5]\d\d$/.test(word);
}

/** Whether one item of `retryOn` is known: a word above, or a status code. */
export function isRetryCondition(word: string): boolean {
  return KNOWN.has(word) || isStatusCode(word);
}
