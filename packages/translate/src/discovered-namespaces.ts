// Translate: which namespaces are looked at, by the discoverySelectors of MeshConfig.

import type { MeshConfig } from '@lateen/istio-config';
import { selectorMatches } from '@lateen/istio-config';
import type { Namespace, StringMap } from './model.js';

type Selector = NonNullable<MeshConfig['discoverySelectors']>[number];
type Requirement = NonNullable<Selector['matchExpressions']>[number];

/** Kubernetes gives each namespace this label. */
const NAME_LABEL = 'kubernetes.io/metadata.name';

function isMet({ key, operator, values = [] }: Requirement, labels: StringMap): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    default:
      // There is no other: validation sees to it.
      return value === undefined;
  }
}

/**
 * Which namespaces count: their services, workloads, configuration and Secrets. Those of one of the selectors, and the root
 * namespace; without selectors all.
 */
export function discoveredNamespaces(
  selectors: MeshConfig['discoverySelectors'],
  namespaces: readonly Namespace[],
  rootNamespace: string,
): (namespace: string) => boolean {
  if (selectors === undefined || selectors.length === 0) return () => true;
  const known = new Map(namespaces.map(({ name, labels }) => [name, labels]));
  const decided = new Map<string, boolean>([[rootNamespace, true]]);
  return (namespace) => {
    let result = decided.get(namespace);
    if (result === undefined) {
      const labels = { ...known.get(namespace), [NAME_LABEL]: namespace };
      result = selectors.some(
        ({ matchLabels, matchExpressions = [] }) =>
          selectorMatches(matchLabels, labels) && matchExpressions.every((each) => isMet(each, labels)),
      );
      decided.set(namespace, result);
    }
    return result;
  };
}
