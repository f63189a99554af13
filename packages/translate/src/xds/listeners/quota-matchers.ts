// Build: which requests a rule of a RateLimit is for, as matchers of the quota filter.

import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { type RateLimitMatch, resolveShortHost, type StringMatch } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { HttpRequestHeaderMatchInputSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/http_inputs_pb.js';
import {
  type Matcher_MatcherList_Predicate,
  Matcher_MatcherList_PredicateSchema as PredicateSchema,
} from '@lateen/xds-proto/xds/type/matcher/v3/matcher_pb.js';
import { type StringMatcher, StringMatcherSchema } from '@lateen/xds-proto/xds/type/matcher/v3/string_pb.js';
import type { EffectiveRateLimit } from '../../resolve/lateen/rate-limits.js';

/** One predicate for each of the rule's matches; none where it is for every request. */
export function rulePredicates(
  { hosts, namespace, rule }: EffectiveRateLimit,
  clusterDomain: string,
): Matcher_MatcherList_Predicate[] {
  const host =
    hosts.length === 0 ? [] : [predicate(':authority', regex(hostsPattern(hosts, namespace, clusterDomain)))];
  const matches: readonly RateLimitMatch[] = rule.match === undefined || rule.match.length === 0 ? [{}] : rule.match;
  const conditions = matches.map((match) => [...host, ...predicatesOf(match)]);
  // One that is for every request makes the others needless.
  if (conditions.some(({ length }) => length === 0)) return [];
  return conditions.map((all) =>
    all.length === 1 && all[0] !== undefined
      ? all[0]
      : create(PredicateSchema, { matchType: { case: 'andMatcher', value: { predicate: all } } }),
  );
}

/** An input of a matcher or of a bucket's id. */
export function inputOf<Desc extends DescMessage>(schema: Desc, fields: MessageInitShape<Desc>) {
  return { name: 'input', typedConfig: packAny(schema, create(schema, fields)) };
}

function predicatesOf({ path, methods = [], headers = {} }: RateLimitMatch): Matcher_MatcherList_Predicate[] {
  const found: Matcher_MatcherList_Predicate[] = [];
  if (path !== undefined) found.push(predicate(':path', regex(pathPattern(path))));
  if (methods.length > 0) found.push(predicate(':method', regex(methods.map(quoted).join('|'))));
  for (const [name, match] of Object.entries(headers)) found.push(predicate(name, headerMatcher(match)));
  return found;
}

function predicate(headerName: string, matcher: StringMatcher): Matcher_MatcherList_Predicate {
  const input = inputOf(HttpRequestHeaderMatchInputSchema, { headerName });
  return create(PredicateSchema, {
    matchType: { case: 'singlePredicate', value: { input, matcher: { case: 'valueMatch', value: matcher } } },
  });
}

/** An expression for the whole value. */
function regex(pattern: string): StringMatcher {
  return create(StringMatcherSchema, {
    matchPattern: {
      case: 'safeRegex',
      value: { regex: pattern, engineType: { case: 'googleRe2', value: {} } },
    },
  });
}

function headerMatcher({ exact, prefix, regex: pattern }: StringMatch): StringMatcher {
  if (exact !== undefined) return create(StringMatcherSchema, { matchPattern: { case: 'exact', value: exact } });
  if (prefix !== undefined) return create(StringMatcherSchema, { matchPattern: { case: 'prefix', value: prefix } });
  return regex(pattern ?? '(?s).*');
}

/** Of `:path`, which has the query too. */
export function pathPattern({ exact, prefix, regex: pattern, template }: NonNullable<RateLimitMatch['path']>): string {
  const query = '(?:\\?.*)?';
  if (exact !== undefined) return quoted(exact) + query;
  if (prefix !== undefined) return `${quoted(prefix)}.*`;
  if (pattern !== undefined) return `(?:${pattern})${query}`;
  const segments = (template ?? '/').slice(1).split('/');
  return segments.map((segment) => `/${segmentPattern(segment)}`).join('') + query;
}

function segmentPattern(segment: string): string {
  if (segment.endsWith('...}')) return '[^?]*';
  return segment.startsWith('{') ? '[^/?]+' : quoted(segment);
}

/** A Service by all its names, any port; a wildcard stands for labels. */
export function hostsPattern(hosts: readonly string[], namespace: string, clusterDomain: string): string {
  const names = hosts.flatMap((host) => {
    if (host === '*') return ['[^:]*'];
    if (host.startsWith('*.')) return [`[^:]+${quoted(host.slice(1))}`];
    return namesOf(resolveShortHost(host, namespace, clusterDomain), clusterDomain).map(quoted);
  });
  return `(?i)(?:${[...new Set(names)].join('|')})(?::[0-9]+)?`;
}

/** The names of a Service, also without its namespace: who is called knows that it is meant. */
function namesOf(hostname: string, clusterDomain: string): string[] {
  const suffix = `.svc.${clusterDomain}`;
  if (!hostname.endsWith(suffix)) return [hostname];
  const short = hostname.slice(0, -suffix.length);
  return [hostname, `${short}.svc`, short, short.slice(0, short.indexOf('.'))];
}

/** The text itself, in an expression. */
export function quoted(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
