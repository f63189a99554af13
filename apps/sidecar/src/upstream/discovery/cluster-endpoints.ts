// Discovery: which endpoints the tables are made of, by the type of the cluster.

import { create } from '@bufbuild/protobuf';
import { type Cluster, Cluster_DiscoveryType } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { DataPlaneConfig } from '../../data-plane.js';

/** Names that have not been resolved are no endpoints. */
const NONE = create(ClusterLoadAssignmentSchema);

/** Undefined where the cluster's own `load_assignment` says all. */
export function endpointsOf(
  cluster: Cluster,
  { endpoints, discovered }: Pick<DataPlaneConfig, 'endpoints' | 'discovered'>,
): ClusterLoadAssignment | undefined {
  const type = cluster.clusterDiscoveryType.case === 'type' ? cluster.clusterDiscoveryType.value : undefined;
  switch (type) {
    case Cluster_DiscoveryType.STRICT_DNS:
    case Cluster_DiscoveryType.LOGICAL_DNS:
      return discovered?.get(cluster.name) ?? NONE;
    case Cluster_DiscoveryType.EDS:
      return endpoints.get(cluster.edsClusterConfig?.serviceName || cluster.name);
    default:
      return undefined;
  }
}
