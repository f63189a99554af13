// Kubernetes: what Pilot asks the API server for, and how much of each object it keeps.

import type {
  EndpointSlice,
  KubeObject,
  Namespace,
  Node,
  ObjectMeta,
  Pod,
  PodContainer,
  Service,
} from '@lateen/kubernetes';

/** What a cluster's registry is made of. The objects are never changed: another object of the name replaces one. */
export interface ClusterObjects {
  readonly namespaces: readonly Namespace[];
  readonly nodes: readonly Node[];
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly pods: readonly Pod[];
}

/** Annotations that the mesh may read; all others are of no use here, and some are large. */
const READ_ANNOTATIONS = /(^|\.)(istio|lateen)\.io\//;

function keepMetadata({ metadata }: KubeObject): ObjectMeta {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, labels } = metadata;
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([key]) => READ_ANNOTATIONS.test(key));
  return {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    ...(labels !== undefined && { labels }),
    ...(annotations.length > 0 && { annotations: Object.fromEntries(annotations) }),
  };
}

function keepContainer({ name, args, ports, restartPolicy }: PodContainer): PodContainer {
  return {
    name,
    ...(name === 'istio-proxy' && args !== undefined && { args }),
    ...(ports !== undefined && { ports }),
    ...(restartPolicy !== undefined && { restartPolicy }),
  };
}

/** A pod's phase and conditions tell much more than is read of them here. */
export function keepPod(pod: Pod): Pod {
  const { spec = {}, status = {} } = pod;
  const { nodeName, serviceAccountName, hostNetwork, containers, initContainers } = spec;
  const { phase, podIP, podIPs, conditions } = status;
  const owners = (pod.metadata.ownerReferences ?? []).filter(({ controller }) => controller === true);
  return {
    metadata: { ...keepMetadata(pod), ...(owners.length > 0 && { ownerReferences: owners }) },
    spec: {
      ...(nodeName !== undefined && { nodeName }),
      ...(serviceAccountName !== undefined && { serviceAccountName }),
      ...(hostNetwork !== undefined && { hostNetwork }),
      ...(containers !== undefined && { containers: containers.map(keepContainer) }),
      ...(initContainers !== undefined && { initContainers: initContainers.map(keepContainer) }),
    },
    status: {
      ...(phase !== undefined && { phase }),
      ...(podIP !== undefined && { podIP }),
      ...(podIPs !== undefined && { podIPs }),
      conditions: (conditions ?? []).flatMap(({ type, status: is }) =>
        type === 'Ready' ? [{ type, status: is }] : [],
      ),
    },
  };
}

/** Of nodes only the labels are read, which hardly ever change; their status does all the time. */
export function keepNode(node: Node): Node {
  return { metadata: keepMetadata(node) };
}

export function keepNamespace(namespace: Namespace): Namespace {
  return { metadata: keepMetadata(namespace) };
}

export function keepService(service: Service): Service {
  return { metadata: keepMetadata(service), ...(service.spec !== undefined && { spec: service.spec }) };
}

export function keepEndpointSlice(slice: EndpointSlice): EndpointSlice {
  const { addressType, endpoints, ports } = slice;
  return {
    metadata: keepMetadata(slice),
    addressType,
    ...(ports !== undefined && { ports }),
    ...(endpoints !== undefined && { endpoints }),
  };
}
