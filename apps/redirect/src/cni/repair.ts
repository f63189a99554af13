// CNI installer: pods that started before the plugin was on their node have no rules; they are told, labelled or deleted.
import { Informer, isNotFound, type KubeClient, type Pod, resourceTypes } from '@lateen/kubernetes';
import { NOT_INTERCEPTED } from '../validate.js';

export const REPAIRS = ['tell', 'label', 'delete'] as const;
export type Repair = (typeof REPAIRS)[number];

interface Terminated {
  readonly exitCode?: number;
}

/** What is read of a status here, beside what others read. */
interface ContainerStatus {
  readonly name: string;
  readonly state?: { readonly terminated?: Terminated };
  readonly lastState?: { readonly terminated?: Terminated };
}

export const UNINITIALIZED_LABEL = 'cni.istio.io/uninitialized';
const VALIDATION = 'istio-validation';
const STATUS = 'sidecar.istio.io/status';

/** Whether the pod's validation says that it has no rules. One that passed in the end says nothing. */
export function isWithoutRules(pod: Pod): boolean {
  if (pod.metadata.annotations?.[STATUS] === undefined || pod.metadata.deletionTimestamp !== undefined) return false;
  const statuses = (pod.status as { readonly initContainerStatuses?: readonly ContainerStatus[] } | undefined)
    ?.initContainerStatuses;
  return (statuses ?? []).some(
    ({ name, state, lastState }) =>
      name === VALIDATION &&
      state?.terminated?.exitCode !== 0 &&
      [state?.terminated, lastState?.terminated].some((terminated) => terminated?.exitCode === NOT_INTERCEPTED),
  );
}

export interface RepairOptions {
  readonly client: KubeClient;
  /** Only its pods are looked at. */
  readonly nodeName: string;
  readonly repair: Repair;
  readonly log: (line: string) => void;
}

/** Looks at the pods of the node until it is stopped. */
export function startRepair({ client, nodeName, repair, log }: RepairOptions): { stop(): Promise<void> } {
  const informer = new Informer({
    client,
    type: resourceTypes.pods,
    fieldSelector: `spec.nodeName=${nodeName}`,
    onError: (error) =>
      log(error === undefined ? 'pods of this node are seen again' : `pods of this node: ${error.message}`),
  });
  const seen = new Set<string>();
  const mend = async (pod: Pod): Promise<void> => {
    const { namespace = '', name, uid = '', labels } = pod.metadata;
    const which = `${namespace}/${name}`;
    if (!isWithoutRules(pod) || seen.has(uid)) return;
    if (repair === 'label' && labels?.[UNINITIALIZED_LABEL] !== undefined) return;
    seen.add(uid);
    try {
      if (repair === 'delete') await client.delete(resourceTypes.pods, { namespace, name }, { uid });
      if (repair === 'label') {
        const merge = { metadata: { labels: { [UNINITIALIZED_LABEL]: 'true' } } };
        // The status alone needs fewer rights.
        await client.patch(resourceTypes.pods, { namespace, name }, { merge }, { subresource: 'status' });
      }
      const done = {
        tell: 'delete it, so that it starts anew',
        label: `labelled ${UNINITIALIZED_LABEL}`,
        delete: 'deleted',
      }[repair];
      log(`${which} started before the plugin was here and has no redirect rules: ${done}`);
    } catch (error) {
      seen.delete(uid);
      if (!isNotFound(error)) log(`${which} has no redirect rules, and cannot be mended: ${(error as Error).message}`);
    }
  };
  informer.subscribe((changes) => {
    for (const { type, object } of changes) {
      if (type === 'deleted') seen.delete(object.metadata.uid ?? '');
      else void mend(object);
    }
  });
  informer.start();
  return { stop: () => informer.stop() };
}
