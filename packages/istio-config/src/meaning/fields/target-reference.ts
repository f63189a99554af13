// Meaning of the resources that a policy attaches to (`targetRef`, `targetRefs`).
import type { FaultList } from '../../declare/fault.js';
import { present } from '../rule.js';

interface TargetReference {
  readonly group?: string | undefined;
  readonly kind?: string | undefined;
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
}

/** By API group, what Istio lets a policy attach to. */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  '': ['Service'],
  core: ['Service'],
  'networking.istio.io': ['ServiceEntry'],
  'gateway.networking.k8s.io': ['Gateway', 'GatewayClass'],
};

/** A reference leads to a kind that policies attach to, in the policy's own namespace. */
export function checkTargetReferences(
  spec: {
    readonly targetRef?: TargetReference | undefined;
    readonly targetRefs?: readonly (TargetReference | undefined)[] | undefined;
  },
  faults: FaultList,
): void {
  const all = [
    ...(spec.targetRef ? [{ path: ['targetRef'], target: spec.targetRef }] : []),
    ...[...present(spec.targetRefs)].map(([index, target]) => ({ path: ['targetRefs', index], target })),
  ];
  for (const { path, target } of all) {
    const { group = '', kind, namespace } = target;
    if (namespace) {
      const message = 'a policy attaches to resources of its own namespace only; remove `namespace`';
      faults.error([...path, 'namespace'], 'reference', message, 'key');
    }
    if (kind === undefined || ('group' in target && target.group === undefined)) continue;
    const kinds = Object.hasOwn(TARGETS, group) ? TARGETS[group] : undefined;
    if (kinds?.includes(kind)) continue;
    const known = 'Service, ServiceEntry (networking.istio.io), Gateway or GatewayClass (gateway.networking.k8s.io)';
    const message = `a policy does not attach to ${kind}${group === '' ? '' : ` of ${group}`}; write ${known}`;
    faults.error([...path, 'kind'], 'reference', message);
  }
}
