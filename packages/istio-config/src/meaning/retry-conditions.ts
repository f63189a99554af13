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

/** Whether one item of `retryOn` is known: a word above, or a status code. */
export function isRetryCondition(word: string): boolean {
  return KNOWN.has(word) || /^[1-5]\d\d$/.test(word);
}
