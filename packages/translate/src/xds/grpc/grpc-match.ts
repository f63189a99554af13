// Build: what a route asks of a request, as a gRPC client can tell it: by path and metadata. A gRPC request is always a POST
// without query, so the rest is decided here.

import { create } from '@bufbuild/protobuf';
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  type RouteMatch,
  RouteMatchSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RegexMatcher, RegexMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/regex_pb.js';
import { StringMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';

/** Known of every request; scheme as sidecars see it, which is the application's, in plaintext. */
const KNOWN: Readonly<Record<string, string>> = { ':method': 'POST', ':scheme': 'http' };

/** `true` and `false` where it is decided; undefined where the request decides. */
function decided(matcher: HeaderMatcher): boolean | undefined {
  const value = KNOWN[matcher.name];
  const { headerMatchSpecifier: specifier, invertMatch } = matcher;
  if (value === undefined) return undefined;
  if (specifier.case !== 'stringMatch') return !invertMatch;
  const { matchPattern: pattern } = specifier.value;
  switch (pattern.case) {
    case 'exact':
      return (pattern.value === value) !== invertMatch;
    case 'prefix':
      return value.startsWith(pattern.value) !== invertMatch;
    default:
      return undefined;
  }
}

/** gRPC's libraries put `^` and `$` around an expression, which binds tighter than `|`. */
function wholeExpression(regex: string): RegexMatcher {
  return create(RegexMatcherSchema, { regex: `(?:${regex})` });
}

function headerMatcher(matcher: HeaderMatcher): HeaderMatcher {
  const { headerMatchSpecifier: specifier } = matcher;
  if (specifier.case !== 'stringMatch' || specifier.value.matchPattern.case !== 'safeRegex') return matcher;
  const value = create(StringMatcherSchema, {
    matchPattern: { case: 'safeRegex', value: wholeExpression(specifier.value.matchPattern.value.regex) },
  });
  return create(HeaderMatcherSchema, { ...matcher, headerMatchSpecifier: { case: 'stringMatch', value } });
}

/**
 * `never` where no gRPC request fulfils it. Else the match, as far as a gRPC client can tell it, and the name of what it
 * cannot.
 */
export type GrpcMatch = 'never' | { readonly match: RouteMatch; readonly unknown: string | undefined };

export function grpcMatch(match: RouteMatch): GrpcMatch {
  if (match.queryParameters.length > 0) return 'never';
  const open: HeaderMatcher[] = [];
  let unknown: string | undefined;
  for (const matcher of match.headers) {
    const known = decided(matcher);
    if (known === false) return 'never';
    if (known === true) continue;
    if (matcher.name.startsWith(':')) unknown ??= matcher.name.slice(1);
    else if (matcher.name.endsWith('-bin')) unknown ??= `headers ${matcher.name}`;
    else open.push(headerMatcher(matcher));
  }
  const { pathSpecifier: path } = match;
  const known = create(RouteMatchSchema, {
    pathSpecifier: path.case === 'safeRegex' ? { case: 'safeRegex', value: wholeExpression(path.value.regex) } : path,
    caseSensitive: match.caseSensitive,
    headers: open,
  });
  return { match: known, unknown };
}
