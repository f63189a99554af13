// Build: the match conditions of a VirtualService rule as an Envoy route match.

import { create } from '@bufbuild/protobuf';
import type { HttpMatchRequest, StringMatch } from '@lateen/istio-config';
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  type QueryParameterMatcher,
  QueryParameterMatcherSchema,
  type RouteMatch,
  RouteMatchSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { MetadataMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import { type StringMatcher, StringMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import { compareText } from '../../stable-hash.js';
import { claimMatcher, routedClaim } from './claim-match.js';

type Matches = Readonly<Record<string, StringMatch>>;

/** An empty match, and Istio's `regex: "*"`, mean that the header or parameter is there. */
function isPresenceMatch(match: StringMatch): boolean {
  const { exact, prefix, regex } = match;
  return regex === '*' || (exact === undefined && prefix === undefined && regex === undefined);
}

export function stringMatcher({ exact, prefix, regex }: StringMatch): StringMatcher {
  if (exact !== undefined) return create(StringMatcherSchema, { matchPattern: { case: 'exact', value: exact } });
  if (prefix !== undefined) return create(StringMatcherSchema, { matchPattern: { case: 'prefix', value: prefix } });
  return create(StringMatcherSchema, { matchPattern: { case: 'safeRegex', value: { regex: regex ?? '' } } });
}

function headerMatcher(name: string, match: StringMatch, invertMatch = false): HeaderMatcher {
  if (isPresenceMatch(match)) {
    return create(HeaderMatcherSchema, {
      name,
      invertMatch,
      headerMatchSpecifier: { case: 'presentMatch', value: true },
    });
  }
  return create(HeaderMatcherSchema, {
    name,
    invertMatch,
    // A header that is not there is not one that must be excluded.
    treatMissingHeaderAsEmpty: invertMatch,
    headerMatchSpecifier: { case: 'stringMatch', value: stringMatcher(match) },
  });
}

function queryParameterMatcher(name: string, match: StringMatch): QueryParameterMatcher {
  return create(QueryParameterMatcherSchema, {
    name,
    queryParameterMatchSpecifier: isPresenceMatch(match)
      ? { case: 'presentMatch', value: true }
      : { case: 'stringMatch', value: stringMatcher(match) },
  });
}

function sortedEntries(matches: Matches | undefined): [string, StringMatch][] {
  return Object.entries(matches ?? {}).sort(([a], [b]) => compareText(a, b));
}

function pathSpecifier(uri: StringMatch | undefined): RouteMatch['pathSpecifier'] {
  if (uri?.exact !== undefined) return { case: 'path', value: uri.exact };
  if (uri?.regex !== undefined) {
    const match = create(RouteMatchSchema, { pathSpecifier: { case: 'safeRegex', value: { regex: uri.regex } } });
    return match.pathSpecifier;
  }
  // Istio takes an empty prefix for every path.
  return { case: 'prefix', value: uri?.prefix || '/' };
}

/** The route match of one condition; undefined means every request. Source conditions and port are resolved before. */
export function buildRouteMatch(condition: HttpMatchRequest | undefined): RouteMatch {
  if (condition === undefined) return create(RouteMatchSchema, { pathSpecifier: { case: 'prefix', value: '/' } });
  const conditions = [
    ...sortedEntries(condition.headers).map(([name, match]) => ({ name, match, invert: false })),
    ...sortedEntries(condition.withoutHeaders).map(([name, match]) => ({ name, match, invert: true })),
  ];
  const headers = conditions
    .filter(({ name }) => routedClaim(name) === undefined)
    .map(({ name, match, invert }) => headerMatcher(name, match, invert))
    .sort((a, b) => compareText(a.name, b.name));
  const dynamicMetadata = conditions.flatMap(({ name, match, invert }): MetadataMatcher[] => {
    const claims = routedClaim(name);
    if (claims === undefined) return [];
    return [claimMatcher(claims, isPresenceMatch(match) ? undefined : stringMatcher(match), invert)];
  });
  const { method, authority, scheme } = condition;
  if (method !== undefined) headers.push(headerMatcher(':method', method));
  if (authority !== undefined) headers.push(headerMatcher(':authority', authority));
  if (scheme !== undefined) headers.push(headerMatcher(':scheme', scheme));
  return create(RouteMatchSchema, {
    pathSpecifier: pathSpecifier(condition.uri),
    caseSensitive: !condition.ignoreUriCase,
    headers,
    dynamicMetadata,
    queryParameters: sortedEntries(condition.queryParams).map(([name, match]) => queryParameterMatcher(name, match)),
  });
}

/** Whether every request matches, so that routes after it are never reached. */
export function matchesEverything(match: RouteMatch | undefined): boolean {
  if (match === undefined) return false;
  const { pathSpecifier: path, headers, queryParameters, dynamicMetadata } = match;
  if (headers.length > 0 || queryParameters.length > 0 || dynamicMetadata.length > 0) return false;
  return (path.case === 'prefix' && path.value === '/') || (path.case === 'safeRegex' && path.value.regex === '.*');
}

/** The path of a match in words, for the operation name of traces. */
export function pathOf(match: RouteMatch | undefined): string {
  const path = match?.pathSpecifier;
  if (path?.case === 'path') return path.value;
  if (path?.case === 'safeRegex') return path.value.regex;
  return path?.case === 'prefix' ? `${path.value}*` : '/*';
}
