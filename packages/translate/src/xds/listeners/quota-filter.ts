// Build: a rule of a RateLimit as Envoy's rate_limit_quota filter. The quota service is Pilot's, at the other end of ADS.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { claimPath, type RateLimitDescriptor } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  HeaderValueOptionSchema,
} from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { TypedExtensionConfigSchema } from '@lateen/xds-proto/envoy/config/core/v3/extension_pb.js';
import {
  RateLimitQuotaBucketSettingsSchema,
  RateLimitQuotaFilterConfigSchema,
  RateLimitQuotaBucketSettings_ExpiredAssignmentBehavior_ReuseLastAssignmentSchema as ReuseLastAssignmentSchema,
  type RateLimitQuotaBucketSettings_BucketIdBuilder_ValueBuilder as ValueBuilder,
  RateLimitQuotaBucketSettings_BucketIdBuilder_ValueBuilderSchema as ValueBuilderSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { DynamicMetadataInputSchema } from '@lateen/xds-proto/envoy/extensions/matching/common_inputs/network/v3/dynamic_metadata_input_pb.js';
import { SourceIPInputSchema } from '@lateen/xds-proto/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js';
import { UriSanInputSchema } from '@lateen/xds-proto/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.js';
import { HttpRequestHeaderMatchInputSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/http_inputs_pb.js';
import { HttpStatusSchema } from '@lateen/xds-proto/envoy/type/v3/http_status_pb.js';
import {
  type RateLimitStrategy,
  RateLimitStrategy_BlanketRule,
  RateLimitStrategySchema,
} from '@lateen/xds-proto/envoy/type/v3/ratelimit_strategy_pb.js';
import { TokenBucketSchema } from '@lateen/xds-proto/envoy/type/v3/token_bucket_pb.js';
import { MatcherSchema } from '@lateen/xds-proto/xds/type/matcher/v3/matcher_pb.js';
import { type CountedRule, type EffectiveRateLimit, rateLimitBudget } from '../../resolve/lateen/rate-limits.js';
import { durationOfMs } from '../durations.js';
import { JWT_FILTER } from '../names.js';
import { metadataPath } from '../rules/claim-match.js';
import { inputOf, rulePredicates } from './quota-matchers.js';

/** Under which the service knows all buckets of the mesh. */
export const QUOTA_DOMAIN = 'lateen';
/** Of limits that each sidecar counts for itself, by the behaviour without an assignment: it asks no service about them. */
const PROXY_QUOTA_DOMAIN = 'lateen.proxy';
/** The part of each bucket's id that names its rule, `NAMESPACE/NAME/RULE`. */
export const RULE_KEY = 'rule';
/** The cluster of the bootstrap file that leads to Pilot, as Istio names it. */
const CONTROL_PLANE_CLUSTER = 'xds-grpc';
/** How often a proxy tells what it used; quotas follow demand by it. Envoy wants more than 100 ms. */
const REPORTING_INTERVAL_MS = 200;
/** Until a proxy has its quota of a mesh-wide limit, it takes one of so many parts of the whole. */
const UNASSIGNED_PARTS = 10;
/** A quota is used as long as there is no other, so that limits hold while Pilot is away. */
const KEPT_MS = 24 * 3_600_000;
const DEFAULT_STATUS = 429;
const DEFAULT_BODY = 'rate limit exceeded';

/** What the filter of a rule is called. */
export function quotaFilterName(id: string): string {
  return `lateen.ratelimit/${id}`;
}

/**
 * The filter; its name is what metrics have.
 *
 * @param countsUnassigned the proxy can count before it has an assignment
 */
export function buildQuotaFilter(
  limit: EffectiveRateLimit,
  clusterDomain: string,
  countsUnassigned: boolean,
): HttpFilter {
  const { id, rule } = limit;
  const action = {
    onMatch: {
      case: 'action' as const,
      value: { name: 'bucket', typedConfig: bucketSettings(id, rule, countsUnassigned) },
    },
  };
  const predicates = rulePredicates(limit, clusterDomain);
  const matchers = predicates.map((predicate) => ({ predicate, onMatch: action }));
  const config = create(RateLimitQuotaFilterConfigSchema, {
    rlqsServer: { targetSpecifier: { case: 'envoyGrpc', value: { clusterName: CONTROL_PLANE_CLUSTER } } },
    domain: countsUnassigned && rule.scope !== 'MESH' ? PROXY_QUOTA_DOMAIN : QUOTA_DOMAIN,
    // A matcher list has at least one matcher; without a condition all requests go the other way.
    bucketMatchers: create(
      MatcherSchema,
      matchers.length === 0 ? { onNoMatch: action } : { matcherType: { case: 'matcherList', value: { matchers } } },
    ),
    ...(rule.mode === 'SHADOW' && {
      filterEnforced: { defaultValue: { numerator: 0 } },
      requestHeadersToAddWhenNotEnforced: [headerOption('x-lateen-ratelimit-shadow', id)],
    }),
  });
  return create(HttpFilterSchema, {
    name: quotaFilterName(id),
    configType: { case: 'typedConfig', value: packAny(RateLimitQuotaFilterConfigSchema, config) },
  });
}

function bucketSettings(id: string, rule: CountedRule, countsUnassigned: boolean): Any {
  const settings = create(RateLimitQuotaBucketSettingsSchema, {
    bucketIdBuilder: { bucketIdBuilder: Object.fromEntries([ruleIdPart(id), ...(rule.by ?? []).map(idPart)]) },
    reportingInterval: durationOfMs(REPORTING_INTERVAL_MS),
    noAssignmentBehavior: {
      noAssignmentBehavior: {
        case: 'fallbackRateLimit',
        value: countsUnassigned ? unassignedStrategy(rule) : letAllThrough(),
      },
    },
    expiredAssignmentBehavior: {
      expiredAssignmentBehaviorTimeout: durationOfMs(KEPT_MS),
      expiredAssignmentBehavior: { case: 'reuseLastAssignment', value: create(ReuseLastAssignmentSchema) },
    },
    denyResponseSettings: {
      httpStatus: create(HttpStatusSchema, { code: rule.response?.status ?? DEFAULT_STATUS }),
      httpBody: Buffer.from(rule.response?.body ?? DEFAULT_BODY),
      responseHeadersToAdd: refusalHeaders(rule),
    },
  });
  return packAny(RateLimitQuotaBucketSettingsSchema, settings);
}

/** What counts before there is an assignment: all of a limit of the proxy's own, a part of one of the mesh. */
function unassignedStrategy(rule: CountedRule): RateLimitStrategy {
  const { requests, periodMs, burst } = rateLimitBudget(rule);
  const parts = rule.scope === 'MESH' ? UNASSIGNED_PARTS : 1;
  const tokenBucket = create(TokenBucketSchema, {
    maxTokens: Math.max(1, Math.floor(burst / parts)),
    tokensPerFill: requests,
    fillInterval: durationOfMs(periodMs * parts),
  });
  return create(RateLimitStrategySchema, { strategy: { case: 'tokenBucket', value: tokenBucket } });
}

/** Envoy 1.40 crashes at the second request where a token bucket stands here. */
function letAllThrough(): RateLimitStrategy {
  const value = RateLimitStrategy_BlanketRule.ALLOW_ALL;
  return create(RateLimitStrategySchema, { strategy: { case: 'blanketRule', value } });
}

/** A Lateen sidecar writes the true seconds; what stands here is what another proxy sends. */
function refusalHeaders(rule: CountedRule) {
  const { requests, periodMs } = rateLimitBudget(rule);
  const seconds = String(Math.ceil(periodMs / 1000));
  if (rule.response?.headers === 'NONE') return [headerOption('retry-after', seconds)];
  return [
    headerOption('retry-after', seconds),
    headerOption('ratelimit-limit', `${requests}, ${requests};w=${seconds}`),
    headerOption('ratelimit-remaining', '0'),
    headerOption('ratelimit-reset', seconds),
  ];
}

function headerOption(key: string, value: string) {
  return create(HeaderValueOptionSchema, {
    header: { key, value: value.replaceAll('%', '%%') },
    appendAction: AppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  });
}

type IdPart = readonly [string, ValueBuilder];

function ruleIdPart(id: string): IdPart {
  return [RULE_KEY, create(ValueBuilderSchema, { valueSpecifier: { case: 'stringValue', value: id } })];
}

function idPart(descriptor: RateLimitDescriptor): IdPart {
  const of = (key: string, value: ReturnType<typeof inputOf>): IdPart => [
    key,
    create(ValueBuilderSchema, {
      valueSpecifier: { case: 'customValue', value: create(TypedExtensionConfigSchema, value) },
    }),
  ];
  const header = (key: string, headerName: string) =>
    of(key, inputOf(HttpRequestHeaderMatchInputSchema, { headerName }));
  if (descriptor.header !== undefined) return header(`header.${descriptor.header.name}`, descriptor.header.name);
  if (descriptor.method !== undefined) return header('method', ':method');
  if (descriptor.host !== undefined) return header('host', ':authority');
  if (descriptor.jwtClaim !== undefined) {
    const { name } = descriptor.jwtClaim;
    const claims = claimPath(name.startsWith('[') ? name : `.${name}`) ?? [name];
    const input = inputOf(DynamicMetadataInputSchema, { filter: JWT_FILTER, path: metadataPath(claims) });
    return of(`jwtClaim.${name}`, input);
  }
  if (descriptor.clientAddress !== undefined) return of('clientAddress', inputOf(SourceIPInputSchema, {}));
  return of('sourceIdentity', inputOf(UriSanInputSchema, {}));
}
