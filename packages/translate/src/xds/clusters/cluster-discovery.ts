// Build: how an outbound cluster gets its endpoints: by EDS, by DNS of the names that it carries, or from where a call goes.

import { create } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_EdsClusterConfigSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { MeshSnapshot } from '../../model.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { entryAssignment } from './endpoints.js';
import type { OutboundCluster } from './outbound-clusters.js';

type ClusterFields = Pick<Cluster, 'clusterDiscoveryType'> &
  Partial<
    Pick<Cluster, 'edsClusterConfig' | 'dnsLookupFamily' | 'dnsRefreshRate' | 'respectDnsTtl' | 'loadAssignment'>
  >;

/** Istio's default of MeshConfig `dnsRefreshRate`. */
const DNS_REFRESH_MS = 60_000;

function discoveryType(value: Cluster_DiscoveryType): Pick<ClusterFields, 'clusterDiscoveryType'> {
  return { clusterDiscoveryType: { case: 'type', value } };
}

/** A cluster without endpoints: calls are refused on purpose. */
export function closedDiscovery(): ClusterFields {
  return discoveryType(Cluster_DiscoveryType.STATIC);
}

/** The fields of a cluster that say where its endpoints come from. */
export function discoveryOf(
  snapshot: MeshSnapshot,
  cluster: Pick<OutboundCluster, 'name' | 'service' | 'port' | 'subset'>,
): ClusterFields {
  const { name, service } = cluster;
  switch (service.resolution) {
    case 'EDS':
      return {
        ...discoveryType(Cluster_DiscoveryType.EDS),
        edsClusterConfig: create(Cluster_EdsClusterConfigSchema, {
          serviceName: name,
          edsConfig: { resourceApiVersion: ApiVersion.V3, configSourceSpecifier: { case: 'ads', value: {} } },
        }),
      };
    case 'STRICT_DNS':
    case 'LOGICAL_DNS':
      return {
        ...discoveryType(Cluster_DiscoveryType[service.resolution]),
        // As Istio: the addresses of the proxies are IPv4, times to live of records count.
        dnsLookupFamily: Cluster_DnsLookupFamily.V4_ONLY,
        dnsRefreshRate: durationOfText(snapshot.meshConfig.dnsRefreshRate) ?? durationOfMs(DNS_REFRESH_MS),
        respectDnsTtl: true,
        loadAssignment: entryAssignment(snapshot, cluster),
      };
    case 'PASSTHROUGH':
      return discoveryType(Cluster_DiscoveryType.ORIGINAL_DST);
  }
}
