// Resolve: who is selected by labels: pods and WorkloadEntries of a namespace.

import { selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, StringMap, Workload } from '../../model.js';
import { configsOf, isHealthy } from '../../snapshot.js';
import type { EntryEndpoint } from './service-declaration.js';
import { entryEndpoint } from './workload-entries.js';

/** Something with a namespace and labels. */
interface Labelled {
  readonly namespace: string;
  readonly labels: StringMap;
}

/** Finds what a selector takes in a namespace. An empty selector takes nothing, as in Kubernetes. */
export type Selection<T> = (namespace: string, selector: StringMap) => readonly T[];

/** Looks up by one label of the selector instead of one item after another. */
function selectionOf<T extends Labelled>(items: readonly T[]): Selection<T> {
  const byLabel = new Map<string, T[]>();
  for (const item of items) {
    for (const [label, value] of Object.entries(item.labels)) {
      const key = JSON.stringify([item.namespace, label, value]);
      const group = byLabel.get(key);
      if (group) group.push(item);
      else byLabel.set(key, [item]);
    }
  }
  return (namespace, selector) => {
    const [first] = Object.entries(selector);
    if (first === undefined) return [];
    const candidates = byLabel.get(JSON.stringify([namespace, ...first])) ?? [];
    return candidates.filter(({ labels }) => selectorMatches(selector, labels));
  };
}

export interface Selections {
  readonly workloads: Selection<Workload>;
  readonly entries: Selection<EntryEndpoint>;
}

/** Of a snapshot's pods and WorkloadEntries, in their order. */
export function selectionsOf(snapshot: MeshSnapshot): Selections {
  const entries = configsOf(snapshot, 'WorkloadEntry').map(({ metadata, spec }) =>
    // As in Istio, labels of the resource come before those of its spec.
    ({
      ...entryEndpoint({ ...spec, labels: { ...spec.labels, ...metadata.labels } }, metadata.namespace, metadata.name),
      ready: isHealthy(metadata.annotations),
    }),
  );
  return { workloads: selectionOf(snapshot.workloads), entries: selectionOf(entries) };
}
