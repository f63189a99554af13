// Build: the fields of a rule of an AuthorizationPolicy, each as what Envoy matches one of its values by.

import { create } from '@bufbuild/protobuf';
import type { AuthorizationCondition, AuthorizationOperation, AuthorizationSource } from '@lateen/istio-config';
import { claimPath } from '@lateen/istio-config';
import {
  type Permission,
  PermissionSchema,
  type Principal,
  PrincipalSchema,
} from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import type { MeshSnapshot } from '../../model.js';
import { claimMatcher } from '../rules/claim-match.js';
import { pathMatcher } from './path-matcher.js';
import { requestPrincipal } from './request-principal.js';
import { withAliases } from './trust-domains.js';
import {
  accountMatcher,
  addressRange,
  headerMatcher,
  listedHeaderMatcher,
  namespaceMatcher,
  principalMatcher,
  textMatcher,
} from './value-matchers.js';

/** A field: one of its values has to match, and none of the others may. */
export interface RuleField<Matcher> {
  readonly values: readonly string[];
  readonly notValues: readonly string[];
  /** Only requests have it, connections do not. */
  readonly httpOnly: boolean;
  /** Matches where one of these does. */
  readonly anyOf: (values: readonly string[]) => Matcher[];
}

/** What the values of a policy mean beside themselves. */
export interface PolicyContext {
  /** Of the policy. */
  readonly namespace: string;
  readonly snapshot: Pick<MeshSnapshot, 'trustDomain' | 'meshConfig'>;
}

type Values = readonly string[] | undefined;
type Fill<Matcher> = (values: Values, notValues: Values) => RuleField<Matcher>;

function field<Matcher>(anyOf: RuleField<Matcher>['anyOf'], httpOnly = false): Fill<Matcher> {
  return (values = [], notValues = []) => ({ values, notValues, httpOnly, anyOf });
}

function each<Matcher>(matcherOf: (value: string) => Matcher, httpOnly = false): Fill<Matcher> {
  return field((values) => values.map(matcherOf), httpOnly);
}

function principal(identifier: Principal['identifier']): Principal {
  return create(PrincipalSchema, { identifier });
}

function permission(rule: Permission['rule']): Permission {
  return create(PermissionSchema, { rule });
}

/** By the client certificate; whoever has none does not match. */
function authenticated(principalName: StringMatcher): Principal {
  return create(PrincipalSchema, { identifier: { case: 'authenticated', value: { principalName } } });
}

const bySourceAddress = each((value) => principal({ case: 'directRemoteIp', value: addressRange(value) }));
const byClientAddress = each((value) => principal({ case: 'remoteIp', value: addressRange(value) }));
const byNamespace = each((value) => authenticated(namespaceMatcher(value)));
const byRequestPrincipal = each(requestPrincipal, true);
const byPort = each((value) => permission({ case: 'destinationPort', value: Number(value) }));

function byPrincipal({ snapshot }: PolicyContext): Fill<Principal> {
  return field((values) => withAliases(values, snapshot).map((value) => authenticated(principalMatcher(value))));
}

function byAccount({ namespace }: PolicyContext): Fill<Principal> {
  return each((value) => authenticated(accountMatcher(value, namespace)));
}

function byClaim(names: readonly string[]): Fill<Principal> {
  return each((value) => principal({ case: 'metadata', value: claimMatcher(names, textMatcher(value), false) }), true);
}

function byHeader(name: string): Fill<Principal> {
  return each((value) => principal({ case: 'header', value: headerMatcher(name, value) }), true);
}

function byListedHeader(name: string): Fill<Principal> {
  return each((value) => principal({ case: 'header', value: listedHeaderMatcher(name, value) }), true);
}

/** Who calls, by one source of `from`. */
export function sourceFields(source: AuthorizationSource, context: PolicyContext): RuleField<Principal>[] {
  return [
    byPrincipal(context)(source.principals, source.notPrincipals),
    byRequestPrincipal(source.requestPrincipals, source.notRequestPrincipals),
    byAccount(context)(source.serviceAccounts, source.notServiceAccounts),
    byNamespace(source.namespaces, source.notNamespaces),
    byClientAddress(source.remoteIpBlocks, source.notRemoteIpBlocks),
    bySourceAddress(source.ipBlocks, source.notIpBlocks),
  ];
}

/** What is done, by one operation of `to`. */
export function operationFields(operation: AuthorizationOperation): RuleField<Permission>[] {
  const byHost = each((value) => permission({ case: 'header', value: headerMatcher(':authority', value, true) }), true);
  const byMethod = each((value) => permission({ case: 'header', value: headerMatcher(':method', value) }), true);
  const byPath = each((value) => permission({ case: 'urlPath', value: pathMatcher(value) }), true);
  return [
    byHost(operation.hosts, operation.notHosts),
    byMethod(operation.methods, operation.notMethods),
    byPath(operation.paths, operation.notPaths),
    byPort(operation.ports, operation.notPorts),
  ];
}

/** A condition of `when` says who calls, or what is done. */
export type ConditionField =
  | { readonly of: 'principal'; readonly field: RuleField<Principal> }
  | { readonly of: 'permission'; readonly field: RuleField<Permission> };

const OF_CALLER: Readonly<Record<string, (context: PolicyContext) => Fill<Principal>>> = {
  'source.ip': () => bySourceAddress,
  'remote.ip': () => byClientAddress,
  'source.namespace': () => byNamespace,
  'source.serviceAccount': byAccount,
  'source.principal': byPrincipal,
  'request.auth.principal': () => byRequestPrincipal,
  'request.auth.audiences': () => byClaim(['aud']),
  'request.auth.presenter': () => byClaim(['azp']),
};

const OF_CALL: Readonly<Record<string, Fill<Permission>>> = {
  'destination.ip': each((value) => permission({ case: 'destinationIp', value: addressRange(value) })),
  'destination.port': byPort,
  'connection.sni': each((value) => permission({ case: 'requestedServerName', value: textMatcher(value) })),
};

/** Attributes with a name in brackets. */
const NAMED: readonly (readonly [string, (name: string) => Fill<Principal>])[] = [
  ['request.headers', (name) => byHeader(name.slice(1, -1))],
  ['request.experimental.inline.headers', (name) => byListedHeader(name.slice(1, -1))],
  ['request.auth.claims', (name) => byClaim(claimPath(name) ?? [name.slice(1, -1)])],
];

/** @throws Error for a key that validation does not let through */
export function conditionField(condition: AuthorizationCondition, context: PolicyContext): ConditionField {
  const { key, values, notValues } = condition;
  const ofCaller = Object.hasOwn(OF_CALLER, key) ? OF_CALLER[key]?.(context) : named(key);
  if (ofCaller !== undefined) return { of: 'principal', field: ofCaller(values, notValues) };
  const ofCall = Object.hasOwn(OF_CALL, key) ? OF_CALL[key] : undefined;
  if (ofCall === undefined) throw new Error(`\`${key}\` is not an attribute of a condition`);
  return { of: 'permission', field: ofCall(values, notValues) };
}

function named(key: string): Fill<Principal> | undefined {
  const found = NAMED.find(([attribute]) => key.startsWith(`${attribute}[`) && key.endsWith(']'));
  return found?.[1](key.slice(found[0].length));
}
