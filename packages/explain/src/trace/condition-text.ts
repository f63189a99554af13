// Trace: a condition of a route in words: the field of the VirtualService that it comes from, what is wanted, what there is.

import type { FieldPath } from '@lateen/istio-config';
import type {
  HeaderMatcher,
  QueryParameterMatcher,
  RouteMatch,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import type { ValueMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/value_pb.js';
import type { Condition } from '../decide/probes.js';

/** The request as matchers see it. */
export interface RequestFacts {
  readonly method: string;
  readonly authority: string;
  readonly scheme: string;
  /** With its query. */
  readonly path: string;
  header(name: string): string | undefined;
}

export interface ConditionText {
  /** `uri`, `headers.end-user`, … */
  readonly label: string;
  /** The field below a `match` of a VirtualService. */
  readonly field: FieldPath;
  readonly expected: string;
  readonly actual: string;
}

export function conditionText({ kind, name, match }: Condition, request: RequestFacts): ConditionText {
  switch (kind) {
    case 'path':
      return { label: 'uri', field: ['uri'], expected: pathText(match), actual: request.path.split('?')[0]! };
    case 'query': {
      const actual = queryValue(request.path, name);
      return {
        label: `queryParams.${name}`,
        field: ['queryParams', name],
        expected: parameterText(match.queryParameters[0]!),
        actual: actual === undefined ? 'absent' : JSON.stringify(actual),
      };
    }
    case 'header':
      return headerText(match.headers[0]!, request);
    case 'claim': {
      const matcher = match.dynamicMetadata[0]!;
      const header = `@request.auth.claims${name}`;
      const field = matcher.invert ? 'withoutHeaders' : 'headers';
      const wanted = claimText(matcher.value);
      return {
        label: `${field}.${header}`,
        field: [field, header],
        expected: matcher.invert ? `not ${wanted}` : wanted,
        actual: matcher.invert ? 'it is claimed' : 'no verified token claims that',
      };
    }
    case 'fraction':
      return { label: 'runtimeFraction', field: [], expected: 'a share of the requests', actual: 'not in it' };
  }
}

function headerText(matcher: HeaderMatcher, request: RequestFacts): ConditionText {
  const { name, invertMatch } = matcher;
  const pseudo = { ':method': 'method', ':authority': 'authority', ':scheme': 'scheme' } as const;
  const own = Object.hasOwn(pseudo, name) ? pseudo[name as keyof typeof pseudo] : undefined;
  const actual = own === undefined ? request.header(name) : request[own];
  const expected = valueText(matcher);
  const text = {
    expected: invertMatch ? `not ${expected}` : expected,
    actual: actual === undefined ? 'absent' : JSON.stringify(actual),
  };
  if (own !== undefined) return { label: own, field: [own], ...text };
  const field = invertMatch ? 'withoutHeaders' : 'headers';
  return { label: `${field}.${name}`, field: [field, name], ...text };
}

function valueText({ headerMatchSpecifier: specifier }: HeaderMatcher): string {
  switch (specifier.case) {
    case 'stringMatch':
      return stringText(specifier.value);
    case 'presentMatch':
      return specifier.value ? 'present' : 'absent';
    case undefined:
      return 'present';
    default:
      return `${specifier.case} ${JSON.stringify(specifier.value)}`;
  }
}

function claimText(value: ValueMatcher | undefined): string {
  const one = value?.matchPattern.case === 'orMatch' ? value.matchPattern.value.valueMatchers[0] : value;
  return one?.matchPattern.case === 'stringMatch' ? stringText(one.matchPattern.value) : 'present';
}

function parameterText({ queryParameterMatchSpecifier: specifier }: QueryParameterMatcher): string {
  return specifier.case === 'stringMatch' ? stringText(specifier.value) : 'present';
}

function stringText({ matchPattern, ignoreCase }: StringMatcher): string {
  const fold = ignoreCase ? ' (any case)' : '';
  if (matchPattern.case === 'safeRegex') return `regex ${JSON.stringify(matchPattern.value.regex)}${fold}`;
  return `${matchPattern.case ?? 'exact'} ${JSON.stringify(matchPattern.value ?? '')}${fold}`;
}

function pathText({ pathSpecifier, caseSensitive }: RouteMatch): string {
  const fold = caseSensitive === false ? ' (any case)' : '';
  switch (pathSpecifier.case) {
    case 'prefix':
      return `prefix ${pathSpecifier.value}${fold}`;
    case 'path':
      return `exact ${pathSpecifier.value}${fold}`;
    case 'pathSeparatedPrefix':
      return `prefix ${pathSpecifier.value} or below it${fold}`;
    case 'safeRegex':
      return `regex ${pathSpecifier.value.regex}`;
    default:
      return pathSpecifier.case === 'connectMatcher' ? 'CONNECT' : 'a path';
  }
}

/** The first value of a parameter, as written. */
function queryValue(path: string, name: string): string | undefined {
  const query = path.indexOf('?') < 0 ? '' : path.slice(path.indexOf('?') + 1);
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    if (pair !== '' && (equals < 0 ? pair : pair.slice(0, equals)) === name)
      return equals < 0 ? '' : pair.slice(equals + 1);
  }
  return undefined;
}
