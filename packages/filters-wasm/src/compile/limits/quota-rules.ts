// The matcher tree of a quota filter as a list of rules: those of a matcher_list in their order, then on_no_match.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type RateLimitQuotaBucketSettings,
  RateLimitQuotaBucketSettingsSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import { HttpRequestHeaderMatchInputSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/http_inputs_pb.js';
import { RegexMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/regex_pb.js';
import type {
  Matcher,
  Matcher_MatcherList_Predicate,
  Matcher_MatcherList_Predicate_SinglePredicate,
  Matcher_OnMatch,
} from '@lateen/xds-proto/xds/type/matcher/v3/matcher_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/xds/type/matcher/v3/string_pb.js';
import * as T from '../../table-layout.js';
import { type Matcher as HeaderMatcher, pseudoHeader } from '../match/matchers.js';
import type { ProblemList } from '../problems.js';
import { join } from '../supported-fields.js';

/** A request that meets all matchers has a bucket as the settings say. */
export interface QuotaRule {
  readonly matchers: readonly HeaderMatcher[];
  readonly settings: RateLimitQuotaBucketSettings;
  /** Of the settings. */
  readonly path: string;
}

/** Faults go to `problems`. */
export function readQuotaRules(problems: ProblemList, path: string, matcher: Matcher | undefined): QuotaRule[] {
  const rules: QuotaRule[] = [];
  if (matcher === undefined) {
    problems.add(path, 'is required');
    return rules;
  }
  if (matcher.matcherType.case === 'matcherTree') {
    problems.add(join(path, 'matcher_tree'), 'is not supported; use matcher_list');
  } else if (matcher.matcherType.case === 'matcherList') {
    matcher.matcherType.value.matchers.forEach(({ predicate, onMatch }, index) => {
      const where = join(path, `matcher_list.matchers[${index}]`);
      addRule(
        problems,
        rules,
        join(where, 'on_match'),
        onMatch,
        readPredicate(problems, join(where, 'predicate'), predicate),
      );
    });
  }
  if (matcher.onNoMatch !== undefined) addRule(problems, rules, join(path, 'on_no_match'), matcher.onNoMatch, []);
  return rules;
}

function addRule(
  problems: ProblemList,
  rules: QuotaRule[],
  path: string,
  onMatch: Matcher_OnMatch | undefined,
  matchers: readonly HeaderMatcher[],
): void {
  const any: Any | undefined = onMatch?.onMatch.case === 'action' ? onMatch.onMatch.value.typedConfig : undefined;
  const place = join(path, 'action.typed_config');
  if (any === undefined || !anyIs(any, RateLimitQuotaBucketSettingsSchema)) {
    problems.add(place, 'must be RateLimitQuotaBucketSettings');
    return;
  }
  rules.push({ matchers, settings: unpackAny(any, RateLimitQuotaBucketSettingsSchema), path: place });
}

/** Conditions that must all hold. */
function readPredicate(
  problems: ProblemList,
  path: string,
  predicate: Matcher_MatcherList_Predicate | undefined,
): HeaderMatcher[] {
  const type = predicate?.matchType;
  if (type?.case === 'singlePredicate') return [readSingle(problems, join(path, 'single_predicate'), type.value)];
  if (type?.case === 'andMatcher') {
    return type.value.predicate.flatMap((part, index) =>
      readPredicate(problems, join(path, `and_matcher.predicate[${index}]`), part),
    );
  }
  problems.add(path, 'only single_predicate and and_matcher are supported');
  return [];
}

function readSingle(
  problems: ProblemList,
  path: string,
  { input, matcher }: Matcher_MatcherList_Predicate_SinglePredicate,
): HeaderMatcher {
  const any = input?.typedConfig;
  let name = '';
  if (any !== undefined && anyIs(any, HttpRequestHeaderMatchInputSchema)) {
    name = unpackAny(any, HttpRequestHeaderMatchInputSchema).headerName.toLowerCase();
    if (name === '' || (name.startsWith(':') && pseudoHeader(name) === 0)) {
      problems.add(join(path, 'input.typed_config.header_name'), `"${name}" is not supported`);
    }
  } else
    problems.add(join(path, 'input.typed_config'), `${any?.typeUrl || 'an input without a type'} is not supported`);
  if (matcher.case === 'valueMatch') return { name, ...readValue(problems, join(path, 'value_match'), matcher.value) };
  problems.add(path, 'only value_match is supported');
  return { name, kind: T.MATCHER_PRESENT, value: '', flags: 0, rangeStart: 0, rangeEnd: 0 };
}

function readValue(problems: ProblemList, path: string, matcher: StringMatcher): Omit<HeaderMatcher, 'name'> {
  const base = { flags: matcher.ignoreCase ? T.MATCHER_FLAG_IGNORE_CASE : 0, rangeStart: 0, rangeEnd: 0 };
  const pattern = matcher.matchPattern;
  switch (pattern.case) {
    case 'exact':
      return { ...base, kind: T.MATCHER_EXACT, value: pattern.value };
    case 'prefix':
      return { ...base, kind: T.MATCHER_PREFIX, value: pattern.value };
    case 'suffix':
      return { ...base, kind: T.MATCHER_SUFFIX, value: pattern.value };
    case 'contains':
      return { ...base, kind: T.MATCHER_CONTAINS, value: pattern.value };
    case 'safeRegex': {
      const regex = create(RegexMatcherSchema, { regex: pattern.value.regex });
      return {
        ...base,
        flags: 0,
        kind: T.MATCHER_REGEX,
        value: '',
        regex: { path: join(path, 'safe_regex'), matcher: regex },
      };
    }
    default:
      problems.add(path, `${pattern.case ?? 'a matcher without a pattern'} is not supported`);
      return { ...base, kind: T.MATCHER_EXACT, value: '' };
  }
}
