// A route's policy (timeouts, retries, response mutations) as an immutable record that an exchange keeps to its end.
import type { Route, RouteAction, VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import {
  type RetryPolicy,
  RetryPolicy_RetryBackOffSchema,
  RetryPolicySchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import * as L from '../layout.js';
import { BlobWriter } from './blob-writer.js';
import { durationMs } from './duration.js';
import { type Mutation, writeMutations } from './mutations.js';
import type { ProblemList } from './problems.js';
import { join, refuseOtherFields } from './supported-fields.js';

/** Envoy's default where RouteAction.timeout is not set. */
const DEFAULT_ROUTE_TIMEOUT_MS = 15_000;
const DEFAULT_BACKOFF_BASE_MS = 25;

const RETRY_ON: Readonly<Record<string, number>> = {
  '5xx': L.RETRY_ON_5XX,
  'gateway-error': L.RETRY_ON_GATEWAY_ERROR,
  reset: L.RETRY_ON_RESET,
  'reset-before-request': L.RETRY_ON_RESET_BEFORE_REQUEST,
  'connect-failure': L.RETRY_ON_CONNECT_FAILURE,
  'retriable-4xx': L.RETRY_ON_RETRIABLE_4XX,
  'refused-stream': L.RETRY_ON_REFUSED_STREAM,
  'retriable-status-codes': L.RETRY_ON_RETRIABLE_STATUS_CODES,
  cancelled: L.RETRY_ON_CANCELLED,
  'deadline-exceeded': L.RETRY_ON_DEADLINE_EXCEEDED,
  internal: L.RETRY_ON_INTERNAL,
  'resource-exhausted': L.RETRY_ON_RESOURCE_EXHAUSTED,
  unavailable: L.RETRY_ON_UNAVAILABLE,
};

/** Where a policy comes from; `action` is absent for local answers. */
export interface PolicySource {
  readonly path: string;
  readonly route?: Route | undefined;
  readonly action?: RouteAction | undefined;
  readonly virtualHost: VirtualHost;
  readonly virtualHostPath: string;
  readonly responseMutations: readonly Mutation[];
}

/** The record's bytes. */
export function writePolicy(
  problems: ProblemList,
  source: PolicySource,
  hashName: (name: string) => number,
): Uint8Array {
  const { action, virtualHost } = source;
  const actionPath = join(source.path, 'route');
  const blob = new BlobWriter();
  blob.reserve(L.POLICY_BYTES);
  const stream = action?.maxStreamDuration;
  const set = (field: number, value: number) => blob.int(field, value);
  set(
    L.POLICY_TIMEOUT_MS,
    action === undefined
      ? 0
      : durationMs(problems, join(actionPath, 'timeout'), action.timeout, DEFAULT_ROUTE_TIMEOUT_MS),
  );
  set(L.POLICY_IDLE_TIMEOUT_MS, durationMs(problems, join(actionPath, 'idle_timeout'), action?.idleTimeout, -1));
  set(
    L.POLICY_MAX_STREAM_DURATION_MS,
    durationMs(problems, join(actionPath, 'max_stream_duration.max_stream_duration'), stream?.maxStreamDuration, 0),
  );
  set(L.POLICY_CLUSTER_NOT_FOUND_STATUS, [503, 404, 500][action?.clusterNotFoundResponseCode ?? 0] ?? 503);
  set(
    L.POLICY_FLAGS,
    (virtualHost.includeRequestAttemptCount ? L.POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST : 0) |
      (virtualHost.includeAttemptCountInResponse ? L.POLICY_FLAG_ATTEMPT_COUNT_IN_RESPONSE : 0),
  );
  if (action?.retryPolicy !== undefined) {
    writeRetries(problems, join(actionPath, 'retry_policy'), action.retryPolicy, set);
  } else if (action !== undefined && virtualHost.retryPolicy !== undefined) {
    writeRetries(problems, join(source.virtualHostPath, 'retry_policy'), virtualHost.retryPolicy, set);
  }
  blob.int(L.POLICY_RESPONSE_MUTATIONS, writeMutations(blob, source.responseMutations, hashName));
  blob.int(L.POLICY_RESPONSE_MUTATION_COUNT, source.responseMutations.length);
  return blob.finish();
}

function writeRetries(
  problems: ProblemList,
  path: string,
  policy: RetryPolicy,
  set: (field: number, value: number) => void,
): void {
  refuseOtherFields(
    problems,
    path,
    RetryPolicySchema,
    policy,
    `retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate
     host_selection_retry_max_attempts retriable_status_codes retry_back_off`,
  );
  set(L.POLICY_RETRY_ON, readRetryOn(problems, join(path, 'retry_on'), policy.retryOn));
  set(L.POLICY_RETRIES, policy.numRetries ?? 1);
  set(L.POLICY_PER_TRY_TIMEOUT_MS, durationMs(problems, join(path, 'per_try_timeout'), policy.perTryTimeout, 0));
  set(
    L.POLICY_PER_TRY_IDLE_TIMEOUT_MS,
    durationMs(problems, join(path, 'per_try_idle_timeout'), policy.perTryIdleTimeout, 0),
  );
  const backOff = policy.retryBackOff;
  if (backOff !== undefined) {
    refuseOtherFields(
      problems,
      join(path, 'retry_back_off'),
      RetryPolicy_RetryBackOffSchema,
      backOff,
      'base_interval max_interval',
    );
  }
  const baseMs = durationMs(
    problems,
    join(path, 'retry_back_off.base_interval'),
    backOff?.baseInterval,
    DEFAULT_BACKOFF_BASE_MS,
  );
  set(L.POLICY_RETRY_BACKOFF_BASE_MS, baseMs);
  set(
    L.POLICY_RETRY_BACKOFF_MAX_MS,
    durationMs(problems, join(path, 'retry_back_off.max_interval'), backOff?.maxInterval, baseMs * 10),
  );
  policy.retryHostPredicate.forEach((predicate, index) => {
    if (predicate.name === 'envoy.retry_host_predicates.previous_hosts') set(L.POLICY_AVOID_PREVIOUS, 1);
    else problems.add(join(path, `retry_host_predicate[${index}]`), `"${predicate.name}" is not supported`);
  });
  set(L.POLICY_HOST_SELECTION_ATTEMPTS, Math.min(Number(policy.hostSelectionRetryMaxAttempts) || 1, 100));
  const codes = policy.retriableStatusCodes;
  if (codes.length > L.POLICY_MAX_RETRIABLE_CODES) {
    problems.add(
      join(path, 'retriable_status_codes'),
      `has ${codes.length} codes; at most ${L.POLICY_MAX_RETRIABLE_CODES} are supported`,
    );
    return;
  }
  set(L.POLICY_RETRIABLE_CODE_COUNT, codes.length);
  codes.forEach((code, index) => {
    set(L.POLICY_RETRIABLE_CODES + index * 4, code);
  });
}

function readRetryOn(problems: ProblemList, path: string, text: string): number {
  let bits = 0;
  for (const condition of text.split(',')) {
    const name = condition.trim();
    if (name === '') continue;
    const bit = RETRY_ON[name];
    if (bit === undefined) problems.add(path, `condition "${name}" is not supported`);
    else bits |= bit;
  }
  return bits;
}
