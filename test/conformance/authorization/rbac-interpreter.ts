// Authorization, interpreter: what Envoy's documents say of its RBAC messages, as plainly as it can be written.

import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { CidrRange } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import type { Filter } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import {
  type Permission,
  type Principal,
  type RBAC,
  RBAC_Action,
} from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { HeaderMatcher } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { RBACSchema as HttpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import type { HttpFilter } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { RBACSchema as TcpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import type { MetadataMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import type { ValueMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/value_pb.js';
import type { CallFacts, Verdict } from './reference.js';

/** The rules that the filters of a chain enforce, in order. */
export function enforcedRules(filters: readonly (HttpFilter | Filter)[]): RBAC[] {
  return filters.flatMap(({ configType }) => {
    if (configType.case !== 'typedConfig') return [];
    const schema = [HttpRbacSchema, TcpRbacSchema].find((each) => anyIs(configType.value, each));
    const rules = schema && unpackAny(configType.value, schema).rules;
    return rules === undefined || rules.action === RBAC_Action.LOG ? [] : [rules];
  });
}

/** What they make of a call, one after another. */
export function interpret(enforced: readonly RBAC[], call: CallFacts): Verdict {
  let rule: string | undefined;
  for (const rules of enforced) {
    rule = matching(rules, call);
    const allows = rules.action === RBAC_Action.ALLOW;
    if (allows === (rule === undefined)) return { allowed: false, rule };
  }
  return { allowed: true, rule };
}

function matching({ policies }: RBAC, call: CallFacts): string | undefined {
  return Object.keys(policies)
    .sort()
    .find((name) => {
      const { permissions, principals } = policies[name]!;
      return permissions.some((each) => isDone(each, call)) && principals.some((each) => isCaller(each, call));
    });
}

function isDone({ rule }: Permission, call: CallFacts): boolean {
  switch (rule.case) {
    case 'andRules':
      return rule.value.rules.every((each) => isDone(each, call));
    case 'orRules':
      return rule.value.rules.some((each) => isDone(each, call));
    case 'notRule':
      return !isDone(rule.value, call);
    case 'any':
      return rule.value;
    case 'header':
      return hasHeader(rule.value, call);
    case 'urlPath':
      return isText(rule.value.rule.value!, (call.request?.path ?? '').replace(/[?#].*$/, ''));
    case 'destinationIp':
      return isInRange(rule.value, call.destinationIp);
    case 'destinationPort':
      return rule.value === call.destinationPort;
    case 'requestedServerName':
      return isText(rule.value, call.serverName);
    default:
      throw new Error(`a permission of the form ${rule.case}`);
  }
}

function isCaller({ identifier }: Principal, call: CallFacts): boolean {
  switch (identifier.case) {
    case 'andIds':
      return identifier.value.ids.every((each) => isCaller(each, call));
    case 'orIds':
      return identifier.value.ids.some((each) => isCaller(each, call));
    case 'notId':
      return !isCaller(identifier.value, call);
    case 'any':
      return identifier.value;
    case 'authenticated':
      return call.principal !== undefined && isText(identifier.value.principalName!, `spiffe://${call.principal}`);
    case 'directRemoteIp':
      return isInRange(identifier.value, call.sourceIp);
    case 'remoteIp':
      return isInRange(identifier.value, call.remoteIp);
    case 'header':
      return hasHeader(identifier.value, call);
    case 'metadata':
      return hasMetadata(identifier.value, call);
    default:
      throw new Error(`a principal of the form ${identifier.case}`);
  }
}

function hasHeader({ name, headerMatchSpecifier: wanted }: HeaderMatcher, { request }: CallFacts): boolean {
  const values =
    name === ':authority' ? [request?.host] : name === ':method' ? [request?.method] : (request?.headers[name] ?? []);
  const present = values.filter((value) => value !== undefined);
  if (wanted.case === 'presentMatch') return present.length > 0 === wanted.value;
  if (wanted.case !== 'stringMatch') throw new Error(`a header of the form ${wanted.case}`);
  return present.some((value) => isText(wanted.value, value));
}

function hasMetadata({ filter, path, value }: MetadataMatcher, { request }: CallFacts): boolean {
  if (filter !== 'envoy.filters.http.jwt_authn') throw new Error(`metadata of ${filter}`);
  let found: unknown = request?.claims === undefined ? undefined : { payload: request.claims };
  for (const { segment } of path) found = (found as Record<string, unknown> | undefined)?.[segment.value ?? ''];
  return isValue(value!, found);
}

function isValue({ matchPattern: wanted }: ValueMatcher, value: unknown): boolean {
  switch (wanted.case) {
    case 'stringMatch':
      return typeof value === 'string' && isText(wanted.value, value);
    case 'listMatch': {
      const { oneOf } = { oneOf: wanted.value.matchPattern.value! };
      return Array.isArray(value) && value.some((each) => isValue(oneOf, each));
    }
    case 'orMatch':
      return wanted.value.valueMatchers.some((each) => isValue(each, value));
    default:
      throw new Error(`a value of the form ${wanted.case}`);
  }
}

function isText({ matchPattern: wanted, ignoreCase }: StringMatcher, text: string): boolean {
  if (wanted.case === 'safeRegex') return byRegex(wanted.value.regex).test(text);
  const fold = (each: string) => (ignoreCase ? each.toLowerCase() : each);
  switch (wanted.case) {
    case 'exact':
      return fold(text) === fold(wanted.value);
    case 'prefix':
      return fold(text).startsWith(fold(wanted.value));
    case 'suffix':
      return fold(text).endsWith(fold(wanted.value));
    default:
      throw new Error(`a text of the form ${wanted.case}`);
  }
}

function byRegex(regex: string): RegExp {
  return regex.startsWith('(?s)') ? new RegExp(`^(?:${regex.slice(4)})$`, 's') : new RegExp(`^(?:${regex})$`);
}

function isInRange({ addressPrefix, prefixLen = 0 }: CidrRange, address: string): boolean {
  const bits = (text: string) =>
    text
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('');
  return bits(addressPrefix).slice(0, prefixLen) === bits(address).slice(0, prefixLen);
}
