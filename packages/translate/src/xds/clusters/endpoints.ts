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
import type { MeshSnapshot, Workload } from '../../model.js';
import { once } from '../../once.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { listensOn, type MeshPort, type MeshService, oncePerSnapshot } from '../../resolve/mesh-index.js';
import { effectiveMtlsMode } from '../../resolve/peer-authentication.js';
import { stableHash, stableJson } from '../../stable-hash.js';
import type { ResourcePart } from '../recipe.js';
import { type OutboundCluster, outboundClusterPart, outboundClusters } from './outbound-clusters.js';

const CLUSTER_ID = 'Kubernetes';

/** Istio's canonical service of a workload: what metrics call it. */
function canonicalName({ labels, workloadName }: Workload): string {
  return labels['service.istio.io/canonical-name'] || labels['app.kubernetes.io/name'] || labels.app || workloadName;
}

function canonicalRevision({ labels }: Workload): string {
  return (
    labels['service.istio.io/canonical-revision'] || labels['app.kubernetes.io/version'] || labels.version || 'latest'
  );
}

/** `NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER`: the peer's identity for metrics where it does not tell itself. */
function workloadMetadata(workload: Workload): string {
  const { workloadName, name, namespace } = workload;
  const parts = [workloadName || name, namespace, canonicalName(workload), canonicalRevision(workload), CLUSTER_ID];
  return parts.join(';');
}

/** A gateway's listeners take plain text; a sidecar's take mutual TLS unless its policy turns that off. */
function takesMutualTls(snapshot: MeshSnapshot, workload: Workload, port: number): boolean {
  return !workload.gateway && effectiveMtlsMode(snapshot, workload, port) !== 'DISABLE';
}

/** A ready workload that a service port leads to. */
interface ReadyEndpoint {
  readonly workload: Workload;
  /** What its LbEndpoint is made of. */
  readonly key: string;
  readonly build: () => LbEndpoint;
}

function readyEndpoint(snapshot: MeshSnapshot, workload: Workload, port: number): ReadyEndpoint {
  const mutualTls = takesMutualTls(snapshot, workload, port);
  return {
    workload,
    key: JSON.stringify([workload.address, port, mutualTls, workloadMetadata(workload)]),
    build: once(() => buildEndpoint(workload, port, mutualTls)),
  };
}

function buildEndpoint(workload: Workload, port: number, mutualTls: boolean): LbEndpoint {
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: {
        address: {
          address: {
            case: 'socketAddress',
            value: { address: workload.address, portSpecifier: { case: 'portValue', value: port } },
          },
        },
      },
    },
    healthStatus: HealthStatus.HEALTHY,
    loadBalancingWeight: 1,
    metadata: {
      filterMetadata: {
        ...(mutualTls ? { 'envoy.transport_socket_match': { tlsMode: 'istio' } } : {}),
        istio: { workload: workloadMetadata(workload) },
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
    endpoints = service.workloads
      .filter((workload) => workload.ready && listensOn(workload, port.targetPort))
      .map((workload) => readyEndpoint(snapshot, workload, port.targetPort));
    byPort.set(port, endpoints);
  }
  return endpoints;
}

/** Ready workloads of the service whose labels are the subset's; none is a valid answer. */
function endpointSet(snapshot: MeshSnapshot, { service, port, subset }: OutboundCluster): EndpointSet {
  const { sets } = knownEndpoints(snapshot);
  const bySubset = sets.get(port) ?? new Map<string, EndpointSet>();
  sets.set(port, bySubset);
  const labels = stableJson(subset?.labels ?? {});
  let set = bySubset.get(labels);
  if (set === undefined) {
    const endpoints = readyEndpoints(snapshot, service, port).filter(({ workload }) =>
      selectorMatches(subset?.labels, workload.labels),
    );
    set = { key: stableHash(endpoints.map(({ key }) => key)), endpoints };
    bySubset.set(labels, set);
  }
  return set;
}

function buildAssignment(clusterName: string, endpoints: readonly ReadyEndpoint[]): ClusterLoadAssignment {
  const lbEndpoints = endpoints.map(({ build }) => build());
  return create(ClusterLoadAssignmentSchema, {
    clusterName,
    endpoints: lbEndpoints.length === 0 ? [] : [{ locality: {}, lbEndpoints, loadBalancingWeight: lbEndpoints.length }],
  });
}

/**
 * The load assignments of a scope's outbound clusters. A change of workloads lists them anew; made again are only those
 * whose endpoints changed.
 */
export function endpointPart(scope: ClientScope): ResourcePart<ClusterLoadAssignment> {
  const { snapshot } = scope;
  const { workloads, configs } = snapshot.hashes;
  return {
    key: ['endpoints', outboundClusterPart(scope).key, workloads, configs.get('PeerAuthentication') ?? ''].join('/'),
    list: () => ({
      recipes: [...outboundClusters(scope).byName.values()]
        .filter(({ closed }) => !closed)
        .map((cluster) => {
          const { key, endpoints } = endpointSet(snapshot, cluster);
          return {
            name: cluster.name,
            key: `${cluster.name}/${key}`,
            build: () => buildAssignment(cluster.name, endpoints),
          };
        }),
      problems: [],
    }),
  };
}
