// Build: retries of a route.

import { create } from '@bufbuild/protobuf';
import type { HttpRetry } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { type RetryPolicy, RetryPolicySchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { PreviousHostsPredicateSchema } from '@lateen/xds-proto/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { PreviousPrioritiesConfigSchema } from '@lateen/xds-proto/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js';
import { durationOfText } from '../durations.js';

/** Istio's default since 1.24: a plain 503 is not tried again (CONTRACTS "Defaults"). */
const DEFAULT_RETRY_ON = 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes';
const DEFAULT_ATTEMPTS = 2;
const HOST_SELECTION_ATTEMPTS = 5n;

/** Splits Istio's mixed list of conditions and status codes. */
function parseRetryOn(text: string): { readonly retryOn: string; readonly retriableStatusCodes: number[] } {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const isStatus = (part: string) => /^[1-5]\d\d$/.test(part);
  const conditions = parts.filter((part) => !isStatus(part));
  const retriableStatusCodes = parts.filter(isStatus).map(Number);
  if (retriableStatusCodes.length > 0 && !conditions.includes('retriable-status-codes')) {
    conditions.push('retriable-status-codes');
  }
  return { retryOn: conditions.join(','), retriableStatusCodes };
}

function previousHosts() {
  return {
    name: 'envoy.retry_host_predicates.previous_hosts',
    configType: {
      case: 'typedConfig' as const,
      value: packAny(PreviousHostsPredicateSchema, create(PreviousHostsPredicateSchema)),
    },
  };
}

/** Istio's: after two attempts the next two go to priorities, and so to localities, that were not tried. */
const PRIORITY_ATTEMPTS = 2;

function previousPriorities() {
  const config = create(PreviousPrioritiesConfigSchema, { updateFrequency: PRIORITY_ATTEMPTS });
  return {
    name: 'envoy.retry_priorities.previous_priorities',
    configType: { case: 'typedConfig' as const, value: packAny(PreviousPrioritiesConfigSchema, config) },
  };
}

/**
 * The policy of a route: the rule's or the mesh's, else Istio's default; undefined where `attempts` is 0.
 *
 * @param hashed the route's requests belong to one endpoint: a retry goes there too, unless the rule says otherwise
 */
export function buildRetryPolicy(retries: HttpRetry | undefined, hashed: boolean): RetryPolicy | undefined {
  const attempts = retries?.attempts ?? (retries === undefined ? DEFAULT_ATTEMPTS : 0);
  if (attempts <= 0) return undefined;
  const conditions = retries?.retryOn
    ? parseRetryOn(retries.retryOn)
    : { retryOn: DEFAULT_RETRY_ON, retriableStatusCodes: [] };
  const backoff = durationOfText(retries?.backoff);
  return create(RetryPolicySchema, {
    ...conditions,
    numRetries: attempts,
    perTryTimeout: durationOfText(retries?.perTryTimeout),
    retryHostPredicate: (retries?.retryIgnorePreviousHosts ?? !hashed) ? [previousHosts()] : [],
    retryPriority: retries?.retryRemoteLocalities === true ? previousPriorities() : undefined,
    hostSelectionRetryMaxAttempts: HOST_SELECTION_ATTEMPTS,
    retryBackOff: backoff === undefined ? undefined : { baseInterval: backoff },
  });
}
