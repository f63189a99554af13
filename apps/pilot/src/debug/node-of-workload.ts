// Debug API: a workload of the registry as the proxy that asks for its configuration.

import { interceptionModeOf, type MeshSnapshot, type ProxyNode, type Workload } from '@lateen/translate';

/** The node that the workload's proxy would present. */
export function nodeOf(workload: Workload, mesh: MeshSnapshot): ProxyNode {
  const type = workload.gateway ? 'router' : 'sidecar';
  const domain = `${workload.namespace}.svc.${mesh.clusterDomain}`;
  return {
    id: `${type}~${workload.address}~${workload.name}.${workload.namespace}~${domain}`,
    type,
    ipAddress: workload.address,
    podName: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    workloadName: workload.workloadName,
    clusterId: 'Kubernetes',
    locality: '',
    labels: workload.labels,
    interceptionMode: interceptionModeOf(workload),
    understandsIstioFilters: true,
    proxyless: false,
    metadata: {},
  };
}
