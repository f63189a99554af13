// Read: the rate limits that a request is charged to: of the route, else of the virtual host, else of the listener.

import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  FilterConfigSchema,
  type Route,
  type VirtualHost,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import {
  type LocalRateLimit,
  LocalRateLimitSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ExplainedLimit } from '../explanation.js';
import { durationMs, percentage } from './route-policy.js';

const DEFAULT_STATUS = 429;

/** The limits of the filters of a connection manager, in their order. */
export function readLimits(
  manager: HttpConnectionManager,
  virtualHost: VirtualHost | undefined,
  route: Route | undefined,
): ExplainedLimit[] {
  return manager.httpFilters.flatMap((filter) => {
    const own = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined;
    if (filter.disabled || own === undefined || !anyIs(own, LocalRateLimitSchema)) return [];
    const levels = [
      ['route', route?.typedPerFilterConfig[filter.name]],
      ['virtual host', virtualHost?.typedPerFilterConfig[filter.name]],
      ['listener', own],
    ] as const;
    for (const [at, any] of levels) {
      if (any === undefined) continue;
      const limit = limitOf(any);
      return limit === undefined ? [] : describe(filter.name, at, limit);
    }
    return [];
  });
}

/** Undefined where the filter is turned off here. */
function limitOf(any: Any): LocalRateLimit | undefined {
  if (anyIs(any, FilterConfigSchema)) {
    const { config, disabled } = unpackAny(any, FilterConfigSchema);
    return disabled || config === undefined ? undefined : limitOf(config);
  }
  return anyIs(any, LocalRateLimitSchema) ? unpackAny(any, LocalRateLimitSchema) : undefined;
}

function describe(filter: string, at: ExplainedLimit['at'], limit: LocalRateLimit): ExplainedLimit[] {
  const { tokenBucket, filterEnabled, filterEnforced, status } = limit;
  if (tokenBucket === undefined) return [];
  // Envoy: neither is on unless it is set.
  const enabled = percentage(filterEnabled?.defaultValue, 0);
  const enforced = percentage(filterEnforced?.defaultValue, 0);
  return [
    {
      filter,
      at,
      maxTokens: tokenBucket.maxTokens,
      tokensPerFill: tokenBucket.tokensPerFill ?? 1,
      fillIntervalMs: durationMs(tokenBucket.fillInterval) ?? 0,
      enforcedPercentage: (enabled * enforced) / 100,
      status: status?.code && status.code >= 400 ? status.code : DEFAULT_STATUS,
      rule: null,
      scope: null,
      countedBy: [],
    },
  ];
}
