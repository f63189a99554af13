// Debug API: which PeerAuthentication decides the mode of a workload's port, to be named beside it.

import { type MutualTlsMode, objectsOfKind, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Workload } from '@lateen/translate';
import type { ServerMode } from './tls-modes.js';

/**
 * NAMESPACE/NAME of the policy, in Istio's precedence: the one that selects the workload, its namespace's, the root
 * namespace's; of several with the same reach the oldest. Empty where none sets a mode, and where the policy does not
 * explain `served`, the mode that was read off the listener: then no name is better than a wrong one.
 */
export function decidingPolicy(mesh: MeshSnapshot, workload: Workload, port: number, served: ServerMode): string {
  const policies = objectsOfKind(mesh.configsByKind.get('PeerAuthentication') ?? [], 'PeerAuthentication');
  const isWide = ({ spec }: (typeof policies)[number]) => Object.keys(spec.selector?.matchLabels ?? {}).length === 0;
  const inNamespace = (namespace: string) => policies.filter(({ metadata }) => metadata.namespace === namespace);
  const selecting = inNamespace(workload.namespace).find(
    (policy) => !isWide(policy) && selectorMatches(policy.spec.selector?.matchLabels, workload.labels),
  );
  const candidates = [
    selecting,
    inNamespace(workload.namespace).find(isWide),
    inNamespace(mesh.rootNamespace).find(isWide),
  ];
  for (const policy of candidates) {
    if (policy === undefined) continue;
    const modes: (MutualTlsMode | undefined)[] = [policy.spec.mtls?.mode];
    if (policy === selecting) modes.unshift(policy.spec.portLevelMtls?.[String(port)]?.mode);
    const mode = modes.find((candidate) => candidate !== undefined && candidate !== 'UNSET');
    if (mode === undefined) continue;
    return mode === served ? `${policy.metadata.namespace}/${policy.metadata.name}` : '';
  }
  return '';
}
