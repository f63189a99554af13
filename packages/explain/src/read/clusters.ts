// Read: the clusters of a route with their endpoints, and how these are called.

import type { ProxyResources, Workload } from '@lateen/translate';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import { type Cluster, Cluster_LbPolicy } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { UpstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { ExplainedEndpoint } from '../explanation.js';
import { type ClusterLimits, clusterLimits } from './cluster-limits.js';

/** An endpoint and the workload that it is, where the registry knows it. */
export interface ClusterEndpoint extends ExplainedEndpoint {
  readonly target: Workload | undefined;
  /** That the handshake with it asks for; empty: none. */
  readonly serverName: string;
}

export interface ClusterFacts {
  readonly cluster: Cluster | undefined;
  readonly loadBalancer: string;
  readonly limits: ClusterLimits;
  readonly endpoints: readonly ClusterEndpoint[];
}

/**
 * What the proxy knows of a cluster.
 *
 * @param requested `HOST[:PORT]` of the request: where a cluster leads that goes where requests say
 */
export function clusterFacts(
  resources: ProxyResources,
  workloads: readonly Workload[],
  name: string,
  requested: string,
): ClusterFacts {
  const cluster = resources.clusters.find((each) => each.name === name)?.message;
  const limits = clusterLimits(cluster);
  if (cluster === undefined) return { cluster, loadBalancer: '', limits, endpoints: [] };
  const assignment = resources.endpoints.find((each) => each.name === name)?.message ?? cluster.loadAssignment;
  // Envoy's dynamic forward proxy is the one custom type that a proxy takes.
  const goesAsAsked = cluster.clusterDiscoveryType.case === 'clusterType';
  const endpoints = goesAsAsked ? [requestedEndpoint(cluster, requested)] : endpointsOf(cluster, assignment, workloads);
  return { cluster, loadBalancer: Cluster_LbPolicy[cluster.lbPolicy] ?? '', limits, endpoints };
}

function requestedEndpoint(cluster: Cluster, requested: string): ClusterEndpoint {
  const [, host = requested, port] = /^(.*?)(?::(\d+))?$/.exec(requested) ?? [];
  const socket = socketTls(cluster.transportSocket);
  const usual = socket.tls === 'none' ? 80 : 443;
  return { pod: host, workload: '', port: port === undefined ? usual : Number(port), ...socket, target: undefined };
}

function endpointsOf(
  cluster: Cluster,
  assignment: ClusterLoadAssignment | undefined,
  workloads: readonly Workload[],
): ClusterEndpoint[] {
  const all = (assignment?.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints);
  return all.flatMap((lbEndpoint) => {
    const address = lbEndpoint.hostIdentifier.case === 'endpoint' ? lbEndpoint.hostIdentifier.value.address : undefined;
    if (address?.address.case === 'pipe') {
      const { path } = address.address.value;
      return [{ pod: path, workload: '', port: 0, ...tlsOf(cluster, lbEndpoint), target: undefined }];
    }
    const socket = address?.address.case === 'socketAddress' ? address.address.value : undefined;
    if (socket === undefined) return [];
    const port = socket.portSpecifier.case === 'portValue' ? socket.portSpecifier.value : 0;
    const target = workloads.find((workload) => workload.address === socket.address);
    return [
      {
        pod: target === undefined ? socket.address : `${target.name}.${target.namespace}`,
        workload: target?.workloadName ?? '',
        port,
        ...tlsOf(cluster, lbEndpoint),
        target,
      },
    ];
  });
}

const MATCH = 'envoy.transport_socket_match';

type SocketTls = Pick<ClusterEndpoint, 'tls' | 'serverName'>;

function tlsOf(cluster: Cluster, { metadata }: LbEndpoint): SocketTls {
  const criteria = metadata?.filterMetadata[MATCH] ?? {};
  const match = cluster.transportSocketMatches.find(({ match: wanted }) =>
    Object.entries(wanted ?? {}).every(([key, value]) => criteria[key] === value),
  );
  return socketTls(match?.transportSocket ?? cluster.transportSocket);
}

function socketTls(socket: TransportSocket | undefined): SocketTls {
  const config = socket?.configType.case === 'typedConfig' ? socket.configType.value : undefined;
  if (config === undefined || !anyIs(config, UpstreamTlsContextSchema)) return { tls: 'none', serverName: '' };
  const { commonTlsContext, sni } = unpackAny(config, UpstreamTlsContextSchema);
  const own = commonTlsContext?.tlsCertificateSdsSecretConfigs.length || commonTlsContext?.tlsCertificates.length;
  return { tls: own ? 'mutual' : 'tls', serverName: sni };
}
