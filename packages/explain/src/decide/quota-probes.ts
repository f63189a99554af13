// Decide: quota filters of which only the matchers are left: each denies what it matches, notes that, and counts nothing apart.

import { create } from '@bufbuild/protobuf';
import { ProblemList, type Tables } from '@lateen/filters-wasm';
import { packAny } from '@lateen/xds-proto';
import { RuntimeFractionalPercentSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  RateLimitQuotaBucketSettingsSchema,
  type RateLimitQuotaFilterConfig,
  RateLimitQuotaFilterConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import { RateLimitStrategy_BlanketRule as BlanketRule } from '@lateen/xds-proto/envoy/type/v3/ratelimit_strategy_pb.js';
import type { Matcher, Matcher_OnMatch } from '@lateen/xds-proto/xds/type/matcher/v3/matcher_pb.js';

const REPORTING_MS = 200;

/** Records for one listener, in this order. @throws Error for a filter that the proxy would refuse */
export function quotaProbes(tables: Tables, configs: readonly RateLimitQuotaFilterConfig[]): Uint8Array[] {
  return configs.map((config, index) => {
    const problems = new ProblemList('Listener', 'probe');
    const record = tables.quota(`probe ${index}`, probeOf(config, index), 'probe', problems);
    if (problems.problems.length > 0) throw new Error(problems.problems.map(({ message }) => message).join('; '));
    return record;
  });
}

function probeOf(config: RateLimitQuotaFilterConfig, index: number): RateLimitQuotaFilterConfig {
  return create(RateLimitQuotaFilterConfigSchema, {
    ...config,
    filterEnabled: undefined,
    // What is over the limit is noted, and the next filter is asked too.
    filterEnforced: create(RuntimeFractionalPercentSchema, { defaultValue: { numerator: 0 } }),
    bucketMatchers: config.bucketMatchers && withoutValues(config.bucketMatchers, index),
  });
}

function withoutValues(matcher: Matcher, index: number): Matcher {
  const onMatch: Matcher_OnMatch['onMatch'] = {
    case: 'action',
    value: {
      $typeName: 'xds.core.v3.TypedExtensionConfig',
      name: 'bucket',
      typedConfig: packAny(RateLimitQuotaBucketSettingsSchema, denyAll(index)),
    },
  };
  const replaced = (each: Matcher_OnMatch | undefined) => each && { ...each, onMatch };
  const { matcherType, onNoMatch } = matcher;
  if (matcherType.case !== 'matcherList') return { ...matcher, onNoMatch: replaced(onNoMatch) };
  const matchers = matcherType.value.matchers.map((each) => ({ ...each, onMatch: replaced(each.onMatch) }));
  const value = { ...matcherType.value, matchers };
  return { ...matcher, matcherType: { case: 'matcherList', value }, onNoMatch: replaced(onNoMatch) };
}

function denyAll(index: number) {
  return create(RateLimitQuotaBucketSettingsSchema, {
    bucketIdBuilder: {
      bucketIdBuilder: { probe: { valueSpecifier: { case: 'stringValue', value: String(index) } } },
    },
    reportingInterval: { nanos: REPORTING_MS * 1_000_000 },
    noAssignmentBehavior: {
      noAssignmentBehavior: {
        case: 'fallbackRateLimit',
        value: { strategy: { case: 'blanketRule', value: BlanketRule.DENY_ALL } },
      },
    },
  });
}
