// Kubernetes: a Service and its EndpointSlices as the registry's service.

import { isIPv6 } from 'node:net';
import type { EndpointSlice, Service as KubeService, SliceEndpoint } from '@lateen/kubernetes';
import type { Service, ServiceEndpoint, ServicePort } from '@lateen/translate';

/** The label by which a slice says whose it is. */
export const SERVICE_OF_SLICE = 'kubernetes.io/service-name';

type KubeServicePort = NonNullable<NonNullable<KubeService['spec']>['ports']>[number];

function servicePort({ name = '', port, targetPort = 0, appProtocol = '' }: KubeServicePort): ServicePort {
  const target = typeof targetPort === 'string' ? { targetPort: 0, targetPortName: targetPort } : { targetPort };
  return { name, port, ...target, appProtocol };
}

/** Of an endpoint without a reference the pod is found by its address, if it has that for itself. */
export type PodByAddress = (address: string) => string | undefined;

/** `NAMESPACE/NAME` of the pod that an endpoint is; empty where it is none. */
function podOf({ targetRef, addresses }: SliceEndpoint, namespace: string, podByAddress: PodByAddress): string {
  if (targetRef?.kind === 'Pod') return `${targetRef.namespace ?? namespace}/${targetRef.name ?? ''}`;
  return podByAddress(addresses[0] ?? '') ?? '';
}

/** A port without a number stands for all of them, which calls cannot be sent to. */
function portsOf({ ports }: EndpointSlice): Record<string, number> {
  const numbers = (ports ?? []).flatMap(({ name = '', port, protocol = 'TCP' }) =>
    port === undefined || protocol !== 'TCP' ? [] : [[name, port] as const],
  );
  return Object.fromEntries(numbers);
}

/** The families of addresses, the service's first one first. */
function familiesOf({ spec = {} }: KubeService): readonly string[] {
  const first = spec.ipFamilies?.[0] ?? (isIPv6(spec.clusterIPs?.[0] ?? '') ? 'IPv6' : 'IPv4');
  return first === 'IPv6' ? ['IPv6', 'IPv4'] : ['IPv4', 'IPv6'];
}

/** What slices say of one endpoint: a pod may be in one of each family, and while it moves from one to another in both. */
function joined(before: ServiceEndpoint | undefined, next: ServiceEndpoint): ServiceEndpoint {
  if (before === undefined) return next;
  return {
    ...before,
    addresses: [...new Set([...before.addresses, ...next.addresses])],
    ports: { ...before.ports, ...next.ports },
    ready: before.ready || next.ready,
  };
}

/**
 * Everybody who answers for a service. Whether an endpoint takes new calls is the cluster's word: that of a service with
 * `publishNotReadyAddresses` always does, one that is about to end does not.
 */
export function endpointsOf(
  service: KubeService,
  slices: readonly EndpointSlice[],
  podByAddress: PodByAddress,
): readonly ServiceEndpoint[] {
  const families = familiesOf(service);
  const namespace = service.metadata.namespace ?? '';
  const known = slices.filter(({ addressType }) => families.includes(addressType));
  // By name too, so that the result does not depend on the order in which slices came.
  const sorted = [...known].sort(
    (a, b) =>
      families.indexOf(a.addressType) - families.indexOf(b.addressType) || (a.metadata.name < b.metadata.name ? -1 : 1),
  );
  const byWho = new Map<string, ServiceEndpoint>();
  for (const slice of sorted) {
    const ports = portsOf(slice);
    for (const endpoint of slice.endpoints ?? []) {
      const [address] = endpoint.addresses; // the others mean the same one
      if (address === undefined) continue;
      const pod = podOf(endpoint, namespace, podByAddress);
      const who = pod === '' ? address : pod;
      byWho.set(
        who,
        joined(byWho.get(who), {
          addresses: [address],
          ports,
          ready: endpoint.conditions?.ready ?? true,
          pod,
          hostname: endpoint.hostname ?? '',
          node: endpoint.nodeName ?? '',
        }),
      );
    }
  }
  return [...byWho.values()];
}

/** Whether who answers for a service depends on which pods there are. */
export function isFoundByAddress(slices: readonly EndpointSlice[]): boolean {
  return slices.some(({ endpoints }) => endpoints?.some(({ targetRef }) => targetRef?.kind !== 'Pod') === true);
}

/** A Service as the registry has it. Ports over UDP and SCTP are no concern of a proxy for TCP. */
export function serviceOfCluster(
  service: KubeService,
  slices: readonly EndpointSlice[],
  podByAddress: PodByAddress,
): Service {
  const { metadata, spec = {} } = service;
  const named = {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
  };
  if (spec.type === 'ExternalName') {
    return { ...named, selector: {}, ports: [], externalName: spec.externalName ?? '' };
  }
  const clusterIps = (spec.clusterIPs ?? [spec.clusterIP ?? '']).filter(
    (address) => address !== '' && address !== 'None',
  );
  return {
    ...named,
    selector: spec.selector ?? {},
    ports: (spec.ports ?? []).filter(({ protocol = 'TCP' }) => protocol === 'TCP').map(servicePort),
    headless: spec.clusterIP === 'None',
    nodeLocal: spec.internalTrafficPolicy === 'Local',
    trafficDistribution: spec.trafficDistribution ?? '',
    clusterIps,
    endpoints: endpointsOf(service, slices, podByAddress),
  };
}
