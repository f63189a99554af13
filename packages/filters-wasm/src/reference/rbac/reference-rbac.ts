// Tests: access rules as Envoy's documentation has them, read from the protos one by one, with nothing compiled.

import { BlockList } from 'node:net';
import type { CidrRange } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import type { Permission, Policy, Principal, RBAC } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { HeaderMatcher } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { MetadataMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import type { ValueMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/value_pb.js';
import type { ClaimValue } from '../../claims/claims.js';

/** A request, and the connection that it came by. */
export interface RuledRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly authority: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly tls: boolean;
  /** URI names, then DNS names, then the subject. */
  readonly names: readonly string[];
  readonly principal: string;
  readonly serverName: string;
  readonly directAddress: string;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly localPort: number;
  /** What the filter for tokens says of itself. */
  readonly claims: { readonly [name: string]: ClaimValue };
}

/** The first policy that matches, in the order of their names. */
export function matchingPolicy(rules: RBAC, request: RuledRequest): string | undefined {
  const names = Object.keys(rules.policies).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return names.find((name) => policyMatches(rules.policies[name]!, request));
}

function policyMatches({ permissions, principals }: Policy, request: RuledRequest): boolean {
  return permissions.some((one) => permits(one, request)) && principals.some((one) => isIdentified(one, request));
}

function permits({ rule }: Permission, request: RuledRequest): boolean {
  switch (rule.case) {
    case 'andRules':
      return rule.value.rules.every((part) => permits(part, request));
    case 'orRules':
      return rule.value.rules.some((part) => permits(part, request));
    case 'notRule':
      return !permits(rule.value, request);
    case 'any':
      return true;
    case 'header':
      return headerMatches(rule.value, request);
    case 'urlPath':
      return textMatches(rule.value.rule.value!, withoutQuery(request.path));
    case 'metadata':
      return claimMatches(rule.value, request);
    case 'destinationIp':
      return isWithin(rule.value, request.localAddress);
    case 'destinationPort':
      return request.localPort === rule.value;
    case 'destinationPortRange':
      return request.localPort >= rule.value.start && request.localPort < rule.value.end;
    case 'requestedServerName':
      return textMatches(rule.value, request.serverName);
    default:
      throw new Error(`no reference for ${rule.case}`);
  }
}

function isIdentified({ identifier }: Principal, request: RuledRequest): boolean {
  switch (identifier.case) {
    case 'andIds':
      return identifier.value.ids.every((part) => isIdentified(part, request));
    case 'orIds':
      return identifier.value.ids.some((part) => isIdentified(part, request));
    case 'notId':
      return !isIdentified(identifier.value, request);
    case 'any':
      return true;
    case 'authenticated': {
      const { principalName } = identifier.value;
      if (!request.tls || principalName === undefined) return request.tls;
      return request.names.some((name) => textMatches(principalName, name));
    }
    case 'sourceIp':
    case 'directRemoteIp':
      return isWithin(identifier.value, request.directAddress);
    case 'remoteIp':
      return isWithin(identifier.value, request.remoteAddress);
    case 'header':
      return headerMatches(identifier.value, request);
    case 'urlPath':
      return textMatches(identifier.value.rule.value!, withoutQuery(request.path));
    case 'metadata':
      return claimMatches(identifier.value, request);
    case 'filterState':
      return (
        request.principal !== '' && textMatches(identifier.value.matcher.value as StringMatcher, request.principal)
      );
    default:
      throw new Error(`no reference for ${identifier.case}`);
  }
}

function textMatches({ matchPattern, ignoreCase }: StringMatcher, text: string): boolean {
  const fold = (value: string) => (ignoreCase ? value.toLowerCase() : value);
  switch (matchPattern.case) {
    case 'exact':
      return fold(text) === fold(matchPattern.value);
    case 'prefix':
      return fold(text).startsWith(fold(matchPattern.value));
    case 'suffix':
      return fold(text).endsWith(fold(matchPattern.value));
    case 'contains':
      return fold(text).includes(fold(matchPattern.value));
    case 'safeRegex':
      return byRegex(matchPattern.value.regex).test(text);
    default:
      throw new Error(`no reference for ${matchPattern.case}`);
  }
}

/** RE2 lets flags stand before an expression. */
function byRegex(regex: string): RegExp {
  return regex.startsWith('(?s)') ? new RegExp(`^(?:${regex.slice(4)})$`, 's') : new RegExp(`^(?:${regex})$`);
}

function withoutQuery(path: string): string {
  return path.replace(/[?#].*$/s, '');
}

/** Values of a repeated header are matched one by one. */
function headerMatches(matcher: HeaderMatcher, request: RuledRequest): boolean {
  const name = matcher.name.toLowerCase();
  const pseudo: Readonly<Record<string, string>> = {
    ':method': request.method,
    ':path': request.path,
    ':authority': request.authority,
    host: request.authority,
    ':scheme': request.tls ? 'https' : 'http',
  };
  const own = pseudo[name];
  const values = own === undefined ? request.headers.filter(([key]) => key === name).map(([, value]) => value) : [own];
  // What the proxy says of the client's connection where the client has said nothing.
  if (name === 'x-forwarded-proto' && values.length === 0) values.push(request.tls ? 'https' : 'http');
  const specifier = matcher.headerMatchSpecifier;
  const present = values.length > 0;
  if (specifier.case === undefined) return present !== matcher.invertMatch;
  if (specifier.case === 'presentMatch') return (present === specifier.value) !== matcher.invertMatch;
  if (!present && matcher.treatMissingHeaderAsEmpty) values.push('');
  if (values.length === 0) return false;
  const agrees = values.some((value) => {
    if (specifier.case === 'stringMatch') return textMatches(specifier.value, value);
    if (specifier.case === 'rangeMatch') {
      const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
      return number >= Number(specifier.value.start) && number < Number(specifier.value.end);
    }
    throw new Error(`no reference for ${specifier.case}`);
  });
  return agrees !== matcher.invertMatch;
}

function isWithin({ addressPrefix, prefixLen = 0 }: CidrRange, address: string): boolean {
  const familyOf = (text: string) => (text.includes(':') ? 'ipv6' : 'ipv4');
  if (familyOf(addressPrefix) !== familyOf(address)) return false;
  const key = `${addressPrefix}/${prefixLen}`;
  const list = networks.get(key) ?? new BlockList();
  if (!networks.has(key)) list.addSubnet(addressPrefix, prefixLen, familyOf(addressPrefix));
  networks.set(key, list);
  return list.check(address, familyOf(address));
}

const networks = new Map<string, BlockList>();

function claimMatches({ filter, path, value, invert }: MetadataMatcher, request: RuledRequest): boolean {
  if (filter !== 'envoy.filters.http.jwt_authn') throw new Error(`no reference for metadata of ${filter}`);
  let found: ClaimValue | undefined = request.claims;
  for (const { segment } of path) {
    const inside: ClaimValue | undefined = found;
    found =
      typeof inside === 'object' && inside !== null && !Array.isArray(inside)
        ? (inside as { readonly [name: string]: ClaimValue })[segment.value as string]
        : undefined;
  }
  return (found !== undefined && valueMatches(value!, found)) !== invert;
}

function valueMatches({ matchPattern }: ValueMatcher, value: ClaimValue): boolean {
  switch (matchPattern.case) {
    case 'stringMatch':
      return typeof value === 'string' && textMatches(matchPattern.value, value);
    case 'listMatch': {
      const one = matchPattern.value.matchPattern;
      return one.case === 'oneOf' && Array.isArray(value) && value.some((item) => valueMatches(one.value, item));
    }
    case 'orMatch':
      return matchPattern.value.valueMatchers.some((one) => valueMatches(one, value));
    case 'presentMatch':
      return matchPattern.value;
    default:
      throw new Error(`no reference for ${matchPattern.case}`);
  }
}
