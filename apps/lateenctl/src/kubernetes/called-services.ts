// Kubernetes: what a pod can call by an address of its own: services, and by name each pod of a headless one. Pure.

import { type KubeService, selects } from './objects.js';

/** A pod, as far as services select it. */
export interface SelectedPod {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Services, each headless one followed by its pods as services of their own: `POD.SERVICE`. */
export function calledServices(services: readonly KubeService[], pods: readonly SelectedPod[]): readonly KubeService[] {
  return services.flatMap((service) => {
    if (!service.headless) return [service];
    const selected = pods.filter(({ namespace, labels }) => {
      return namespace === service.namespace && selects(service.selector, labels);
    });
    const names = [...new Set(selected.map(({ name }) => name))].sort();
    return [service, ...names.map((name) => ({ ...service, name: `${name}.${service.name}`, headless: false }))];
  });
}
