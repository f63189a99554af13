// Build: how an outbound cluster gets its endpoints: by EDS, by DNS of the names that it carries, or from where a call goes.

import { create } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily,
  Cluster_EdsClusterConfigSchema,
  Cluster_LbPolicy,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { MeshSnapshot } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import type { Resolution } from '../../resolve/services/service-declaration.js';
import { stableHash } from '../../stable-hash.js';
import { allTakeMutualTls, entryAssignment } from './endpoints.js';
import { dnsRefreshRate, forwardDiscovery, goesWhereRequestsSay } from './forward-hosts.js';
import type { OutboundCluster } from './outbound-clusters.js';

type ClusterFields = Pick<Cluster, 'clusterDiscoveryType'> &
  Partial<
    Pick<
      Cluster,
      'lbPolicy' | 'edsClusterConfig' | 'dnsLookupFamily' | 'dnsRefreshRate' | 'respectDnsTtl' | 'loadAssignment'
    >
  >;

function discoveryType(value: Cluster_DiscoveryType): Pick<ClusterFields, 'clusterDiscoveryType'> {
  return { clusterDiscoveryType: { case: 'type', value } };
}

/** A cluster without endpoints: calls are refused on purpose. */
export function closedDiscovery(): ClusterFields {
  return discoveryType(Cluster_DiscoveryType.STATIC);
}

/** How a client finds a service's endpoints. Without interception nobody knows where a connection was going but by its name. */
function resolutionFor(service: MeshService, intercepted: boolean): Resolution {
  if (goesWhereRequestsSay(service, intercepted)) return 'FORWARD';
  // As in Istio: the application has chosen one of its pods.
  if (service.headless === true && intercepted) return 'PASSTHROUGH';
  return service.resolution === 'PASSTHROUGH' && !intercepted ? 'STRICT_DNS' : service.resolution;
}

/** The endpoints of a service are the ones that calls name. */
export function callsNameEndpoints(service: MeshService, intercepted: boolean): boolean {
  const resolution = resolutionFor(service, intercepted);
  return resolution === 'PASSTHROUGH' || resolution === 'FORWARD';
}

/**
 * The fields of a cluster that say where its endpoints come from.
 *
 * @param intercepted connections of the client come with their original destination
 */
export function discoveryOf(
  snapshot: MeshSnapshot,
  cluster: Pick<OutboundCluster, 'name' | 'service' | 'port' | 'subset' | 'arrangement'>,
  intercepted: boolean,
): ClusterFields {
  const { name, service } = cluster;
  const resolution = resolutionFor(service, intercepted);
  switch (resolution) {
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
        ...discoveryType(Cluster_DiscoveryType[resolution]),
        // As Istio: the addresses of the proxies are IPv4, times to live of records count.
        dnsLookupFamily: Cluster_DnsLookupFamily.V4_ONLY,
        dnsRefreshRate: dnsRefreshRate(snapshot.meshConfig),
        respectDnsTtl: true,
        loadAssignment: entryAssignment(snapshot, cluster),
      };
    case 'PASSTHROUGH':
      return {
        ...discoveryType(Cluster_DiscoveryType.ORIGINAL_DST),
        lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
      };
    case 'FORWARD':
      return forwardDiscovery(snapshot.meshConfig);
  }
}

/**
 * How the endpoint is called that an application has chosen by its address: nothing is known of it but what is so of all. As
 * in Istio one that takes no mutual TLS keeps it from all.
 */
export type ChosenTls = 'mutual' | 'none';

/** Undefined where applications do not choose. */
export function chosenTls(
  { snapshot }: ClientScope,
  service: MeshService,
  port: MeshPort,
  intercepted: boolean,
): ChosenTls | undefined {
  if (!intercepted || service.headless !== true) return undefined;
  return allTakeMutualTls(snapshot, service, port) ? 'mutual' : 'none';
}

/** It depends on who answers for the services. */
export function chosenTlsKey(scope: ClientScope, intercepted: boolean): string {
  if (!intercepted) return '';
  const headless = scope.destinations.filter((service) => service.headless === true);
  const modes = headless.map((service) => service.ports.map((port) => chosenTls(scope, service, port, true)));
  return modes.length === 0 ? '' : stableHash(modes);
}
