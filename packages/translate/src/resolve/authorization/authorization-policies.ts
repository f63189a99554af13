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

/** The actions in the order in which they are taken, after CUSTOM. A request that no ALLOW is for is denied where there is any. */
export const AUTHORIZATION_ACTIONS = ['AUDIT', 'DENY', 'ALLOW'] as const;

export type AuthorizationAction = (typeof AUTHORIZATION_ACTIONS)[number];

/** Policies by action; oldest first, those of the root namespace before those of the workload's own. */
export type EffectiveAuthorization = Readonly<Record<AuthorizationAction | 'CUSTOM', readonly EffectivePolicy[]>>;

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
  const withAction = (action: AuthorizationAction | 'CUSTOM') =>
    holding.filter(({ policy }) => (policy.spec.action ?? 'ALLOW') === action);
  return {
    // Who would be asked in a dry run could not let pass what it denies: nobody is asked.
    CUSTOM: withAction('CUSTOM').filter(({ dryRun }) => !dryRun),
    AUDIT: withAction('AUDIT'),
    DENY: withAction('DENY'),
    ALLOW: withAction('ALLOW'),
  };
}
