// Explain: the mesh that documents describe, as `local up` would report it to Pilot, with nothing running: every replica of
// every Deployment is a pod that is ready.

import { type ConfigObject, type MeshConfig, type Problem, readSecretValues } from '@lateen/istio-config';
import { addressedHosts, buildSnapshot, type MeshSnapshot, type Service, type Workload } from '@lateen/translate';
import { isKubernetesObject } from '../documents/split-documents.js';
import { calledServices } from '../kubernetes/called-services.js';
import { type KubeCredential, type KubeDeployment, type KubeService, serviceHost } from '../kubernetes/objects.js';
import { readKubeObject } from '../kubernetes/read-object.js';
import { GATEWAY_POD, GATEWAY_SERVICE } from '../supervisor/pods/gateway-pod.js';
import { planPods, resolveTargetPort } from '../supervisor/pods/pod-plan.js';
import { DEFAULT_PROBE } from '../supervisor/pods/probe.js';

/** Addresses that stand for pods and services: they only have to differ. */
const POD_BLOCK = 64;
const SERVICE_BLOCK = 128;

/** @param objects valid documents of both families */
export function meshOfDocuments(objects: readonly ConfigObject[], meshConfig: MeshConfig | undefined): MeshSnapshot {
  const kubernetes = objects.filter(isKubernetesObject);
  const services = [...kubernetes.flatMap(kubeService), GATEWAY_SERVICE];
  const deployments = kubernetes.flatMap((object) => (object.kind === 'Deployment' ? [kubeDeployment(object)] : []));
  const pods = [GATEWAY_POD, ...deployments.flatMap((deployment) => planPods(deployment, services))];
  const perDeployment = new Map<KubeDeployment, number>();
  const workloads = pods.map(({ deployment, namespace, ports, gateway }, index): Workload => {
    const replica = perDeployment.get(deployment) ?? 0;
    perDeployment.set(deployment, replica + 1);
    const { labels, annotations, serviceAccount } = deployment.template;
    return {
      name: `${deployment.name}-${replica}`,
      namespace,
      labels,
      annotations,
      serviceAccount,
      workloadName: deployment.name,
      address: addressAt(POD_BLOCK, index),
      ports: ports.map(({ port, name }) => ({ port, name, appPort: port })),
      ready: true,
      serviceAddresses: {},
      gateway,
      extraBindAddresses: {},
    };
  });
  const named = kubernetes.filter(({ kind }) => kind === 'Namespace');
  const namespaces = new Map(named.map(({ metadata }) => [metadata.name, metadata.labels]));
  for (const { namespace } of [...services, ...workloads]) {
    if (!namespaces.has(namespace)) namespaces.set(namespace, {});
  }
  const input = {
    meshConfig,
    namespaces: [...namespaces].map(([name, labels]) => ({ name, labels })),
    services: services.map((service) => reportedService(service, deployments)),
    workloads,
    credentials: kubernetes.flatMap(kubeCredential),
    configs: objects.filter((object) => !isKubernetesObject(object)),
  };
  // Which hosts of ServiceEntries have addresses is Pilot's to say.
  const hosts = [
    ...calledServices(services, workloads).map(serviceHost),
    ...addressedHosts(buildSnapshot(input)).map(({ host }) => host),
  ];
  const serviceAddresses = Object.fromEntries(hosts.map((host, index) => [host, addressAt(SERVICE_BLOCK, index)]));
  return buildSnapshot({
    ...input,
    workloads: workloads.map((workload) => (workload.gateway ? workload : { ...workload, serviceAddresses })),
  });
}

function addressAt(block: number, index: number): string {
  const host = index + 1;
  return `127.${block + (host >> 16)}.${(host >> 8) & 0xff}.${host & 0xff}`;
}

function kubeService(object: Parameters<typeof readKubeObject>[0]): KubeService[] {
  const problems: Problem[] = [];
  const read = object.kind === 'Service' ? readKubeObject(object, '/', problems) : undefined;
  return read?.kind === 'Service' ? [read.value] : [];
}

function kubeCredential(object: Parameters<typeof readKubeObject>[0]): KubeCredential[] {
  if (object.kind !== 'Secret') return [];
  const read = readKubeObject(object, '/', [], Object.fromEntries(readSecretValues(object) ?? []));
  return read?.kind === 'Secret' ? [read.value] : [];
}

function reportedService(service: KubeService, deployments: readonly KubeDeployment[]): Service {
  const ports = service.ports.map((port) => ({
    ...port,
    targetPort: resolveTargetPort(port.targetPort, service, deployments) ?? port.port,
  }));
  return { ...service, ports };
}

/** What a mesh needs to know of a Deployment; it need not be one that local mode can run. */
function kubeDeployment({ metadata, spec }: ConfigObject<'Deployment'>): KubeDeployment {
  const { template, replicas = 1 } = spec;
  const ports = template.spec.containers.flatMap((container) => container.ports ?? []);
  const { serviceAccountName, serviceAccount } = template.spec;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    labels: metadata.labels,
    replicas: Math.max(0, replicas),
    directory: '/',
    template: {
      labels: template.metadata?.labels ?? {},
      annotations: template.metadata?.annotations ?? {},
      serviceAccount: serviceAccountName || serviceAccount || 'default',
      containerName: template.spec.containers[0]?.name ?? '',
      command: [],
      env: [],
      ports: ports
        .filter((port) => (port.protocol ?? 'TCP') === 'TCP')
        .map((port) => ({ port: port.containerPort, name: port.name ?? '' })),
      readinessProbe: DEFAULT_PROBE,
      terminationGraceMs: 0,
    },
  };
}
