// Resolve: the mutual TLS mode of a workload's port, from PeerAuthentication (workload, namespace, mesh).

import type { ConfigObject, MutualTlsMode, PeerAuthenticationSpec } from '@lateen/istio-config';
import { selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Workload } from '../model.js';
import { configsOf } from '../snapshot.js';
import { oncePerSnapshot } from './mesh-index.js';

/** A mode with all inheritance resolved. */
export type EffectiveMtlsMode = Exclude<MutualTlsMode, 'UNSET'>;

interface Policies {
  readonly mesh?: ConfigObject<'PeerAuthentication'>;
  /** The namespace-wide one, by namespace. */
  readonly byNamespace: ReadonlyMap<string, ConfigObject<'PeerAuthentication'>>;
  /** Those with a selector, by namespace, oldest first. */
  readonly selecting: ReadonlyMap<string, readonly ConfigObject<'PeerAuthentication'>[]>;
}

function hasSelector(spec: PeerAuthenticationSpec): boolean {
  return Object.keys(spec.selector?.matchLabels ?? {}).length > 0;
}

/** Sorted once for each snapshot. Of several with the same reach the oldest counts; configsOf is oldest first. */
const policiesOf = oncePerSnapshot((snapshot): Policies => {
  let mesh: ConfigObject<'PeerAuthentication'> | undefined;
  const byNamespace = new Map<string, ConfigObject<'PeerAuthentication'>>();
  const selecting = new Map<string, ConfigObject<'PeerAuthentication'>[]>();
  for (const policy of configsOf(snapshot, 'PeerAuthentication')) {
    if (hasSelector(policy.spec)) {
      const group = selecting.get(policy.metadata.namespace);
      if (group) group.push(policy);
      else selecting.set(policy.metadata.namespace, [policy]);
    } else if (policy.metadata.namespace === snapshot.rootNamespace) {
      mesh ??= policy;
    } else if (!byNamespace.has(policy.metadata.namespace)) {
      byNamespace.set(policy.metadata.namespace, policy);
    }
  }
  return { mesh, byNamespace, selecting };
});

/** A mode, and what says so. */
export interface DecidedMtlsMode {
  readonly mode: EffectiveMtlsMode;
  /** Undefined where the default holds. */
  readonly policy: ConfigObject<'PeerAuthentication'> | undefined;
  /** The mode is that of the port's own setting. */
  readonly byPort: boolean;
}

/**
 * The mode of one port of a workload: the port level of the policy that selects the workload, else that policy, else
 * the namespace's, else the mesh's (root namespace), else PERMISSIVE. UNSET inherits at every step.
 *
 * @param port the workload's own port (the service's target port), which `portLevelMtls` counts in
 */
export function decideMtlsMode(
  snapshot: MeshSnapshot,
  workload: Pick<Workload, 'namespace' | 'labels'>,
  port: number,
): DecidedMtlsMode {
  const policies = policiesOf(snapshot);
  const own = policies.selecting
    .get(workload.namespace)
    ?.find(({ spec }) => selectorMatches(spec.selector?.matchLabels, workload.labels));
  const ofPort = own?.spec.portLevelMtls?.[String(port)]?.mode;
  if (ofPort !== undefined && ofPort !== 'UNSET') return { mode: ofPort, policy: own, byPort: true };
  for (const policy of [own, policies.byNamespace.get(workload.namespace), policies.mesh]) {
    const mode = policy?.spec.mtls?.mode;
    if (mode !== undefined && mode !== 'UNSET') return { mode, policy, byPort: false };
  }
  return { mode: 'PERMISSIVE', policy: undefined, byPort: false };
}

/** The ports of a workload that its policy has a mode for, in order. */
export function portsOfTheirOwnMode(
  snapshot: MeshSnapshot,
  workload: Pick<Workload, 'namespace' | 'labels'>,
): readonly number[] {
  const own = policiesOf(snapshot)
    .selecting.get(workload.namespace)
    ?.find(({ spec }) => selectorMatches(spec.selector?.matchLabels, workload.labels));
  const ports = Object.entries(own?.spec.portLevelMtls ?? {}).filter(
    ([, setting]) => (setting?.mode ?? 'UNSET') !== 'UNSET',
  );
  return ports.map(([port]) => Number(port)).sort((a, b) => a - b);
}

/** The mode alone. */
export function effectiveMtlsMode(
  snapshot: MeshSnapshot,
  workload: Pick<Workload, 'namespace' | 'labels'>,
  port: number,
): EffectiveMtlsMode {
  return decideMtlsMode(snapshot, workload, port).mode;
}
