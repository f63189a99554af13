// Build: AuthorizationPolicies as Envoy's RBAC filters, of requests and of connections, in Istio's form and order.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import {
  type Policy,
  type RBAC,
  RBAC_Action,
  RBACSchema as RulesSchema,
} from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { RBACSchema as HttpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { RBACSchema as TcpRbacSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import {
  AUTHORIZATION_ACTIONS,
  type AuthorizationAction,
  type EffectivePolicy,
} from '../../resolve/authorization/authorization-policies.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { compareText } from '../../stable-hash.js';
import { NEVER, rulePolicy } from './rule-policy.js';

/** Names of the filters, under which they also note what they find. */
export const HTTP_RULES = 'envoy.filters.http.rbac';
export const NETWORK_RULES = 'envoy.filters.network.rbac';
const ENVOY_ACTIONS: Readonly<Record<AuthorizationAction, RBAC_Action>> = {
  AUDIT: RBAC_Action.LOG,
  DENY: RBAC_Action.DENY,
  ALLOW: RBAC_Action.ALLOW,
};
/** Under which names a filter tells what it would have decided. */
const SHADOW_PREFIXES: Readonly<Record<AuthorizationAction, string>> = {
  AUDIT: '',
  DENY: 'istio_dry_run_deny_',
  ALLOW: 'istio_dry_run_allow_',
};

type Scope = Pick<ClientScope, 'authorization' | 'snapshot'>;

/** The filters of a connection manager; none where no policy holds. */
export function buildAuthorizationFilters(scope: Scope): HttpFilter[] {
  return ruleSets(scope, false).map((config) =>
    create(HttpFilterSchema, {
      name: HTTP_RULES,
      configType: { case: 'typedConfig', value: packAny(HttpRbacSchema, create(HttpRbacSchema, config)) },
    }),
  );
}

/** The filters of connections whose bytes are passed on as they are. */
export function buildTcpAuthorization(scope: Scope): Filter[] {
  return ruleSets(scope, true).map((config) =>
    create(FilterSchema, {
      name: NETWORK_RULES,
      configType: {
        case: 'typedConfig',
        value: packAny(TcpRbacSchema, create(TcpRbacSchema, { ...config, statPrefix: 'tcp.' })),
      },
    }),
  );
}

/** `ns[NAMESPACE]-policy[NAME]-rule[N]`: what answers, logs and metadata name. */
export function authorizationRuleName(namespace: string, name: string, rule: number): string {
  return `ns[${namespace}]-policy[${name}]-rule[${rule}]`;
}

/** The rules that hold, and those of a dry run: undefined where there is no policy of the sort, which is not the same as one without rules. */
interface RuleSets {
  readonly rules?: RBAC;
  readonly shadowRules?: RBAC;
  readonly shadowRulesStatPrefix: string;
}

function ruleSets(scope: Scope, forTcp: boolean): RuleSets[] {
  return AUTHORIZATION_ACTIONS.flatMap((action): RuleSets[] => {
    const policies = scope.authorization[action];
    const enforced = policies.filter(({ dryRun }) => !dryRun);
    const tried = policies.filter(({ dryRun }) => dryRun);
    if (policies.length === 0) return [];
    return [
      {
        ...(enforced.length > 0 && { rules: rulesOf(enforced, action, scope, forTcp) }),
        ...(tried.length > 0 && { shadowRules: rulesOf(tried, action, scope, forTcp) }),
        shadowRulesStatPrefix: tried.length > 0 ? SHADOW_PREFIXES[action] : '',
      },
    ];
  });
}

function rulesOf(
  policies: readonly EffectivePolicy[],
  action: AuthorizationAction,
  scope: Pick<Scope, 'snapshot'>,
  forTcp: boolean,
): RBAC {
  return create(RulesSchema, {
    action: ENVOY_ACTIONS[action],
    policies: namedPolicies(policies, action, scope, forTcp, (name) => name),
  });
}

/** Rules by name, in which order Envoy looks at them. */
export function namedPolicies(
  policies: readonly EffectivePolicy[],
  action: AuthorizationAction,
  { snapshot }: Pick<Scope, 'snapshot'>,
  forTcp: boolean,
  nameOf: (name: string, of: EffectivePolicy) => string,
): Record<string, Policy> {
  const named: [string, Policy][] = [];
  for (const effective of policies) {
    const { policy } = effective;
    const { namespace, name } = policy.metadata;
    const rules = policy.spec.rules ?? [];
    const add = (index: number, rule: Policy) =>
      named.push([nameOf(authorizationRuleName(namespace, name, index), effective), rule]);
    if (rules.length === 0) add(0, NEVER);
    for (const [index, rule] of rules.entries()) {
      const translated = rulePolicy(rule, { namespace, snapshot }, { forTcp, allows: action === 'ALLOW' });
      if (translated !== undefined) add(index, translated);
    }
  }
  named.sort(([a], [b]) => compareText(a, b));
  return Object.fromEntries(named);
}
