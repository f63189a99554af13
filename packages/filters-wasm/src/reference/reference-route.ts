// Reference: route matching on decoded Envoy messages with plain strings, for property tests.
import type {
  HeaderMatcher,
  Route,
  RouteMatch,
  VirtualHost,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';

/** A request as the matchers see it. */
export interface ReferenceTarget {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly scheme: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

/** The virtual host by Envoy's order: exact, longest suffix wildcard, longest prefix wildcard, `*`; port first, then without. */
export function matchVirtualHost(
  config: RouteConfiguration,
  authority: string,
  method = 'GET',
): VirtualHost | undefined {
  const host = authority.toLowerCase();
  const bare = /^(\[[^\]]*\]|.+):\d*$/.exec(host)?.[1] ?? host;
  const portCounts = method === 'CONNECT' && !config.ignorePortInHostMatching;
  const hosts = portCounts || bare === host || (host.startsWith('[') && !bare.endsWith(']')) ? [host] : [host, bare];
  const all = config.virtualHosts.flatMap((virtualHost) =>
    virtualHost.domains.map((domain) => ({ virtualHost, domain: domain.toLowerCase() })),
  );
  for (const name of hosts) {
    const exact = all.find(({ domain }) => domain === name);
    if (exact !== undefined && name !== '*') return exact.virtualHost;
  }
  const longestFirst = [...all].sort((a, b) => b.domain.length - a.domain.length);
  const suffix = longestFirst.find(
    ({ domain }) =>
      domain.startsWith('*') &&
      domain !== '*' &&
      hosts.some((name) => name.length >= domain.length && name.endsWith(domain.slice(1))),
  );
  if (suffix !== undefined) return suffix.virtualHost;
  const prefix = longestFirst.find(
    ({ domain }) =>
      domain.endsWith('*') &&
      domain !== '*' &&
      hosts.some((name) => name.length >= domain.length && name.startsWith(domain.slice(0, -1))),
  );
  return (prefix ?? all.find(({ domain }) => domain === '*'))?.virtualHost;
}

/** The first route of the virtual host that matches. */
export function matchRoute(virtualHost: VirtualHost, target: ReferenceTarget): Route | undefined {
  return virtualHost.routes.find((route) => matches(route.match!, target));
}

function matches(match: RouteMatch, target: ReferenceTarget): boolean {
  const pathOnly = target.path.split('?')[0]!;
  const fold = (text: string) => (match.caseSensitive === false ? text.toLowerCase() : text);
  const path = fold(pathOnly);
  const specifier = match.pathSpecifier;
  const wanted = typeof specifier.value === 'string' ? fold(specifier.value) : '';
  if (specifier.case === 'connectMatcher' || target.method === 'CONNECT') {
    if (specifier.case !== 'connectMatcher' || target.method !== 'CONNECT') return false;
  } else if (specifier.case === 'prefix') {
    if (!path.startsWith(wanted)) return false;
  } else if (specifier.case === 'safeRegex') {
    // Of the expressions of the test JavaScript's mean the same. Case is theirs alone.
    if (!new RegExp(`^(?:${specifier.value.regex})$`).test(pathOnly)) return false;
  } else if (specifier.case === 'path') {
    if (path !== wanted) return false;
  } else if (path !== wanted && !path.startsWith(`${wanted}/`)) {
    return false;
  }
  if (!match.headers.every((matcher) => matchesHeader(matcher, target))) return false;
  return match.queryParameters.every((matcher) => {
    const value = queryParameter(target.path, matcher.name);
    const by = matcher.queryParameterMatchSpecifier;
    if (by.case === 'stringMatch') return value !== undefined && matchesString(by.value, value);
    return (value !== undefined) === (by.case !== 'presentMatch' || by.value);
  });
}

function queryParameter(path: string, name: string): string | undefined {
  const query = path.split('?').slice(1).join('?');
  for (const pair of query === '' ? [] : query.split('&')) {
    const [key = '', ...value] = pair.split('=');
    if (key === name && pair !== '') return value.join('=');
  }
  return undefined;
}

function matchesHeader(matcher: HeaderMatcher, target: ReferenceTarget): boolean {
  const name = matcher.name.toLowerCase();
  const pseudo: Record<string, string> = {
    ':method': target.method,
    ':path': target.path,
    ':authority': target.authority,
    host: target.authority,
    ':scheme': target.scheme,
  };
  const found = target.headers.filter((header) => header.name.toLowerCase() === name).map((header) => header.value);
  const values = pseudo[name] === undefined ? found : [pseudo[name]];
  const specifier = matcher.headerMatchSpecifier;
  const present = values.length > 0;
  if (specifier.case === undefined) return present !== matcher.invertMatch;
  if (specifier.case === 'presentMatch') return (present === specifier.value) !== matcher.invertMatch;
  if (!present && !matcher.treatMissingHeaderAsEmpty) return false;
  // Each value of a repeated header by itself.
  const agrees = (present ? values : ['']).some((text) => matchesValue(specifier, text));
  return agrees !== matcher.invertMatch;
}

function matchesValue(specifier: HeaderMatcher['headerMatchSpecifier'], text: string): boolean {
  switch (specifier.case) {
    case 'stringMatch':
      return matchesString(specifier.value, text);
    case 'exactMatch':
      return text === specifier.value;
    case 'prefixMatch':
      return text.startsWith(specifier.value);
    case 'suffixMatch':
      return text.endsWith(specifier.value);
    case 'containsMatch':
      return text.includes(specifier.value);
    case 'rangeMatch':
      return /^-?\d{1,18}$/.test(text) && BigInt(text) >= specifier.value.start && BigInt(text) < specifier.value.end;
    default:
      throw new Error(`${specifier.case} is not modelled`);
  }
}

function matchesString(matcher: StringMatcher, value: string): boolean {
  const pattern = matcher.matchPattern;
  const fold = (text: string) => (matcher.ignoreCase ? text.toLowerCase() : text);
  const wanted = fold(pattern.value as string);
  if (pattern.case === 'exact') return fold(value) === wanted;
  if (pattern.case === 'prefix') return fold(value).startsWith(wanted);
  if (pattern.case === 'suffix') return fold(value).endsWith(wanted);
  return fold(value).includes(wanted);
}
