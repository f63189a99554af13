// Kubernetes: a pod as the registry's workload.

import type { Node, Pod, PodContainer } from '@lateen/kubernetes';
import type { StringMap, Workload, WorkloadPort } from '@lateen/translate';

/** Istio's name of the container with the proxy. */
const PROXY_CONTAINER = 'istio-proxy';
/** Set by who puts the sidecar into the pod; calls to pods without it are in plain text. */
const TLS_MODE_LABEL = 'security.istio.io/tlsMode';
const POD_LOCALITY_LABEL = 'istio-locality';

/** The last of each are those of older clusters. */
const REGION_LABELS = ['topology.kubernetes.io/region', 'failure-domain.beta.kubernetes.io/region'];
const ZONE_LABELS = ['topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/zone'];
const SUBZONE_LABELS = ['topology.istio.io/subzone'];

/** `REGION/ZONE/SUBZONE` of a node, empty where its labels say nothing. */
export function localityOfNode(node: Node | undefined): string {
  const labels = node?.metadata.labels ?? {};
  const parts = [REGION_LABELS, ZONE_LABELS, SUBZONE_LABELS].map(
    (names) => names.map((name) => labels[name] ?? '').find((value) => value !== '') ?? '',
  );
  return parts.every((part) => part === '') ? '' : parts.join('/');
}

/** Jobs that a CronJob makes end in the minute that they were due. */
const CRON_JOB = /^(.+)-\d{8,10}$/;

/** As in Istio: what the user made, of which the cluster made what owns the pod. */
export function workloadNameOf({ metadata }: Pod): string {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined) return metadata.name;
  const labels = metadata.labels ?? {};
  switch (owner.kind) {
    case 'ReplicaSet':
      return withoutSuffix(owner.name, labels['pod-template-hash'] ?? labels['rollouts-pod-template-hash']);
    case 'ReplicationController':
      return labels.deploymentconfig ?? owner.name;
    case 'Job':
      return CRON_JOB.exec(owner.name)?.[1] ?? owner.name;
    default:
      return owner.name;
  }
}

function withoutSuffix(name: string, hash: string | undefined): string {
  return hash !== undefined && name.endsWith(`-${hash}`) ? name.slice(0, -hash.length - 1) : name;
}

/** Init containers that go on running are as good as others. */
function runningContainers({ spec = {} }: Pod): readonly PodContainer[] {
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...(spec.containers ?? []), ...sidecars];
}

export interface ContainerPort {
  readonly name: string;
  readonly port: number;
}

/** The ports over TCP that a pod's containers declare, by whose names services may lead to them. */
export function containerPorts(pod: Pod): readonly ContainerPort[] {
  return runningContainers(pod)
    .flatMap(({ ports = [] }) => ports)
    .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
    .map(({ name = '', containerPort }) => ({ name, port: containerPort }));
}

/** A gateway's proxy is told so on its command line. */
function isGateway(pod: Pod): boolean {
  return runningContainers(pod).some(({ name, args = [] }) => name === PROXY_CONTAINER && args.includes('router'));
}

/** All addresses of a pod, the first of which is the one that it calls from; none before it has one, or once it has ended. */
export function addressesOfPod({ status = {} }: Pod): readonly string[] {
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return [];
  const addresses = (status.podIPs ?? []).map(({ ip }) => ip);
  return addresses.length > 0 ? addresses : status.podIP ? [status.podIP] : [];
}

/**
 * The workload of a pod; undefined as long as nobody could call it, and once it has ended.
 *
 * @param nodeLocality where its node is
 * @param ports at which services lead to it
 */
export function workloadOfPod(pod: Pod, nodeLocality: string, ports: readonly WorkloadPort[]): Workload | undefined {
  const [address, ...otherAddresses] = addressesOfPod(pod);
  if (address === undefined) return undefined;
  const { metadata, spec = {}, status = {} } = pod;
  const labels: StringMap = metadata.labels ?? {};
  const isReady = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
  const locality = labels[POD_LOCALITY_LABEL] ? '' : nodeLocality;
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    labels,
    annotations: metadata.annotations ?? {},
    serviceAccount: spec.serviceAccountName || 'default',
    workloadName: workloadNameOf(pod),
    address,
    ...(otherAddresses.length > 0 && { otherAddresses }),
    ports,
    ready: isReady && metadata.deletionTimestamp === undefined,
    serviceAddresses: {},
    gateway: isGateway(pod),
    ...(locality !== '' && { locality }),
    extraBindAddresses: {},
    node: spec.nodeName ?? '',
    mutualTls: labels[TLS_MODE_LABEL] === 'istio',
    takesEveryPort: true,
    ...(spec.hostNetwork === true && { sharesAddress: true }),
  };
}
