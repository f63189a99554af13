// Build: a rule of an AuthorizationPolicy as a policy of Envoy's RBAC.

import { create } from '@bufbuild/protobuf';
import type { AuthorizationRule } from '@lateen/istio-config';
import {
  type Permission,
  PermissionSchema,
  type Policy,
  PolicySchema,
  type Principal,
  PrincipalSchema,
} from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { conditionField, operationFields, type PolicyContext, type RuleField, sourceFields } from './rule-fields.js';

/** How matchers of a kind are put together. */
interface Logic<Matcher> {
  all(matchers: Matcher[]): Matcher;
  any(matchers: Matcher[]): Matcher;
  not(matcher: Matcher): Matcher;
  readonly always: Matcher;
}

const PRINCIPALS: Logic<Principal> = {
  all: (ids) => create(PrincipalSchema, { identifier: { case: 'andIds', value: { ids } } }),
  any: (ids) => create(PrincipalSchema, { identifier: { case: 'orIds', value: { ids } } }),
  not: (value) => create(PrincipalSchema, { identifier: { case: 'notId', value } }),
  always: create(PrincipalSchema, { identifier: { case: 'any', value: true } }),
};

const PERMISSIONS: Logic<Permission> = {
  all: (rules) => create(PermissionSchema, { rule: { case: 'andRules', value: { rules } } }),
  any: (rules) => create(PermissionSchema, { rule: { case: 'orRules', value: { rules } } }),
  not: (value) => create(PermissionSchema, { rule: { case: 'notRule', value } }),
  always: create(PermissionSchema, { rule: { case: 'any', value: true } }),
};

/** A policy without rules is for no request, which has to be said of it. */
export const NEVER: Policy = create(PolicySchema, {
  permissions: [PERMISSIONS.not(PERMISSIONS.always)],
  principals: [PRINCIPALS.not(PRINCIPALS.always)],
});

/** What a rule is translated for. */
export interface RuleTarget {
  /** Connections, of which nothing is known that only requests have. */
  readonly forTcp: boolean;
  /** Of what is not known, a rule that allows holds nothing, and any other rule everything: so that none gives more than it says. */
  readonly allows: boolean;
}

/** Undefined where the rule is for nothing of the kind. */
export function rulePolicy(rule: AuthorizationRule, context: PolicyContext, target: RuleTarget): Policy | undefined {
  const conditions = (rule.when ?? []).map((condition) => conditionField(condition, context));
  const ofCaller = conditions.flatMap((each) => (each.of === 'principal' ? [each.field] : []));
  const ofCall = conditions.flatMap((each) => (each.of === 'permission' ? [each.field] : []));
  const sources = (rule.from ?? []).map(({ source = {} }) => [...sourceFields(source, context), ...ofCaller]);
  const operations = (rule.to ?? []).map(({ operation = {} }) => [...operationFields(operation), ...ofCall]);
  const principals = alternatives(sources.length === 0 ? [ofCaller] : sources, PRINCIPALS, target);
  const permissions = alternatives(operations.length === 0 ? [ofCall] : operations, PERMISSIONS, target);
  if (principals === undefined || permissions === undefined) return undefined;
  return create(PolicySchema, { principals, permissions });
}

function alternatives<Matcher>(
  lists: readonly (readonly RuleField<Matcher>[])[],
  logic: Logic<Matcher>,
  target: RuleTarget,
): Matcher[] | undefined {
  const set = lists.map((fields) => fields.filter(({ values, notValues }) => values.length + notValues.length > 0));
  // As in Istio the whole rule is left out, not the one alternative.
  if (target.forTcp && target.allows && set.flat().some(({ httpOnly }) => httpOnly)) return undefined;
  return set.map((fields) =>
    all(
      fields.filter(({ httpOnly }) => !(target.forTcp && httpOnly)).flatMap((field) => conditionsOf(field, logic)),
      logic,
    ),
  );
}

function conditionsOf<Matcher>({ values, notValues, anyOf }: RuleField<Matcher>, logic: Logic<Matcher>): Matcher[] {
  return [
    ...(values.length === 0 ? [] : [any(anyOf(values), logic)]),
    ...(notValues.length === 0 ? [] : [logic.not(any(anyOf(notValues), logic))]),
  ];
}

function all<Matcher>(matchers: Matcher[], logic: Logic<Matcher>): Matcher {
  const [only, second] = matchers;
  if (only === undefined) return logic.always;
  return second === undefined ? only : logic.all(matchers);
}

function any<Matcher>(matchers: Matcher[], logic: Logic<Matcher>): Matcher {
  const [only, second] = matchers;
  return only !== undefined && second === undefined ? only : logic.any(matchers);
}
