// Meaning: where a policy applies: selector, targetRef, targetRefs.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { TargetReference, WorkloadSelector } from '../../kinds/fields/selector.js';
import type { FieldPath } from '../../problem.js';
import { checkSelector, present } from '../rule.js';

/** The API group of each kind that a policy may attach to. */
const TARGETS: Readonly<Record<string, string>> = {
  Service: '',
  ServiceEntry: 'networking.istio.io',
  Gateway: 'gateway.networking.k8s.io',
  GatewayClass: 'gateway.networking.k8s.io',
};

interface Attachment {
  readonly selector?: Loose<WorkloadSelector> | undefined;
  readonly targetRef?: Loose<TargetReference> | undefined;
  readonly targetRefs?: readonly (Loose<TargetReference> | undefined)[] | undefined;
}

/** Checks the selector and the references of a policy; that there is only one of them is checked with the structure. */
export function checkAttachment({ selector, targetRef, targetRefs }: Attachment, faults: FaultList): void {
  checkSelector(selector, ['selector'], faults);
  if (targetRef) checkTargetReference(targetRef, ['targetRef'], faults);
  checkTargetReferences(targetRefs, ['targetRefs'], faults);
}

/** Checks references to resources, which must be of a kind that policies attach to, and in the policy's own namespace. */
export function checkTargetReferences(
  references: readonly (Loose<TargetReference> | undefined)[] | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  for (const [index, reference] of present(references)) checkTargetReference(reference, [...path, index], faults);
}

function checkTargetReference(reference: Loose<TargetReference>, path: FieldPath, faults: FaultList): void {
  const { group = '', kind, namespace } = reference;
  if (namespace !== undefined && namespace !== '') {
    const message = 'a resource of another namespace cannot be meant; remove `namespace`';
    faults.error([...path, 'namespace'], 'reference', message, 'key');
  }
  if (kind === undefined) return;
  const wanted = Object.hasOwn(TARGETS, kind) ? TARGETS[kind] : undefined;
  if (wanted === undefined) {
    const message = `a policy cannot attach to the kind \`${kind}\`; name one of ${Object.keys(TARGETS).join(', ')}`;
    faults.error([...path, 'kind'], 'reference', message);
  } else if (group !== wanted && !(wanted === '' && group === 'core')) {
    const advice = wanted === '' ? 'remove `group`' : `write group ${wanted}`;
    const at = 'group' in reference ? [...path, 'group'] : path;
    faults.error(at, 'reference', `${kind} is not of the group \`${group}\`; ${advice}`);
  }
}
