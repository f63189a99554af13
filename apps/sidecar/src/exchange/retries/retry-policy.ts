// Exchange: decides whether a failed attempt is made again, by the compiled policy of the route.

import {
  type Core,
  METHOD_DELETE,
  METHOD_GET,
  METHOD_HEAD,
  METHOD_OPTIONS,
  METHOD_PUT,
  METHOD_TRACE,
  POLICY_RETRIES,
  POLICY_RETRY_BACKOFF_BASE_MS,
  POLICY_RETRY_BACKOFF_MAX_MS,
  POLICY_RETRY_ON,
  RETRY_ON_5XX,
  RETRY_ON_CONNECT_FAILURE,
  RETRY_ON_GATEWAY_ERROR,
  RETRY_ON_REFUSED_STREAM,
  RETRY_ON_RESET,
  RETRY_ON_RESET_BEFORE_REQUEST,
} from '@lateen/filters-wasm';
import type { UpstreamFailure } from '../local-reply.js';

const DEFAULT_BASE_MS = 25;
const DEFAULT_MAX_FACTOR = 10;

const ON_ANY_RESET = RETRY_ON_5XX | RETRY_ON_GATEWAY_ERROR | RETRY_ON_RESET;
/** The request cannot have been handled by anybody. */
const ON_UNSENT = ON_ANY_RESET | RETRY_ON_CONNECT_FAILURE | RETRY_ON_RESET_BEFORE_REQUEST;

/** How often a policy (0 = none) allows a request to be tried again. */
export function retriesOf(core: Core, policy: number): number {
  if (policy === 0 || core.i32[(policy + POLICY_RETRY_ON) >> 2] === 0) return 0;
  return core.i32[(policy + POLICY_RETRIES) >> 2]!;
}

/**
 * Whether the policy covers this failure. A connection that had served before and closes without one byte of response
 * is most likely the race with a server that closes idle connections. It is no proof: a server that read the request and
 * died looks the same. So only what may be done twice is sent again (RFC 9110, section 9.2.2).
 */
export function isRetriableFailure(
  core: Core,
  policy: number,
  failure: UpstreamFailure,
  freshConnection: boolean,
  method: number,
): boolean {
  const on = core.i32[(policy + POLICY_RETRY_ON) >> 2]!;
  switch (failure) {
    case 'connect':
    case 'connect-timeout':
    case 'tls':
      return (on & ON_UNSENT) !== 0;
    case 'closed':
      if (!freshConnection && isIdempotent(method)) return (on & ON_UNSENT) !== 0;
      return (on & ON_ANY_RESET) !== 0;
    case 'refused':
      return (on & (ON_ANY_RESET | RETRY_ON_REFUSED_STREAM)) !== 0;
    case 'reset':
    case 'protocol':
    case 'timeout':
      return (on & ON_ANY_RESET) !== 0;
    case 'overflow':
      return false;
  }
}

/** RFC 9110, section 9.2.2: handling it twice is as good as once. */
export function isIdempotent(method: number): boolean {
  return (
    method === METHOD_GET ||
    method === METHOD_HEAD ||
    method === METHOD_PUT ||
    method === METHOD_DELETE ||
    method === METHOD_OPTIONS ||
    method === METHOD_TRACE
  );
}

/** Fully jittered exponential back-off as Envoy's: anything up to (2^n - 1) times the base, at most the maximum. */
export function backoffMs(core: Core, policy: number, retry: number, random = Math.random): number {
  const base = core.i32[(policy + POLICY_RETRY_BACKOFF_BASE_MS) >> 2]! || DEFAULT_BASE_MS;
  const max = core.i32[(policy + POLICY_RETRY_BACKOFF_MAX_MS) >> 2]! || base * DEFAULT_MAX_FACTOR;
  return random() * Math.min(base * (2 ** retry - 1), max);
}
