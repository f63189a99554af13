// Debug API: services and workloads as Pilot knows them.

import { configsOf, isHealthy, type MeshSnapshot, type Service, type Workload } from '@lateen/translate';

export interface RegistryDescription {
  readonly services: readonly {
    readonly hostname: string;
    readonly namespace: string;
    readonly name: string;
    readonly ports: readonly { name: string; port: number; targetPort: number; appProtocol: string }[];
    /** Who answers for it, as a cluster says; in local mode the workloads that the selector takes. */
    readonly endpoints: readonly { workload: string; address: string; ready: boolean }[];
  }[];
  readonly workloads: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly workloadName: string;
    readonly serviceAccount: string;
    readonly address: string;
    readonly ready: boolean;
    readonly gateway: boolean;
    readonly ports: readonly { name: string; port: number; appPort: number }[];
    readonly labels: Readonly<Record<string, string>>;
  }[];
  /** Workloads outside of the registry: applied, or registered by themselves (then `group` names their WorkloadGroup). */
  readonly workloadEntries: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly address: string;
    readonly serviceAccount: string;
    readonly group: string;
    readonly healthy: boolean;
    readonly labels: Readonly<Record<string, string>>;
  }[];
}

export function describeRegistry(snapshot: MeshSnapshot): RegistryDescription {
  const { services, workloads, clusterDomain } = snapshot;
  return {
    services: services.map((service) => ({
      hostname: `${service.name}.${service.namespace}.svc.${clusterDomain}`,
      namespace: service.namespace,
      name: service.name,
      ports: service.ports.map(({ name, port, targetPort, appProtocol }) => ({ name, port, targetPort, appProtocol })),
      endpoints: describeEndpoints(service, workloads),
    })),
    workloads: workloads.map((workload) => ({
      name: workload.name,
      namespace: workload.namespace,
      workloadName: workload.workloadName,
      serviceAccount: workload.serviceAccount,
      address: workload.address,
      ready: workload.ready,
      gateway: workload.gateway,
      ports: workload.ports.map(({ name, port, appPort }) => ({ name, port, appPort })),
      labels: workload.labels,
    })),
    workloadEntries: configsOf(snapshot, 'WorkloadEntry').map(({ metadata, spec }) => ({
      name: metadata.name,
      namespace: metadata.namespace,
      address: spec.address ?? '',
      serviceAccount: spec.serviceAccount ?? '',
      group: metadata.annotations['istio.io/autoRegistrationGroup'] ?? '',
      healthy: isHealthy(metadata.annotations),
      labels: { ...spec.labels, ...metadata.labels },
    })),
  };
}

function describeEndpoints(service: Service, workloads: readonly Workload[]) {
  if (service.endpoints === undefined) {
    return workloads
      .filter((workload) => selects(service, workload))
      .map(({ name, namespace, address, ready }) => ({ workload: `${name}.${namespace}`, address, ready }));
  }
  return service.endpoints.flatMap(({ pod, addresses, ready }) => {
    const [namespace, name] = pod.split('/');
    return addresses.map((address) => ({ workload: pod === '' ? '' : `${name}.${namespace}`, address, ready }));
  });
}

/** As Kubernetes selects: all labels equal, in the same namespace; an empty selector selects nothing. */
export function selects(service: Service, workload: Workload): boolean {
  const wanted = Object.entries(service.selector);
  return (
    service.namespace === workload.namespace &&
    wanted.length > 0 &&
    wanted.every(([key, value]) => workload.labels[key] === value)
  );
}
