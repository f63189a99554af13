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
import type { Because, ExplainedInquiry, ExplainedLimit } from '../explanation.js';
import { because, type Places } from '../places/places.js';

/** What Pilot puts before the id of a rule. */
const NAME_PREFIX = 'lateen.ratelimit/';
/** And before the stage of a service. */
const SERVICE_PREFIX = 'lateen.limit-service/';
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
  /** Services that are asked. */
  readonly asks: readonly ExplainedInquiry[];
  readonly because: readonly Because[];
  /** Rules that match, and do not count the request. */
  readonly notes: readonly string[];
}

/** After `route()`: which rules count the request. */
export function readRateLimits(decision: Decision, places: Places, request: LimitedRequest): RateLimitAnswer {
  const filters = quotaFilters(request.manager);
  const { asks, because: asked } = readInquiries(decision, places, request);
  if (filters.length === 0) return { limits: [], asks, because: asked, notes: [] };
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
  return { limits, asks, because: [...reasons, ...asked], notes };
}

/** The rules of which a service would be told, with what it would be told. */
function readInquiries(
  decision: Decision,
  places: Places,
  request: LimitedRequest,
): Pick<RateLimitAnswer, 'asks' | 'because'> {
  const { limitServices } = request.view.scope;
  const isThere = request.manager.httpFilters.some(({ name }) => name.startsWith(SERVICE_PREFIX));
  if (limitServices.length === 0 || !isThere) return { asks: [], because: [] };
  const filters = limitServices.map(({ stage }) => ({ name: `${SERVICE_PREFIX}${stage}`, stage }));
  // In the virtual host the rules stand service by service.
  const all = limitServices.flatMap((service) => service.limits.map((limit) => ({ service, limit })));
  const asked = decision.limitsAskedAbout(filters).flatMap((indexes) => indexes.flatMap((index) => all[index] ?? []));
  const asks = asked.map(({ service, limit }): ExplainedInquiry => {
    const { host, port, domain, timeoutMs, failOpen, status = DEFAULT_STATUS } = service;
    const constants = Object.entries(limit.rule.external.entries ?? { rule: limit.rule.name });
    const values = (limit.rule.by ?? []).map((descriptor) => ({
      key: descriptorKey(descriptor),
      value: countedValue(decision, request, descriptor).value ?? null,
    }));
    const descriptor = [...constants.map(([key, value]) => ({ key, value })), ...values];
    return { rule: limit.id, service: `${host}:${port}`, domain, descriptor, timeoutMs, failOpen, status };
  });
  const reasons = asked.flatMap(({ limit }) => {
    const place = places.of(limit.rule);
    return place === undefined ? [] : [because(place, 'limits', limit.id)];
  });
  return { asks, because: reasons };
}

function descriptorKey({ header, method, host, key }: RateLimitDescriptor): string {
  if (key !== undefined) return key;
  if (header !== undefined) return header.name;
  return method !== undefined ? 'method' : host !== undefined ? 'host' : 'remote_address';
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
  // Tokens are not read here.
  if (descriptor.jwtClaim !== undefined) return { by: `claim ${descriptor.jwtClaim.name}`, value: null };
  if (descriptor.clientAddress !== undefined) return { by: 'client address', value: null };
  return { by: 'source identity', value: identity };
}
