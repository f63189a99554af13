// Resolve: WorkloadEntries as workloads: what the sidecar of one, which no registry knows, serves.

import { ipVersion } from '@lateen/istio-config';
import type { MeshSnapshot, Workload, WorkloadPort } from '../../model.js';
import { configsOf } from '../../snapshot.js';
import type { MeshService, ServedPort } from '../mesh-index.js';

interface EntryWorkload extends Workload {
  readonly ports: WorkloadPort[];
}

function workloadsOf(snapshot: MeshSnapshot): Map<string, EntryWorkload> {
  const workloads = new Map<string, EntryWorkload>();
  for (const { metadata, spec } of configsOf(snapshot, 'WorkloadEntry')) {
    const { namespace, name, annotations } = metadata;
    const { address = '', serviceAccount = '' } = spec;
    const key = `${namespace}/${address}`;
    if (ipVersion(address) === 0 || workloads.has(key)) continue;
    workloads.set(key, {
      name,
      namespace,
      labels: { ...spec.labels, ...metadata.labels },
      annotations,
      serviceAccount,
      workloadName: name,
      address,
      ports: [],
      ready: true,
      serviceAddresses: {},
      gateway: false,
      locality: spec.locality,
      extraBindAddresses: {},
    });
  }
  return workloads;
}

/**
 * By `NAMESPACE/ADDRESS`; the oldest of several. A workload takes calls at the ports by which services lead to its entry,
 * and its application listens at the same ones of 127.0.0.1.
 *
 * @param servedBy gets the service ports of these workloads
 */
export function entryWorkloads(
  snapshot: MeshSnapshot,
  services: readonly MeshService[],
  servedBy: Map<Workload, ServedPort[]>,
): ReadonlyMap<string, Workload> {
  const workloads = workloadsOf(snapshot);
  for (const service of services) {
    for (const entry of service.entries) {
      const workload = workloads.get(`${entry.namespace}/${entry.address}`);
      if (workload === undefined) continue;
      const served = servedBy.get(workload) ?? [];
      servedBy.set(workload, served);
      for (const port of service.ports) {
        const number = entry.ports[port.name] || port.targetPort;
        served.push({ service, port: { ...port, targetPort: number } });
        if (workload.ports.some((known) => known.port === number)) continue;
        workload.ports.push({ port: number, appPort: number, name: port.name });
      }
    }
  }
  return workloads;
}
