// Installation: waits until what was applied serves, and says what keeps it from it.

import { setTimeout as sleep } from 'node:timers/promises';
import { type KubernetesObject, objectName } from '@lateen/installation';
import { type KubeClient, type KubeObject, resourceTypes } from '@lateen/kubernetes';
import { isAway } from '../cluster/cluster.js';
import { CliError } from '../output/cli-error.js';
import type { ObjectWriter } from './object-writer.js';

const POLL_MS = 500;

interface DeploymentObject extends KubeObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
    readonly replicas?: number;
  };
}

interface DefinitionObject extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

/** Why an object does not serve yet; undefined where it does. */
export async function pendingReason(writer: ObjectWriter, object: KubernetesObject): Promise<string | undefined> {
  const live = await writer.read(object);
  if (live === undefined) return 'it is not there';
  if (object.kind === 'Deployment') return pendingRollout(live as DeploymentObject);
  if (object.kind === 'CustomResourceDefinition') return pendingDefinition(live as DefinitionObject);
  return undefined;
}

function pendingRollout({ metadata, spec, status = {} }: DeploymentObject): string | undefined {
  const wanted = spec?.replicas ?? 1;
  const { observedGeneration = 0, updatedReplicas = 0, availableReplicas = 0, replicas = 0 } = status;
  if (observedGeneration < (metadata.generation ?? 0)) return 'the cluster has not looked at it yet';
  if (updatedReplicas < wanted) return `${updatedReplicas} of ${wanted} pods are of the new kind`;
  if (availableReplicas < wanted) return `${availableReplicas} of ${wanted} pods are ready`;
  return replicas > updatedReplicas ? `${replicas - updatedReplicas} pods of the old kind are still there` : undefined;
}

function pendingDefinition({ status }: DefinitionObject): string | undefined {
  const condition = (type: string) => status?.conditions?.find((each) => each.type === type);
  if (condition('NamesAccepted')?.status === 'False')
    return condition('NamesAccepted')?.message ?? 'its names are taken';
  return condition('Established')?.status === 'True' ? undefined : 'it is not established';
}

/**
 * Resolves when all serve.
 * @throws CliError at the deadline, with what each waits for and what its pods say
 */
export async function waitUntilServing(
  writer: ObjectWriter,
  objects: readonly KubernetesObject[],
  deadlineMs: number,
  onWaiting: (name: string, reason: string) => void,
): Promise<void> {
  const told = new Map<string, string>();
  for (;;) {
    const pending: [KubernetesObject, string][] = [];
    for (const object of objects) {
      const reason = await pendingReason(writer, object).catch((error: Error) => {
        // An API server that is replaced meanwhile comes back.
        if (isAway(error) && Date.now() <= deadlineMs) return `the API server does not answer (${error.message})`;
        throw error;
      });
      if (reason === undefined) continue;
      pending.push([object, reason]);
      const name = objectName(object);
      if (told.get(name) !== reason) onWaiting(name, reason);
      told.set(name, reason);
    }
    if (pending.length === 0) return;
    if (Date.now() > deadlineMs) {
      const lines = await Promise.all(
        pending.map(async ([object, reason]) => {
          const pods = await podProblems(writer.client, object);
          return [`  ${objectName(object)}: ${reason}`, ...pods.map((line) => `    ${line}`)].join('\n');
        }),
      );
      throw new CliError(`not ready in time:\n${lines.join('\n')}`);
    }
    await sleep(POLL_MS);
  }
}

/** What the pods of a Deployment say about why they are not ready. */
async function podProblems(client: KubeClient, { kind, metadata, spec }: KubernetesObject): Promise<string[]> {
  if (kind !== 'Deployment') return [];
  const { matchLabels } = (spec as { selector: { matchLabels: Record<string, string> } }).selector;
  const labelSelector = Object.entries(matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  const { items } = await client.listAll(resourceTypes.pods, { namespace: metadata.namespace, labelSelector });
  if (items.length === 0) return ['it has no pod: see `kubectl describe replicaset`'];
  return items.flatMap((pod) => {
    const { conditions = [], containerStatuses = [], initContainerStatuses = [] } = (pod.status ?? {}) as PodStatus;
    if (conditions.length === 0) return [`pod ${pod.metadata.name}: nobody has looked for a node yet`];
    const unscheduled = conditions.find(({ type, status }) => type === 'PodScheduled' && status === 'False');
    const waiting = [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state, lastState, ready }) => {
      const { waiting: now, terminated } = state ?? {};
      const before = lastState?.terminated;
      if (now !== undefined)
        return [`container ${name}: ${now.reason ?? 'waiting'}${now.message === undefined ? '' : `: ${now.message}`}`];
      if (terminated !== undefined && terminated.exitCode !== 0)
        return [`container ${name}: ended with code ${terminated.exitCode}`];
      if (!ready && before !== undefined)
        return [`container ${name}: is not ready; it ended before with code ${before.exitCode}`];
      return ready || terminated !== undefined
        ? []
        : [
            `container ${name}: runs and is not ready; see kubectl logs -n ${pod.metadata.namespace} ${pod.metadata.name}`,
          ];
    });
    const reasons = unscheduled === undefined ? waiting : [unscheduled.message ?? 'no node takes it'];
    return reasons.map((reason) => `pod ${pod.metadata.name}: ${reason}`);
  });
}

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly terminated?: { readonly exitCode: number };
}

interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

interface PodStatus {
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
}
