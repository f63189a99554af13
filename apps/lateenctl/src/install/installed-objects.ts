// Installation: what of ours is in a cluster: by labels, whatever version put it there.

import { type KubernetesObject, PART_OF, REVISION_LABEL } from '@lateen/installation';
import type { ObjectWriter } from './object-writer.js';

/** Kinds that installations of any release have, in the order in which they are removed: what acts before what it acts on. */
const KINDS: readonly Pick<KubernetesObject, 'apiVersion' | 'kind'>[] = [
  // Without them first, nothing that follows waits for a webhook that has gone.
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration' },
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration' },
  { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler' },
  { apiVersion: 'apps/v1', kind: 'Deployment' },
  { apiVersion: 'apps/v1', kind: 'DaemonSet' },
  { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' },
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
  { apiVersion: 'v1', kind: 'Service' },
  { apiVersion: 'v1', kind: 'ConfigMap' },
  { apiVersion: 'v1', kind: 'Secret' },
  { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole' },
  { apiVersion: 'v1', kind: 'ServiceAccount' },
];

const DEFINITIONS = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' };

/** Objects of one revision; those that all revisions share are not among them. */
export async function objectsOfRevision(writer: ObjectWriter, revision: string): Promise<KubernetesObject[]> {
  return listed(writer, `${PART_OF}=lateen,${REVISION_LABEL}=${revision}`);
}

/** Every object of ours but the definitions of the kinds and the namespace. */
export async function allObjects(writer: ObjectWriter): Promise<KubernetesObject[]> {
  return listed(writer, `${PART_OF}=lateen`);
}

export async function installedDefinitions(writer: ObjectWriter): Promise<readonly KubernetesObject[]> {
  return writer.list(DEFINITIONS, `${PART_OF}=lateen`);
}

async function listed(writer: ObjectWriter, labelSelector: string): Promise<KubernetesObject[]> {
  const lists = await Promise.all(KINDS.map((kind) => writer.list(kind, labelSelector)));
  return lists.flat();
}

/** Revisions that are installed: those whose Deployments are there. */
export async function installedRevisions(writer: ObjectWriter): Promise<readonly string[]> {
  const deployments = await writer.list({ apiVersion: 'apps/v1', kind: 'Deployment' }, `${PART_OF}=lateen,app=pilot`);
  return [...new Set(deployments.flatMap(({ metadata }) => metadata.labels?.[REVISION_LABEL] ?? []))].sort();
}
