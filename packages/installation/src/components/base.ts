// Components: what there is once in a cluster, whatever runs in it: the namespace and the definitions of the kinds.
import { customResourceDefinition, ISTIO_KINDS } from '@lateen/istio-config';
import { componentLabels, type KubernetesObject, PART_OF, SYSTEM_NAMESPACE } from '../objects.js';

/** The namespace of the control plane, in which nothing may run that needs a privilege. */
export function systemNamespace(): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      name: SYSTEM_NAMESPACE,
      labels: {
        ...componentLabels('base'),
        'istio-injection': 'disabled',
        'pod-security.kubernetes.io/enforce': 'restricted',
        'pod-security.kubernetes.io/warn': 'restricted',
      },
    },
  };
}

/** Definitions of every kind. */
export function definitions(): KubernetesObject[] {
  return ISTIO_KINDS.map((kind) => {
    const definition = customResourceDefinition(kind) as unknown as KubernetesObject;
    const { metadata } = definition;
    return { ...definition, metadata: { ...metadata, labels: { ...metadata.labels, [PART_OF]: 'lateen' } } };
  });
}

/** Plural names of the kinds that are served, by API group. */
export function servedResources(): Map<string, string[]> {
  const byGroup = new Map<string, string[]>();
  for (const kind of ISTIO_KINDS) {
    const { spec } = customResourceDefinition(kind);
    byGroup.set(spec.group, [...(byGroup.get(spec.group) ?? []), spec.names.plural].sort());
  }
  return new Map([...byGroup].sort(([a], [b]) => (a < b ? -1 : 1)));
}
