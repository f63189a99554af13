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
import { listensOn, type MeshPort, type MeshService, oncePerSnapshot } from '../../resolve/mesh-index.js';
import { effectiveMtlsMode } from '../../resolve/peer-authentication.js';
import type { OutboundCluster } from './outbound-clusters.js';

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

function buildEndpoint(snapshot: MeshSnapshot, workload: Workload, port: number): LbEndpoint {
  const mutualTls = takesMutualTls(snapshot, workload, port);
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

interface ReadyEndpoint {
  readonly workload: Workload;
  readonly endpoint: LbEndpoint;
}

/** The endpoints of each service port, made once for all subsets and all proxies. */
const endpointsByPort = oncePerSnapshot(() => new Map<MeshService, Map<MeshPort, readonly ReadyEndpoint[]>>());

function readyEndpoints(snapshot: MeshSnapshot, service: MeshService, port: MeshPort): readonly ReadyEndpoint[] {
  const known = endpointsByPort(snapshot);
  const byPort = known.get(service) ?? new Map<MeshPort, readonly ReadyEndpoint[]>();
  known.set(service, byPort);
  let endpoints = byPort.get(port);
  if (endpoints === undefined) {
    endpoints = service.workloads
      .filter((workload) => workload.ready && listensOn(workload, port.targetPort))
      .map((workload) => ({ workload, endpoint: buildEndpoint(snapshot, workload, port.targetPort) }));
    byPort.set(port, endpoints);
  }
  return endpoints;
}

/** The load assignment of a cluster: ready workloads of the service whose labels are the subset's; none is a valid answer. */
export function buildEndpoints(snapshot: MeshSnapshot, cluster: OutboundCluster): ClusterLoadAssignment {
  const { service, port, subset } = cluster;
  const lbEndpoints = readyEndpoints(snapshot, service, port)
    .filter(({ workload }) => selectorMatches(subset?.labels, workload.labels))
    .map(({ endpoint }) => endpoint);
  return create(ClusterLoadAssignmentSchema, {
    clusterName: cluster.name,
    endpoints: lbEndpoints.length === 0 ? [] : [{ locality: {}, lbEndpoints, loadBalancingWeight: lbEndpoints.length }],
  });
}
