// Resolve: the services of the registry, as declarations.

import type { MeshSnapshot, Service, ServiceEndpoint, Workload } from '../../model.js';
import { oncePerSnapshot } from '../../once-per-snapshot.js';
import { serviceHash } from '../../snapshot.js';
import { stableHash } from '../../stable-hash.js';
import { preferredPlace } from '../locality/preferred-place.js';
import type { Selections } from './selection.js';
import type { EntryEndpoint, PodEndpoint, ServiceAlias, ServiceDeclaration } from './service-declaration.js';

const EXPORT_TO_ANNOTATION = 'networking.istio.io/exportTo';

/** The full host name of a registry service. */
export function serviceHostname(service: { name: string; namespace: string }, clusterDomain: string): string {
  return `${service.name}.${service.namespace}.svc.${clusterDomain}`;
}

/** A pod by the name under which it can be called, which makes it a service of its own. */
interface Member {
  readonly name: string;
  readonly pod: Workload;
  readonly podEndpoints?: readonly PodEndpoint[];
}

/** In a cluster DNS knows those that have a hostname; in local mode each pod is called by its name. */
function membersOf({ workloads, podEndpoints }: ServiceDeclaration): readonly Member[] {
  if (podEndpoints === undefined) return workloads.map((pod) => ({ name: pod.name, pod }));
  return podEndpoints
    .filter(({ hostname }) => hostname !== '')
    .map((endpoint) => ({ name: endpoint.hostname, pod: endpoint.workload, podEndpoints: [endpoint] }));
}

/** The pods of a headless service, as services of their own: whoever calls one by name means that one. */
function memberServices(headless: ServiceDeclaration): ServiceDeclaration[] {
  const { hostname, name, hash } = headless;
  return membersOf(headless).map((member) => ({
    ...headless,
    hostname: `${member.name}.${hostname}`,
    name: `${member.name}.${name}`,
    workloads: [member.pod],
    podEndpoints: member.podEndpoints,
    entries: [],
    memberOf: { hostname, name },
    headless: false,
    hash: stableHash([hash, member.name]),
  }));
}

const workloadsByName = oncePerSnapshot(
  ({ workloads }) => new Map(workloads.map((workload) => [`${workload.namespace}/${workload.name}`, workload])),
);

/** An address that somebody wrote down: nothing is known of who answers there, so it is called in plain text. */
function writtenEndpoint({ namespace, name }: Service, endpoint: ServiceEndpoint): EntryEndpoint {
  return {
    name,
    namespace,
    address: endpoint.addresses[0] ?? '',
    ports: endpoint.ports,
    labels: {},
    weight: 1,
    locality: '',
    serviceAccount: '',
    mutualTls: false,
    ready: endpoint.ready,
    node: endpoint.node,
    namedPortsOnly: true,
  };
}

/** Who answers for a service of a cluster. A pod that is not known yet is left out: how it is to be called is not known. */
function answerersOf(
  snapshot: MeshSnapshot,
  service: Service,
  endpoints: readonly ServiceEndpoint[],
): { readonly pods: readonly PodEndpoint[]; readonly written: readonly EntryEndpoint[] } {
  const byName = workloadsByName(snapshot);
  const pods = endpoints.flatMap(({ pod, addresses, ports, ready, hostname }) => {
    const workload = byName.get(pod);
    const [address] = addresses;
    return workload === undefined || address === undefined ? [] : [{ workload, address, ports, ready, hostname }];
  });
  const written = endpoints.filter(({ pod }) => pod === '').map((endpoint) => writtenEndpoint(service, endpoint));
  return { pods, written };
}

/** In the order of the snapshot, each headless service followed by its pods. Those that are only names are aliases. */
export function registryServices(snapshot: MeshSnapshot, selections: Selections): ServiceDeclaration[] {
  return snapshot.services.flatMap((service) => {
    if (service.externalName !== undefined) return [];
    const { namespace, name, ports, selector, annotations, headless = false, nodeLocal = false } = service;
    const exportTo = annotations[EXPORT_TO_ANNOTATION];
    const selected = selections.workloads(namespace, selector);
    const answerers = service.endpoints && answerersOf(snapshot, service, service.endpoints);
    const answering = answerers?.pods.map(({ workload }) => workload) ?? [];
    const declaration: ServiceDeclaration = {
      kind: 'Service',
      hostname: serviceHostname(service, snapshot.clusterDomain),
      namespace,
      name,
      ports,
      exportTo: exportTo?.split(',').map((target) => target.trim()),
      resolution: 'EDS',
      external: false,
      addresses: service.clusterIps ?? [],
      subjectAltNames: [],
      workloads: answering.length === 0 ? selected : [...new Set([...selected, ...answering])],
      podEndpoints: answerers?.pods,
      entries: [...selections.entries(namespace, selector), ...(answerers?.written ?? [])],
      headless,
      nodeLocal,
      prefers: preferredPlace(service.trafficDistribution, annotations),
      hash: serviceHash(service),
    };
    return headless ? [declaration, ...memberServices(declaration)] : [declaration];
  });
}

/** The host that a Service of type ExternalName means; other such services may stand between. */
function aliasedHost(hostname: string, targets: ReadonlyMap<string, string>): string {
  let host = hostname;
  for (let steps = 0; steps <= targets.size; steps += 1) {
    const next = targets.get(host);
    if (next === undefined) return host;
    host = next;
  }
  return ''; // they mean each other
}

/** Services of type ExternalName by the host that they mean. */
export function aliasesByHost({ services, clusterDomain }: MeshSnapshot): ReadonlyMap<string, readonly ServiceAlias[]> {
  const aliases = services.flatMap(({ externalName, namespace, name }) => {
    if (externalName === undefined) return [];
    const target = externalName.toLowerCase().replace(/\.$/, '');
    return [{ hostname: serviceHostname({ name, namespace }, clusterDomain), namespace, name, target }];
  });
  const targets = new Map(aliases.map(({ hostname, target }) => [hostname, target]));
  const byHost = new Map<string, ServiceAlias[]>();
  for (const { hostname, namespace, name } of aliases) {
    const host = aliasedHost(hostname, targets);
    byHost.set(host, [...(byHost.get(host) ?? []), { hostname, namespace, name }]);
  }
  return byHost;
}
