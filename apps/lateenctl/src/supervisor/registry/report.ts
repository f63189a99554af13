// Registry: the complete report of what runs, as Pilot takes it. Pure.

import { create } from '@bufbuild/protobuf';
import {
  type RegistryReport,
  RegistryReportSchema,
  type Service,
  ServiceSchema,
  type Workload,
  WorkloadSchema,
} from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import { type KubeObjects, type KubeService, serviceHost } from '../../kubernetes/objects.js';
import type { Pod } from '../pods/pod.js';
import { resolveTargetPort } from '../pods/pod-plan.js';
import type { EntryHost } from './entry-hosts.js';

export interface ReportInput {
  readonly sequence: bigint;
  readonly objects: KubeObjects;
  readonly pods: readonly Pod[];
  /** Services, and the pods of headless ones as services of their own. */
  readonly called: readonly KubeService[];
  readonly serviceAddress: (pod: Pod, host: string) => string;
  /** Where intercepted pods call a service; none where pods call it at addresses of their own. */
  readonly clusterIps: (service: KubeService) => readonly string[];
  /** Hosts of ServiceEntries that pods of a namespace see. */
  readonly entryHosts: (namespace: string) => readonly EntryHost[];
  /** Bind addresses of the gateway by listener port, for example "8080" -> "127.0.0.1:8080". */
  readonly gatewayBindAddresses: Readonly<Record<string, string>>;
}

/** Every namespace, service and pod; the same input gives the same report. */
export function buildReport(input: ReportInput): RegistryReport {
  const services = [...input.objects.services.values()];
  const named = new Map([...input.objects.namespaces.values()].map((each) => [each.name, each.labels]));
  for (const { namespace } of [...services, ...input.pods.map((pod) => pod.plan)]) {
    if (!named.has(namespace)) named.set(namespace, {});
  }
  return create(RegistryReportSchema, {
    sequence: input.sequence,
    namespaces: [...named].sort(byFirst).map(([name, labels]) => ({ name, labels })),
    services: services.map((service) => reportService(service, input)),
    workloads: input.pods.map((pod) => reportPod(pod, input)),
    credentials: [...input.objects.credentials.values()]
      .filter(({ values }) => Object.keys(values).length > 0)
      .map(({ namespace, name, values }) => ({ namespace, name, values: { ...values } })),
  });
}

function byFirst(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1;
}

function reportService(service: KubeService, { objects, clusterIps }: ReportInput): Service {
  const { namespace, name, labels, annotations, selector, headless, nodeLocal, trafficDistribution } = service;
  const ports = service.ports.map((port) => ({
    name: port.name,
    port: port.port,
    // A name that no pod has yet: the service's own number stands in until one does.
    targetPort: resolveTargetPort(port.targetPort, service, objects.deployments.values()) ?? port.port,
    appProtocol: port.appProtocol,
  }));
  return create(ServiceSchema, {
    namespace,
    name,
    labels,
    annotations,
    selector,
    ports,
    headless,
    nodeLocal,
    trafficDistribution: trafficDistribution ?? '',
    clusterIps: [...clusterIps(service)],
  });
}

function reportPod(pod: Pod, input: ReportInput): Workload {
  const { plan } = pod;
  const { template } = plan.deployment;
  return create(WorkloadSchema, {
    name: plan.name,
    namespace: plan.namespace,
    labels: { ...template.labels },
    annotations: { ...template.annotations },
    serviceAccount: template.serviceAccount,
    workloadName: plan.deployment.name,
    address: pod.ips[0]!,
    otherAddresses: pod.ips.slice(1),
    takesEveryPort: pod.intercepted,
    ports: plan.ports
      .filter(({ port }) => pod.appPorts.has(port))
      .map(({ port, name }) => ({ port, name, appPort: pod.appPorts.get(port)! })),
    ready: pod.ready,
    serviceAddresses:
      plan.gateway || pod.intercepted
        ? {}
        : Object.fromEntries(
            [...input.called.map(serviceHost), ...input.entryHosts(plan.namespace).map(({ host }) => host)].map(
              (host) => [host, input.serviceAddress(pod, host)],
            ),
          ),
    gateway: plan.gateway,
    extraBindAddresses: plan.gateway && !pod.intercepted ? { ...input.gatewayBindAddresses } : {},
  });
}
