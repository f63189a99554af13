// Workloads: where the pod stands in a Kubernetes object: itself, or the template of a controller.

import { isObject, type JsonObject } from '../config/deep-merge.js';
import type { Pod } from '../pod.js';

/** The path of the pod in objects of a kind; [] is the object itself. */
const POD_PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

/** A pod in an object. */
export interface PlacedPod {
  /** From the object that was given. */
  readonly path: readonly (string | number)[];
  readonly pod: Pod;
  readonly namespace: string | undefined;
  readonly workload: { readonly name: string; readonly kind: string; readonly apiVersion: string };
}

export const WORKLOAD_KINDS: readonly string[] = Object.keys(POD_PATHS);

/** The pods of an object: one of a workload, each of a List; none of anything else. */
export function findPods(object: unknown): PlacedPod[] {
  if (!isObject(object)) return [];
  const { kind, apiVersion, items } = object;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') return [];
  if (kind.endsWith('List') && Array.isArray(items)) {
    return items.flatMap((item, index) =>
      findPods(item).map((placed) => ({ ...placed, path: ['items', index, ...placed.path] })),
    );
  }
  const path = Object.hasOwn(POD_PATHS, kind) ? POD_PATHS[kind] : undefined;
  const pod = path?.reduce<unknown>((value, step) => (isObject(value) ? value[step] : undefined), object);
  if (path === undefined || !isObject(pod) || !isObject(pod.spec)) return [];
  const metadata: JsonObject = isObject(object.metadata) ? object.metadata : {};
  const text = (field: string) => (typeof metadata[field] === 'string' ? metadata[field] : undefined);
  const name = text('name') ?? text('generateName')?.replace(/-$/, '') ?? '';
  return [{ path, pod: pod as Pod, namespace: text('namespace'), workload: { name, kind, apiVersion } }];
}
