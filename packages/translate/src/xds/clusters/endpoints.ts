// Build: the endpoints of outbound clusters, from the registry's workloads.

import { create } from '@bufbuild/protobuf';
import { selectorMatches } from '@lateen/istio-config';
import { HealthStatus } from '@lateen/xds-proto/envoy/config/core/v3/health_check_pb.js';
import {
  type LbEndpoint,
  LbEndpointSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { MeshSnapshot, StringMap, Workload } from '../../model.js';
import { once } from '../../once.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { localityOfLabels, parseLocality } from '../../resolve/locality/locality.js';
import { listensOn, type MeshPort, type MeshService, oncePerSnapshot } from '../../resolve/mesh-index.js';
import { effectiveMtlsMode } from '../../resolve/peer-authentication.js';
import type { EntryEndpoint } from '../../resolve/services/service-declaration.js';
import { isSocket, whyUnusable } from '../../resolve/services/workload-entries.js';
import { stableHash, stableJson } from '../../stable-hash.js';
import { endpointAddress } from '../endpoint-address.js';
import type { ResourcePart } from '../recipe.js';
import { callsNameEndpoints } from './cluster-discovery.js';
import { groupByLocality, type LocalityGroup } from './locality-balancing.js';
import { type ClientTraits, type OutboundCluster, outboundClusterPart, outboundClusters } from './outbound-clusters.js';

const CLUSTER_ID = 'Kubernetes';

/** Who answers, as metrics call it where the peer does not tell itself. */
interface Answerer {
  readonly name: string;
  readonly namespace: string;
  readonly labels: StringMap;
}

/** Istio's canonical service of a workload: what metrics call it. */
function canonicalName({ labels, name }: Answerer): string {
  return labels['service.istio.io/canonical-name'] || labels['app.kubernetes.io/name'] || labels.app || name;
}

function canonicalRevision({ labels }: Answerer): string {
  return (
    labels['service.istio.io/canonical-revision'] || labels['app.kubernetes.io/version'] || labels.version || 'latest'
  );
}

/** `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`: the peer's identity for metrics where it does not tell itself. */
function workloadMetadata(answerer: Answerer): string {
  const { name, namespace } = answerer;
  return [name, namespace, canonicalName(answerer), canonicalRevision(answerer), CLUSTER_ID].join(';');
}

/** A gateway's listeners take plain text; a sidecar's take mutual TLS unless its policy turns that off. */
function takesMutualTls(snapshot: MeshSnapshot, workload: Workload, port: number): boolean {
  const { mutualTls = !workload.gateway } = workload;
  return mutualTls && effectiveMtlsMode(snapshot, workload, port) !== 'DISABLE';
}

/** What an LbEndpoint is made of. */
interface EndpointFacts {
  readonly address: string;
  readonly port: number;
  readonly mutualTls: boolean;
  readonly weight: number;
  readonly workload: string;
}

/** Somebody who answers at a service port. */
interface ReadyEndpoint {
  readonly labels: StringMap;
  /** `REGION/ZONE/SUBZONE`, or empty. */
  readonly locality: string;
  readonly weight: number;
  readonly node?: string;
  readonly mutualTls: boolean;
  /** What its LbEndpoint is made of. */
  readonly key: string;
  readonly build: () => LbEndpoint;
}

function readyEndpoint(labels: StringMap, locality: string, facts: EndpointFacts): ReadyEndpoint {
  return {
    labels,
    locality,
    weight: facts.weight,
    mutualTls: facts.mutualTls,
    key: JSON.stringify([facts, locality]),
    build: once(() => buildEndpoint(facts)),
  };
}

function podEndpoint(
  snapshot: MeshSnapshot,
  workload: Workload,
  port: number,
  address: string = workload.address,
): ReadyEndpoint {
  const { labels, namespace } = workload;
  const answerer = { name: workload.workloadName || workload.name, namespace, labels };
  const mutualTls = takesMutualTls(snapshot, workload, port);
  const facts = { address, port, mutualTls, weight: 1, workload: workloadMetadata(answerer) };
  const locality = workload.locality || localityOfLabels(labels);
  return { ...readyEndpoint(labels, locality, facts), node: workload.node ?? '' };
}

/** The pods that answer at a port, each address and port once. */
function podEndpoints(snapshot: MeshSnapshot, service: MeshService, port: MeshPort): readonly ReadyEndpoint[] {
  if (service.podEndpoints === undefined) {
    return service.workloads
      .filter((workload) => workload.ready && listensOn(snapshot, workload, port.targetPort))
      .map((workload) => podEndpoint(snapshot, workload, port.targetPort));
  }
  return service.podEndpoints.flatMap(({ workload, address, ports, ready }) => {
    const number = ports[port.name];
    return ready && number !== undefined ? [podEndpoint(snapshot, workload, number, address)] : [];
  });
}

/** As in Istio: the port that the endpoint has for the name, else the target port; names are never called with mutual TLS. */
function entryEndpoint(
  snapshot: MeshSnapshot,
  { resolution }: MeshService,
  meshPort: MeshPort,
  entry: EntryEndpoint,
): ReadyEndpoint {
  const port = entry.ports[meshPort.name] || meshPort.targetPort;
  const { labels, address, weight, locality } = entry;
  if (isSocket(address)) {
    const facts = { address, port: 0, mutualTls: false, weight, workload: workloadMetadata(entry) };
    return readyEndpoint(labels, locality, facts);
  }
  const mutualTls = entry.mutualTls && resolution === 'EDS' && effectiveMtlsMode(snapshot, entry, port) !== 'DISABLE';
  return readyEndpoint(labels, locality, { address, port, mutualTls, weight, workload: workloadMetadata(entry) });
}

function buildEndpoint({ address, port, mutualTls, weight, workload }: EndpointFacts): LbEndpoint {
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: { address: endpointAddress(address, port) },
    },
    healthStatus: HealthStatus.HEALTHY,
    loadBalancingWeight: weight,
    metadata: {
      filterMetadata: {
        ...(mutualTls ? { 'envoy.transport_socket_match': { tlsMode: 'istio' } } : {}),
        istio: { workload },
      },
    },
  });
}

/** The endpoints of one cluster. */
interface EndpointSet {
  readonly key: string;
  readonly endpoints: readonly ReadyEndpoint[];
}

/** What is known of a snapshot's endpoints so far: the same for all proxies. */
const knownEndpoints = oncePerSnapshot(() => ({
  byPort: new Map<MeshPort, readonly ReadyEndpoint[]>(),
  /** By service port and the labels of a subset. */
  sets: new Map<MeshPort, Map<string, EndpointSet>>(),
}));

function readyEndpoints(snapshot: MeshSnapshot, service: MeshService, port: MeshPort): readonly ReadyEndpoint[] {
  const { byPort } = knownEndpoints(snapshot);
  let endpoints = byPort.get(port);
  if (endpoints === undefined) {
    const entries = service.entries
      .filter((entry) => entry.ready && answersAt(entry, port) && isUsable(service, entry.address))
      .map((entry) => entryEndpoint(snapshot, service, port, entry));
    endpoints = [...podEndpoints(snapshot, service, port), ...entries];
    byPort.set(port, endpoints);
  }
  return endpoints;
}

function answersAt({ servesOnly, namedPortsOnly, ports }: EntryEndpoint, { port, name }: MeshPort): boolean {
  return (servesOnly?.includes(port) ?? true) && (namedPortsOnly !== true || ports[name] !== undefined);
}

function isUsable({ resolution }: MeshService, address: string): boolean {
  return whyUnusable(address, resolution === 'EDS') === undefined;
}

/** Ready workloads of the service whose labels are the subset's; none is a valid answer. */
function endpointSet(
  snapshot: MeshSnapshot,
  { service, port, subset }: Pick<OutboundCluster, 'service' | 'port' | 'subset'>,
): EndpointSet {
  const { sets } = knownEndpoints(snapshot);
  const bySubset = sets.get(port) ?? new Map<string, EndpointSet>();
  sets.set(port, bySubset);
  const labels = stableJson(subset?.labels ?? {});
  let set = bySubset.get(labels);
  if (set === undefined) {
    const endpoints = readyEndpoints(snapshot, service, port).filter((endpoint) =>
      selectorMatches(subset?.labels, endpoint.labels),
    );
    set = { key: stableHash(endpoints.map(({ key }) => key)), endpoints };
    bySubset.set(labels, set);
  }
  return set;
}

function buildAssignment(clusterName: string, groups: readonly LocalityGroup<ReadyEndpoint>[]): ClusterLoadAssignment {
  return create(ClusterLoadAssignmentSchema, {
    clusterName,
    endpoints: groups.map(({ locality, priority, weight, endpoints }) => ({
      locality: parseLocality(locality),
      priority,
      lbEndpoints: endpoints.map(({ build }) => build()),
      loadBalancingWeight: weight,
    })),
  });
}

/** The endpoints of a cluster as one client sees them; `key` is that of the whole. */
function arrangedEndpoints(
  snapshot: MeshSnapshot,
  cluster: Pick<OutboundCluster, 'service' | 'port' | 'subset' | 'arrangement'>,
): { readonly key: string; groups(): readonly LocalityGroup<ReadyEndpoint>[] } {
  const { key, endpoints } = endpointSet(snapshot, cluster);
  const { arrangement } = cluster;
  if (arrangement === undefined) return { key, groups: () => groupByLocality(endpoints, undefined) };
  // Clients whose groups are the same share the resource, wherever they are.
  const groups = groupByLocality(endpoints, arrangement);
  const layout = groups.map((group) => [group.priority, group.weight, group.endpoints.map((each) => each.key)]);
  return { key: `${key}/${stableHash(layout)}`, groups: () => groups };
}

/** Whether a client that has chosen one of them by itself may call it by mutual TLS, whichever it is. */
export function allTakeMutualTls(snapshot: MeshSnapshot, service: MeshService, port: MeshPort): boolean {
  const endpoints = readyEndpoints(snapshot, service, port);
  return endpoints.length > 0 && endpoints.every(({ mutualTls }) => mutualTls);
}

/**
 * The endpoints that a cluster of DNS names carries itself. LOGICAL_DNS takes one: the first.
 */
export function entryAssignment(
  snapshot: MeshSnapshot,
  cluster: Pick<OutboundCluster, 'name' | 'service' | 'port' | 'subset' | 'arrangement'>,
): ClusterLoadAssignment {
  const { name, service } = cluster;
  if (service.resolution !== 'LOGICAL_DNS') return buildAssignment(name, arrangedEndpoints(snapshot, cluster).groups());
  const { endpoints } = endpointSet(snapshot, cluster);
  return buildAssignment(name, groupByLocality(endpoints.slice(0, 1), undefined));
}

/** Kinds that endpoints are made of, beside the registry's pods. */
const READ = ['PeerAuthentication', 'ServiceEntry', 'Sidecar', 'WorkloadEntry'] as const;

/**
 * The load assignments of a scope's outbound clusters. A change of workloads lists them anew; made again are only those
 * whose endpoints changed.
 */
export function endpointPart(scope: ClientScope, traits?: ClientTraits): ResourcePart<ClusterLoadAssignment> {
  const { snapshot } = scope;
  const { workloads, configs } = snapshot.hashes;
  return {
    key: [
      'endpoints',
      outboundClusterPart(scope, traits).key,
      workloads,
      ...READ.map((kind) => configs.get(kind) ?? ''),
    ].join('/'),
    list: () => ({
      recipes: [...outboundClusters(scope, traits).byName.values()]
        .filter(({ closed, service }) => !closed && service.resolution === 'EDS')
        .filter(({ service }) => !callsNameEndpoints(service, traits?.intercepted === true))
        .map((cluster) => {
          const { key, groups } = arrangedEndpoints(snapshot, cluster);
          return {
            name: cluster.name,
            key: `${cluster.name}/${key}`,
            build: () => buildAssignment(cluster.name, groups()),
          };
        }),
      problems: [],
    }),
  };
}
