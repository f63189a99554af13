// Kubernetes: the registry that a cluster's objects make. Pure; what did not change stays the same object, so that it is hashed once.

import { isDeepStrictEqual } from 'node:util';
import type { EndpointSlice, Service as KubeService, Pod } from '@lateen/kubernetes';
import type { Namespace, Service, Workload, WorkloadPort } from '@lateen/translate';
import type { Registry } from '../registry/registry-store.js';
import type { ClusterObjects } from './cluster-objects.js';
import { isFoundByAddress, SERVICE_OF_SLICE, serviceOfCluster } from './service-of-cluster.js';
import { addressesOfPod, containerPorts, localityOfNode, workloadOfPod } from './workload-of-pod.js';

/** What was made of what, the last time. */
interface Made<T> {
  readonly from: readonly unknown[];
  readonly value: T;
}

/** Makes values anew where what they are made of is not the same as before; forgets those that are not asked for any more. */
class Remembered<T> {
  #before = new Map<string, Made<T>>();
  #now = new Map<string, Made<T>>();

  get(key: string, from: readonly unknown[], make: () => T): T {
    const before = this.#before.get(key);
    const isSame = before?.from.length === from.length && before.from.every((part, index) => part === from[index]);
    const value = before !== undefined && isSame ? before.value : this.#preferred(before, make());
    this.#now.set(key, { from, value });
    return value;
  }

  /** What came out as before is the object of before: the status of a pod changes more often than what is read of it. */
  #preferred(before: Made<T> | undefined, value: T): T {
    return before !== undefined && isDeepStrictEqual(before.value, value) ? before.value : value;
  }

  /** All that there is was asked for. */
  over(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }
}

function keyOf({ metadata }: { readonly metadata: { readonly namespace?: string; readonly name: string } }): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** Finds the services that select a pod, by one label of their selector instead of one service after another. */
function selectingServices(services: readonly KubeService[]): (pod: Pod) => readonly KubeService[] {
  const byLabel = new Map<string, KubeService[]>();
  for (const service of services) {
    const [first] = Object.entries(service.spec?.selector ?? {});
    if (first === undefined || service.spec?.type === 'ExternalName') continue;
    const key = JSON.stringify([service.metadata.namespace, ...first]);
    byLabel.set(key, [...(byLabel.get(key) ?? []), service]);
  }
  return ({ metadata }) => {
    const labels = metadata.labels ?? {};
    return Object.entries(labels)
      .flatMap((label) => byLabel.get(JSON.stringify([metadata.namespace, ...label])) ?? [])
      .filter(({ spec }) => Object.entries(spec?.selector ?? {}).every(([name, value]) => labels[name] === value));
  };
}

/** The ports at which services lead to a pod, by number; those that containers name are known by that name. */
function portsOfPod(pod: Pod, services: readonly KubeService[]): readonly WorkloadPort[] {
  const declared = containerPorts(pod);
  const numbers = services.flatMap(({ spec }) =>
    (spec?.ports ?? [])
      .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
      .flatMap(({ port, targetPort = port }) =>
        typeof targetPort === 'number'
          ? [targetPort || port]
          : (declared.find(({ name }) => name === targetPort)?.port ?? []),
      ),
  );
  return [...new Set(numbers)]
    .sort((a, b) => a - b)
    .map((port) => ({ port, appPort: port, name: declared.find((each) => each.port === port)?.name ?? '' }));
}

function podsByAddress(pods: readonly Pod[]): ReadonlyMap<string, string> {
  const own = pods.filter(({ spec }) => spec?.hostNetwork !== true);
  return new Map(own.flatMap((pod) => addressesOfPod(pod).map((address) => [address, keyOf(pod)] as const)));
}

export class RegistryBuilder {
  readonly #namespaces = new Remembered<Namespace>();
  readonly #services = new Remembered<Service>();
  readonly #ports = new Remembered<readonly WorkloadPort[]>();
  readonly #workloads = new Remembered<Workload | undefined>();

  /** Looks at everything, and makes anew what changed. */
  build(objects: ClusterObjects): Omit<Registry, 'credentials'> {
    const registry = {
      namespaces: objects.namespaces.map((namespace) =>
        this.#namespaces.get(keyOf(namespace), [namespace], () => ({
          name: namespace.metadata.name,
          labels: namespace.metadata.labels ?? {},
        })),
      ),
      services: this.#buildServices(objects),
      workloads: this.#buildWorkloads(objects),
    };
    for (const each of [this.#namespaces, this.#services, this.#ports, this.#workloads]) each.over();
    return registry;
  }

  #buildServices({ services, endpointSlices, pods }: ClusterObjects): readonly Service[] {
    const slices = new Map<string, EndpointSlice[]>();
    for (const slice of endpointSlices) {
      const service = slice.metadata.labels?.[SERVICE_OF_SLICE];
      if (service === undefined) continue;
      const key = `${slice.metadata.namespace ?? ''}/${service}`;
      const group = slices.get(key);
      if (group) group.push(slice);
      else slices.set(key, [slice]);
    }
    const byAddress = podsByAddress(pods);
    return services.map((service) => {
      const own = slices.get(keyOf(service)) ?? [];
      // Those found by address depend on pods as well.
      const from = isFoundByAddress(own) ? [service, ...own, byAddress] : [service, ...own];
      return this.#services.get(keyOf(service), from, () =>
        serviceOfCluster(service, own, (address) => byAddress.get(address)),
      );
    });
  }

  #buildWorkloads({ nodes, services, pods }: ClusterObjects): readonly Workload[] {
    const localities = new Map(nodes.map((node) => [node.metadata.name, localityOfNode(node)]));
    const selecting = selectingServices(services);
    return pods.flatMap((pod) => {
      const key = keyOf(pod);
      const selected = selecting(pod);
      const ports = this.#ports.get(key, [pod, ...selected], () => portsOfPod(pod, selected));
      const locality = localities.get(pod.spec?.nodeName ?? '') ?? '';
      return this.#workloads.get(key, [pod, locality, ports], () => workloadOfPod(pod, locality, ports)) ?? [];
    });
  }
}
