// A route's policy (timeouts, retries, response mutations) as an immutable record that an exchange keeps to its end.
import type { Duration } from '@bufbuild/protobuf/wkt';
import { unpackAny } from '@lateen/xds-proto';
import { ProxyProtocolConfig_Version } from '@lateen/xds-proto/envoy/config/core/v3/proxy_protocol_pb.js';
import type {
  Route,
  RouteAction,
  RouteAction_UpgradeConfig_ConnectConfig,
  VirtualHost,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import {
  type RetryPolicy,
  RetryPolicy_RetryBackOffSchema,
  RetryPolicySchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { PreviousPrioritiesConfigSchema } from '@lateen/xds-proto/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js';
import * as P from '../table-layout.js';
import { POLICY_PRIORITY_FREQUENCY } from './balancing/priority-layout.js';
import { BlobWriter } from './blob-writer.js';
import type { CompileContext } from './compile-context.js';
import { durationMs } from './duration.js';
import { writeHashPolicies } from './hashing/hash-policy.js';
import { readRetryHeaders } from './match/retry-headers.js';
import { writeMirrors } from './mirrors/mirrors.js';
import { type Mutation, writeMutations } from './mutations.js';
import type { ProblemList } from './problems.js';
import { POLICY_STATISTICS } from './statistics/route-statistics.js';
import { join, refuseOtherFields } from './supported-fields.js';

/** Envoy's default where RouteAction.timeout is not set. */
const DEFAULT_ROUTE_TIMEOUT_MS = 15_000;
const DEFAULT_BACKOFF_BASE_MS = 25;

const RETRY_ON: Readonly<Record<string, number>> = {
  '5xx': P.RETRY_ON_5XX,
  'gateway-error': P.RETRY_ON_GATEWAY_ERROR,
  reset: P.RETRY_ON_RESET,
  'reset-before-request': P.RETRY_ON_RESET_BEFORE_REQUEST,
  'connect-failure': P.RETRY_ON_CONNECT_FAILURE,
  'retriable-4xx': P.RETRY_ON_RETRIABLE_4XX,
  'refused-stream': P.RETRY_ON_REFUSED_STREAM,
  'retriable-headers': P.RETRY_ON_RETRIABLE_HEADERS,
  'envoy-ratelimited': P.RETRY_ON_ENVOY_RATELIMITED,
  'retriable-status-codes': P.RETRY_ON_RETRIABLE_STATUS_CODES,
  cancelled: P.RETRY_ON_CANCELLED,
  'deadline-exceeded': P.RETRY_ON_DEADLINE_EXCEEDED,
  internal: P.RETRY_ON_INTERNAL,
  'resource-exhausted': P.RETRY_ON_RESOURCE_EXHAUSTED,
  unavailable: P.RETRY_ON_UNAVAILABLE,
  // No upstream is called by HTTP/3.
  'http3-post-connect-failure': 0,
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

/** What the route says of WebSocket upgrades and of CONNECT; no other upgrade is supported. */
function upgradeFlags(problems: ProblemList, actionPath: string, action: RouteAction | undefined): number {
  let flags = 0;
  const seen = new Set<string>();
  action?.upgradeConfigs.forEach((config, index) => {
    const path = join(actionPath, `upgrade_configs[${index}]`);
    const type = config.upgradeType.toLowerCase();
    const enabled = config.enabled ?? true;
    if (seen.has(type)) problems.add(`${path}.upgrade_type`, `"${config.upgradeType}" stands here twice`);
    seen.add(type);
    if (type === 'websocket') flags |= P.POLICY_FLAG_WEBSOCKET_SET | (enabled ? P.POLICY_FLAG_WEBSOCKET : 0);
    else if (type === 'connect') {
      flags |=
        P.POLICY_FLAG_CONNECT_SET | (enabled ? P.POLICY_FLAG_CONNECT : 0) | terminationFlags(config.connectConfig);
    } else problems.add(`${path}.upgrade_type`, `"${config.upgradeType}" is not supported`);
    if (type !== 'connect' && config.connectConfig !== undefined) {
      problems.add(`${path}.connect_config`, 'is for the upgrade type CONNECT alone');
    }
  });
  return flags;
}

/** Whether tunnels end here. */
function terminationFlags(config: RouteAction_UpgradeConfig_ConnectConfig | undefined): number {
  if (config === undefined) return 0;
  const proxy = config.proxyProtocolConfig;
  const version = proxy === undefined ? 0 : proxy.version === ProxyProtocolConfig_Version.V2 ? 2 : 1;
  return (
    P.POLICY_FLAG_TERMINATE |
    (config.allowPost ? P.POLICY_FLAG_TERMINATE_POST : 0) |
    (version << P.POLICY_TUNNEL_PROXY_SHIFT)
  );
}

type PolicyContext = Pick<CompileContext, 'problems' | 'hashName' | 'clusterSlot' | 'routeStatistics'>;

/** The record's bytes. */
export function writePolicy(context: PolicyContext, source: PolicySource): Uint8Array {
  const { problems, hashName } = context;
  const { action, virtualHost } = source;
  const actionPath = join(source.path, 'route');
  const blob = new BlobWriter();
  blob.reserve(P.POLICY_BYTES);
  const stream = action?.maxStreamDuration;
  const set = (field: number, value: number) => blob.int(field, value);
  // Envoy's: a route that limits the stream has no limit of the request, not even the default one.
  const hasTimeout = action !== undefined && stream === undefined;
  const timeoutMs = durationMs(problems, actionPath, action?.timeout, DEFAULT_ROUTE_TIMEOUT_MS, 'timeout');
  set(P.POLICY_TIMEOUT_MS, hasTimeout ? timeoutMs : 0);
  set(P.POLICY_IDLE_TIMEOUT_MS, durationMs(problems, actionPath, action?.idleTimeout, -1, 'idle_timeout'));
  set(
    P.POLICY_MAX_STREAM_DURATION_MS,
    durationMs(problems, actionPath, stream?.maxStreamDuration, 0, 'max_stream_duration.max_stream_duration'),
  );
  const grpcMs = (path: string, value: Duration | undefined) =>
    value === undefined ? -1 : durationMs(problems, actionPath, value, 0, path);
  set(P.POLICY_GRPC_TIMEOUT_MAX_MS, grpcMs('max_grpc_timeout', action?.maxGrpcTimeout));
  set(P.POLICY_STREAM_GRPC_MAX_MS, grpcMs('max_stream_duration.grpc_timeout_header_max', stream?.grpcTimeoutHeaderMax));
  set(
    P.POLICY_STREAM_GRPC_OFFSET_MS,
    Math.max(0, grpcMs('max_stream_duration.grpc_timeout_header_offset', stream?.grpcTimeoutHeaderOffset)),
  );
  set(P.POLICY_CLUSTER_NOT_FOUND_STATUS, [503, 404, 500][action?.clusterNotFoundResponseCode ?? 0] ?? 503);
  set(
    P.POLICY_FLAGS,
    (virtualHost.includeRequestAttemptCount ? P.POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST : 0) |
      (virtualHost.includeAttemptCountInResponse ? P.POLICY_FLAG_ATTEMPT_COUNT_IN_RESPONSE : 0) |
      upgradeFlags(problems, actionPath, action),
  );
  set(
    P.POLICY_RETRY_BUFFER_BYTES,
    Math.min(source.route?.perRequestBufferLimitBytes ?? virtualHost.perRequestBufferLimitBytes ?? -1, 0x7fffffff),
  );
  if (action?.retryPolicy !== undefined) {
    writeRetries(problems, join(actionPath, 'retry_policy'), action.retryPolicy, blob);
  } else if (action !== undefined && virtualHost.retryPolicy !== undefined) {
    writeRetries(problems, join(source.virtualHostPath, 'retry_policy'), virtualHost.retryPolicy, blob);
  }
  set(POLICY_STATISTICS, context.routeStatistics.number(virtualHost.name, source.route?.statPrefix ?? ''));
  if (action !== undefined) {
    writeHashPolicies(problems, join(actionPath, 'hash_policy'), action.hashPolicy, blob, hashName);
    writeMirrors(context, blob, join(actionPath, 'request_mirror_policies'), action.requestMirrorPolicies);
  }
  blob.int(P.POLICY_RESPONSE_MUTATIONS, writeMutations(blob, source.responseMutations, hashName));
  blob.int(P.POLICY_RESPONSE_MUTATION_COUNT, source.responseMutations.length);
  return blob.finish();
}

function writeRetries(problems: ProblemList, path: string, policy: RetryPolicy, blob: BlobWriter): void {
  const set = (field: number, value: number) => blob.int(field, value);
  refuseOtherFields(
    problems,
    path,
    RetryPolicySchema,
    policy,
    `retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate
     host_selection_retry_max_attempts retriable_status_codes retry_back_off retriable_headers
     retriable_request_headers rate_limited_retry_back_off retry_priority`,
  );
  set(P.POLICY_RETRY_ON, readRetryOn(problems, join(path, 'retry_on'), policy.retryOn));
  set(P.POLICY_RETRIES, policy.numRetries ?? 1);
  set(P.POLICY_PER_TRY_TIMEOUT_MS, durationMs(problems, path, policy.perTryTimeout, 0, 'per_try_timeout'));
  set(
    P.POLICY_PER_TRY_IDLE_TIMEOUT_MS,
    durationMs(problems, path, policy.perTryIdleTimeout, 0, 'per_try_idle_timeout'),
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
    path,
    backOff?.baseInterval,
    DEFAULT_BACKOFF_BASE_MS,
    'retry_back_off.base_interval',
  );
  set(P.POLICY_RETRY_BACKOFF_BASE_MS, baseMs);
  set(
    P.POLICY_RETRY_BACKOFF_MAX_MS,
    durationMs(problems, path, backOff?.maxInterval, baseMs * 10, 'retry_back_off.max_interval'),
  );
  policy.retryHostPredicate.forEach((predicate, index) => {
    if (predicate.name === 'envoy.retry_host_predicates.previous_hosts') set(P.POLICY_AVOID_PREVIOUS, 1);
    else problems.add(join(path, `retry_host_predicate[${index}]`), `"${predicate.name}" is not supported`);
  });
  set(POLICY_PRIORITY_FREQUENCY, priorityFrequency(problems, join(path, 'retry_priority'), policy));
  set(P.POLICY_HOST_SELECTION_ATTEMPTS, Math.min(Number(policy.hostSelectionRetryMaxAttempts) || 1, 100));
  const headers = readRetryHeaders(problems, path, policy);
  if (headers !== undefined) blob.text(P.POLICY_RETRY_HEADERS_OFFSET, JSON.stringify(headers));
  const codes = policy.retriableStatusCodes;
  if (codes.length > P.POLICY_MAX_RETRIABLE_CODES) {
    problems.add(
      join(path, 'retriable_status_codes'),
      `has ${codes.length} codes; at most ${P.POLICY_MAX_RETRIABLE_CODES} are supported`,
    );
    return;
  }
  set(P.POLICY_RETRIABLE_CODE_COUNT, codes.length);
  codes.forEach((code, index) => {
    set(P.POLICY_RETRIABLE_CODES + index * 4, code);
  });
}

/** After how many attempts retries go to other priorities; 0: they stay where they are. */
function priorityFrequency(problems: ProblemList, path: string, { retryPriority }: RetryPolicy): number {
  if (retryPriority === undefined) return 0;
  const { name, configType } = retryPriority;
  if (name !== 'envoy.retry_priorities.previous_priorities' || configType.case !== 'typedConfig') {
    problems.add(path, `"${name}" is not supported`);
    return 0;
  }
  const { updateFrequency } = unpackAny(configType.value, PreviousPrioritiesConfigSchema);
  if (updateFrequency < 1) problems.add(join(path, 'typed_config.update_frequency'), 'must be at least 1');
  return updateFrequency;
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
