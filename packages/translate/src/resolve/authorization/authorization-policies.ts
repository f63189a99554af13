// Resolve: which AuthorizationPolicies are for a workload or gateway, by action.

import { type ConfigObject, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, StringMap } from '../../model.js';
import { configsOf } from '../../snapshot.js';
import { isDryRun } from './dry-run.js';

/** A policy as it holds. */
export interface EffectivePolicy {
  readonly policy: ConfigObject<'AuthorizationPolicy'>;
  /** It is decided and told, and lets pass. */
  readonly dryRun: boolean;
}

/** The actions in the order in which they are taken. A request that no ALLOW is for is denied where there is any. */
export const AUTHORIZATION_ACTIONS = ['AUDIT', 'DENY', 'ALLOW'] as const;

export type AuthorizationAction = (typeof AUTHORIZATION_ACTIONS)[number];

/** Policies by action; oldest first, those of the root namespace before those of the workload's own. */
export type EffectiveAuthorization = Readonly<Record<AuthorizationAction, readonly EffectivePolicy[]>>;

/** The policies of the root namespace and of the proxy's own, as far as they select it. */
export function resolveAuthorization(
  snapshot: MeshSnapshot,
  client: { readonly namespace: string; readonly labels: StringMap },
): EffectiveAuthorization {
  const { rootNamespace } = snapshot;
  const all = configsOf(snapshot, 'AuthorizationPolicy').filter(({ spec }) =>
    selectorMatches(spec.selector?.matchLabels, client.labels),
  );
  const ofRoot = all.filter(({ metadata }) => metadata.namespace === rootNamespace);
  const own = all.filter(
    ({ metadata: { namespace } }) => namespace === client.namespace && namespace !== rootNamespace,
  );
  const holding = [...ofRoot, ...own].map((policy) => ({ policy, dryRun: isDryRun(policy.metadata.annotations) }));
  const withAction = (action: AuthorizationAction) => holding.filter(({ policy }) => actionOf(policy) === action);
  return { AUDIT: withAction('AUDIT'), DENY: withAction('DENY'), ALLOW: withAction('ALLOW') };
}

/** Nobody is asked about requests yet: those that a provider would be asked about are denied, as in Istio where it is not known. */
function actionOf({ spec: { action = 'ALLOW' } }: EffectivePolicy['policy']): AuthorizationAction {
  return action === 'CUSTOM' ? 'DENY' : action;
}
