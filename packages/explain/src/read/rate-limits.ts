// Read: the rules of RateLimit resources that count a request where it arrives, as the core's matchers say, and their lines.

import type { RateLimitDescriptor } from '@lateen/istio-config';
import { type EffectiveRateLimit, type ProxyView, rateLimitBudget } from '@lateen/translate';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type RateLimitQuotaFilterConfig,
  RateLimitQuotaFilterConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { Decision } from '../decide/decision.js';
import type { Because, ExplainedLimit } from '../explanation.js';
import { because, type Places } from '../places/places.js';

/** What Pilot puts before the id of a rule. */
const NAME_PREFIX = 'lateen.ratelimit/';
const DEFAULT_STATUS = 429;

/** A request at the proxy that limits it. */
export interface LimitedRequest {
  readonly view: ProxyView;
  readonly manager: HttpConnectionManager;
  /** The request's head. */
  readonly head: string;
  /** SPIFFE id that the caller shows; undefined: none; null: not known beforehand. */
  readonly identity: string | null | undefined;
}

export interface RateLimitAnswer {
  readonly limits: readonly ExplainedLimit[];
  readonly because: readonly Because[];
  /** Rules that match, and do not count the request. */
  readonly notes: readonly string[];
}

/** After `route()`: which rules count the request. */
export function readRateLimits(decision: Decision, places: Places, request: LimitedRequest): RateLimitAnswer {
  const filters = quotaFilters(request.manager);
  if (filters.length === 0) return { limits: [], because: [], notes: [] };
  const matched = decision.quotasThatMatch(filters.map(({ config }) => config));
  const rules = new Map(request.view.scope.rateLimits.map((limit) => [limit.id, limit]));
  const limits: ExplainedLimit[] = [];
  const reasons: Because[] = [];
  const notes: string[] = [];
  filters.forEach(({ name }, index) => {
    const limit = rules.get(name.slice(NAME_PREFIX.length));
    if (limit === undefined || !matched[index]) return;
    const counted = (limit.rule.by ?? []).map((descriptor) => countedValue(decision, request, descriptor));
    const missing = counted.find(({ value }) => value === undefined);
    const place = places.of(limit.rule);
    if (missing !== undefined) {
      notes.push(`RateLimit ${limit.id} does not count the request: it has no ${missing.by}`);
      return;
    }
    limits.push(
      describe(
        name,
        limit,
        counted.map(({ by, value = null }) => ({ by, value })),
      ),
    );
    if (place !== undefined) reasons.push(because(place, 'limits', limit.id));
  });
  return { limits, because: reasons, notes };
}

interface QuotaFilter {
  readonly name: string;
  readonly config: RateLimitQuotaFilterConfig;
}

function quotaFilters({ httpFilters }: HttpConnectionManager): QuotaFilter[] {
  return httpFilters.flatMap(({ name, disabled, configType }) => {
    const any = configType.case === 'typedConfig' ? configType.value : undefined;
    if (disabled || any === undefined || !anyIs(any, RateLimitQuotaFilterConfigSchema)) return [];
    return [{ name, config: unpackAny(any, RateLimitQuotaFilterConfigSchema) }];
  });
}

function describe(
  filter: string,
  { id, rule }: EffectiveRateLimit,
  countedBy: ExplainedLimit['countedBy'],
): ExplainedLimit {
  const { requests, periodMs, burst } = rateLimitBudget(rule);
  return {
    filter,
    at: 'listener',
    maxTokens: burst,
    tokensPerFill: requests,
    fillIntervalMs: periodMs,
    enforcedPercentage: rule.mode === 'SHADOW' ? 0 : 100,
    status: rule.response?.status ?? DEFAULT_STATUS,
    rule: id,
    scope: rule.scope ?? 'PROXY',
    countedBy,
  };
}

/** `value` is undefined where the request has none, null where nobody can tell yet. */
function countedValue(
  decision: Decision,
  { head, identity }: LimitedRequest,
  descriptor: RateLimitDescriptor,
): { readonly by: string; readonly value: string | null | undefined } {
  if (descriptor.header !== undefined) {
    const { name } = descriptor.header;
    return { by: `header ${name}`, value: decision.header(name) || undefined };
  }
  if (descriptor.method !== undefined) return { by: 'method', value: head.slice(0, head.indexOf(' ')) };
  if (descriptor.host !== undefined) return { by: 'host', value: decision.header('host') || undefined };
  if (descriptor.clientAddress !== undefined) return { by: 'client address', value: null };
  return { by: 'source identity', value: identity };
}
