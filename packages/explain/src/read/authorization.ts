// Read: what AuthorizationPolicies make of a request, or of a connection, where it arrives: who may, by which rule, and what dry runs would say.

import type { ConfigObject, FieldPath } from '@lateen/istio-config';
import type { ProxyView } from '@lateen/translate';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { type RBAC, RBAC_Action } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { type RBAC as HttpRbac, RBACSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  type RBAC as NetworkRbac,
  RBACSchema as NetworkRbacSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import type { RuledConnection } from '../decide/access-rules.js';
import type { Decision } from '../decide/decision.js';
import type { Because, ExplainedAuthorization } from '../explanation.js';
import { because, type Places, positionText } from '../places/places.js';

interface RuledCall {
  readonly view: ProxyView;
  readonly connection: RuledConnection;
  /** `WORKLOAD.NAMESPACE`, for the reasons. */
  readonly of: string;
}

/** A request at the proxy that decides who may. */
export interface RuledRequest extends RuledCall {
  readonly manager: HttpConnectionManager;
  readonly head: string;
}

/** A connection whose bytes are passed on. */
export interface RuledBytes extends RuledCall {
  readonly chain: FilterChain;
}

export interface AuthorizationAnswer {
  /** Null where no policy holds. */
  readonly authorization: ExplainedAuthorization | null;
  readonly because: readonly Because[];
  readonly notes: readonly string[];
}

/** Rules of CUSTOM are called after the provider as well, and after what becomes of them where there is none. */
const RULE_NAME =
  /^(?:istio-ext-authz-.*?)?ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\](?:-deny-due-to-bad-CUSTOM-action)?$/;
/** Before what rules of CUSTOM mark. */
const CUSTOM_PREFIX = 'istio_ext_authz_';

/** Decides by the filters in their order, after those for tokens: `claims` are set. */
export function readAuthorization(
  decision: Decision,
  places: Places,
  request: RuledRequest | RuledBytes,
): AuthorizationAnswer {
  const filters = 'chain' in request ? networkFilters(request.chain) : rbacFilters(request.manager);
  if (filters.length === 0) return { authorization: null, because: [], notes: [] };
  const { of } = request;
  const notes: string[] = [];
  const policyOf = (rules: RBAC) =>
    'chain' in request
      ? decision.policyForConnection(rules, request.connection)
      : decision.policyFor(rules, request.head, request.connection);
  const askedFor: Because[] = [];
  let asked: string | null = null;
  let rule: string | undefined;
  for (const { rules, shadowRules, shadowRulesStatPrefix } of filters) {
    if (shadowRules !== undefined && shadowRulesStatPrefix === CUSTOM_PREFIX) {
      const found = policyOf(shadowRules);
      if (found === undefined) continue;
      notes.push(askedNote(request.view, written(found, places)));
      asked = request.view.scope.authorizer?.name ?? null;
      askedFor.push(...reasonOf(found, places, of));
      continue;
    }
    if (shadowRules !== undefined) notes.push(...dryRunNotes(shadowRules.action, policyOf(shadowRules), places));
    if (rules === undefined) continue;
    const found = policyOf(rules);
    if (rules.action === RBAC_Action.LOG) {
      if (found !== undefined) notes.push(`it is audited by ${written(found, places)}`);
      continue;
    }
    rule = found;
    if ((rules.action === RBAC_Action.ALLOW) !== (found === undefined)) continue;
    const reasons = found === undefined ? allowing(request.view, of) : reasonOf(found, places, of);
    return {
      authorization: { decision: 'denied', rule: found ?? null, asked },
      because: [...askedFor, ...reasons],
      notes,
    };
  }
  const reasons = rule === undefined ? [] : reasonOf(rule, places, of);
  return {
    authorization: { decision: 'allowed', rule: rule ?? null, asked },
    because: [...askedFor, ...reasons],
    notes,
  };
}

/** What an authorizer says nobody knows before: what follows is one of the two. */
function askedNote({ scope }: ProxyView, by: string): string {
  const { authorizer } = scope;
  const { name = '', host = '', port = 0, settings } = authorizer ?? {};
  const silent = settings?.failOpen === true ? 'goes on' : `is answered ${settings?.statusOnError || 403}`;
  return (
    `provider ${name} (${host}:${port}) is asked about it, by ${by}: where that denies, its answer is the answer, ` +
    `where it does not answer, the request ${silent}; the rest is said of a request that it lets through as it is`
  );
}

/** Why it was denied or allowed, in a sentence's end. */
export function authorizationText({ rule }: ExplainedAuthorization, places: Places): string {
  return rule === null ? 'no ALLOW policy is for it' : `by ${written(rule, places)}`;
}

function dryRunNotes(action: RBAC_Action, rule: string | undefined, places: Places): string[] {
  if (action === RBAC_Action.LOG) return [];
  const denies = (action === RBAC_Action.ALLOW) === (rule === undefined);
  if (!denies) return [];
  return [`a dry run would deny it: ${rule === undefined ? 'no ALLOW policy of it is for it' : written(rule, places)}`];
}

function ruleOf(name: string, places: Places): { readonly object: ConfigObject; readonly path: FieldPath } | undefined {
  const [, namespace = '', policy = '', index = '0'] = RULE_NAME.exec(name) ?? [];
  const object = places.object('AuthorizationPolicy', namespace, policy);
  return object && { object, path: ['spec', 'rules', Number(index)] };
}

function written(name: string, places: Places): string {
  const place = ruleOf(name, places);
  if (place === undefined) return name;
  const { file, line, namespace, name: policy, path } = because(place, 'authorization');
  return `AuthorizationPolicy ${namespace}/${policy} ${path.replace(/^spec\./, '')} (${positionText({ file, line })})`;
}

function reasonOf(name: string, places: Places, of: string): Because[] {
  const place = ruleOf(name, places);
  return place === undefined ? [] : [because(place, 'authorization', of)];
}

/** The policies of which one would have to allow it. */
function allowing({ scope }: ProxyView, of: string): Because[] {
  return scope.authorization.ALLOW.filter(({ dryRun }) => !dryRun).map(({ policy }) =>
    because({ object: policy, path: [] }, 'authorization', of),
  );
}

const known = new WeakMap<HttpConnectionManager, readonly HttpRbac[]>();

function rbacFilters(manager: HttpConnectionManager): readonly HttpRbac[] {
  const filters =
    known.get(manager) ??
    manager.httpFilters.flatMap(({ disabled, configType }) =>
      disabled || configType.case !== 'typedConfig' || !anyIs(configType.value, RBACSchema)
        ? []
        : [unpackAny(configType.value, RBACSchema)],
    );
  known.set(manager, filters);
  return filters;
}

const knownChains = new WeakMap<FilterChain, readonly NetworkRbac[]>();

function networkFilters(chain: FilterChain): readonly NetworkRbac[] {
  const filters =
    knownChains.get(chain) ??
    chain.filters.flatMap(({ configType }) =>
      configType.case === 'typedConfig' && anyIs(configType.value, NetworkRbacSchema)
        ? [unpackAny(configType.value, NetworkRbacSchema)]
        : [],
    );
  knownChains.set(chain, filters);
  return filters;
}
