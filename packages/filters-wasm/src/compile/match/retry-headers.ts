// The header conditions of a retry policy, in the form in which the exchange reads them: retries are no part of the hot path.
import {
  type HeaderMatcher,
  type RetryPolicy,
  RetryPolicy_RateLimitedRetryBackOffSchema,
  RetryPolicy_ResetHeaderFormat,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { durationMs } from '../duration.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';

/** One condition on a header; `range` has its end beyond the last value, and takes whole numbers. */
export interface HeaderCondition {
  readonly name: string;
  readonly kind: 'present' | 'exact' | 'prefix' | 'suffix' | 'contains' | 'range';
  readonly value: string;
  readonly start: number;
  readonly end: number;
  readonly ignoreCase: boolean;
  readonly invert: boolean;
  readonly missingIsEmpty: boolean;
}

export interface RetryHeaders {
  /** Of the response, under `retriable-headers`: any of them. */
  readonly response: readonly HeaderCondition[];
  /** Of the request: without any of them nothing is tried again. Empty: no condition. */
  readonly request: readonly HeaderCondition[];
  /** Headers of the response that say when to try again, the first that does counts. */
  readonly resets: readonly { readonly name: string; readonly unixTime: boolean }[];
  readonly maxResetMs: number;
}

const DEFAULT_MAX_RESET_MS = 300_000;

/** Undefined where the policy has none of these. */
export function readRetryHeaders(problems: ProblemList, path: string, policy: RetryPolicy): RetryHeaders | undefined {
  const { retriableHeaders, retriableRequestHeaders, rateLimitedRetryBackOff: limited } = policy;
  if (retriableHeaders.length + retriableRequestHeaders.length === 0 && limited === undefined) return undefined;
  const at = join(path, 'rate_limited_retry_back_off');
  if (limited !== undefined) {
    refuseOtherFields(problems, at, RetryPolicy_RateLimitedRetryBackOffSchema, limited, 'reset_headers max_interval');
    if (limited.resetHeaders.length === 0) problems.add(join(at, 'reset_headers'), 'is empty');
  }
  return {
    response: readConditions(problems, join(path, 'retriable_headers'), retriableHeaders),
    request: readConditions(problems, join(path, 'retriable_request_headers'), retriableRequestHeaders),
    resets: (limited?.resetHeaders ?? []).map(({ name, format }) => ({
      name: name.toLowerCase(),
      unixTime: format === RetryPolicy_ResetHeaderFormat.UNIX_TIMESTAMP,
    })),
    maxResetMs: durationMs(problems, join(at, 'max_interval'), limited?.maxInterval, DEFAULT_MAX_RESET_MS),
  };
}

function readConditions(problems: ProblemList, path: string, matchers: readonly HeaderMatcher[]): HeaderCondition[] {
  return matchers.flatMap((matcher, index): HeaderCondition[] => {
    const condition = readCondition(matcher);
    if (typeof condition !== 'string') return [condition];
    problems.add(`${path}[${index}]`, condition);
    return [];
  });
}

/** The condition, or why there is none. */
function readCondition(matcher: HeaderMatcher): HeaderCondition | string {
  const { headerMatchSpecifier: specifier } = matcher;
  const plain = {
    name: matcher.name.toLowerCase(),
    value: '',
    start: 0,
    end: 0,
    ignoreCase: false,
    invert: matcher.invertMatch,
    missingIsEmpty: matcher.treatMissingHeaderAsEmpty,
  };
  switch (specifier.case) {
    case undefined:
      return { ...plain, kind: 'present' };
    case 'presentMatch':
      return { ...plain, kind: 'present', invert: matcher.invertMatch !== !specifier.value };
    case 'exactMatch':
      return { ...plain, kind: 'exact', value: specifier.value };
    case 'prefixMatch':
      return { ...plain, kind: 'prefix', value: specifier.value };
    case 'suffixMatch':
      return { ...plain, kind: 'suffix', value: specifier.value };
    case 'containsMatch':
      return { ...plain, kind: 'contains', value: specifier.value };
    case 'rangeMatch':
      return { ...plain, kind: 'range', start: Number(specifier.value.start), end: Number(specifier.value.end) };
    case 'stringMatch': {
      const { matchPattern: pattern, ignoreCase } = specifier.value;
      switch (pattern.case) {
        case 'exact':
        case 'prefix':
        case 'suffix':
        case 'contains':
          return { ...plain, kind: pattern.case, value: pattern.value, ignoreCase };
        default:
          return 'regular expressions are not supported in conditions of retries';
      }
    }
    default:
      return 'regular expressions are not supported in conditions of retries';
  }
}
