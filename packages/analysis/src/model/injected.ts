// Model: which workloads get a proxy, by labels of namespaces and pods.

import type { MeshModel, Workload } from './mesh-model.js';

/** As Istio's default webhooks decide: the pod's own label, then its namespace's. */
export function isInjected(model: MeshModel, { namespace, labels, annotations, spec }: Workload): boolean {
  if (spec.hostNetwork === true) return false;
  if ([...(spec.containers ?? []), ...(spec.initContainers ?? [])].some(({ name }) => name === 'istio-proxy'))
    return true;
  const own = labels['sidecar.istio.io/inject'] ?? annotations['sidecar.istio.io/inject'];
  if (own === 'false') return false;
  const said = model.namespaces.get(namespace)?.metadata.labels ?? {};
  if (said['istio-injection'] === 'disabled') return false;
  return own === 'true' || labels['istio.io/rev'] !== undefined || asksForInjection(said);
}

/** Whether a namespace's labels ask for proxies. */
export function asksForInjection(labels: Readonly<Record<string, string>>): boolean {
  return (
    labels['istio-injection'] === 'enabled' ||
    (labels['istio-injection'] === undefined && labels['istio.io/rev'] !== undefined)
  );
}
