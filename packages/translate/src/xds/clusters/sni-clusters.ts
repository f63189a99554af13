// Build: the clusters of a gateway that passes sidecars' mutual TLS on: named by the server name that leads to them.

import { create } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { ProxyView } from '../../proxy-view.js';
import { durationOfMs } from '../durations.js';
import { sniOf } from '../names.js';
import type { ResourceRecipe } from '../recipe.js';
import { sniClusters } from '../routes/gateway-connections.js';
import { serviceMetadata } from './cluster-metadata.js';
import { circuitBreakersOf } from './cluster-policy.js';
import type { OutboundCluster } from './outbound-clusters.js';
import { outboundStatName } from './stat-names.js';

const CONNECT_TIMEOUT_MS = 10_000;

/** The endpoints of the service, reached as they are: the TLS inside is between the sidecars. */
function buildSniCluster(
  name: string,
  altStatName: string,
  { name: endpoints, service, port, subset }: OutboundCluster,
): Cluster {
  return create(ClusterSchema, {
    name,
    altStatName,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
    edsClusterConfig: {
      serviceName: endpoints,
      edsConfig: { resourceApiVersion: ApiVersion.V3, configSourceSpecifier: { case: 'ads', value: {} } },
    },
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
    lbPolicy: Cluster_LbPolicy.LEAST_REQUEST,
    circuitBreakers: circuitBreakersOf({}),
    metadata: {
      filterMetadata: {
        istio: {
          services: serviceMetadata([service]),
          default_original_port: port.port,
          ...(subset === undefined ? {} : { subset: subset.name }),
        },
      },
    },
  });
}

/** One for each service port and subset that a server of mode AUTO_PASSTHROUGH takes in. */
export function sniClusterRecipes({
  gatewayListeners,
  scope,
  snapshot,
}: ProxyView): readonly ResourceRecipe<Cluster>[] {
  const recipes = new Map<string, ResourceRecipe<Cluster>>();
  for (const server of gatewayListeners.flatMap(({ servers }) => servers)) {
    if (server.kind !== 'auto-sni') continue;
    for (const cluster of sniClusters(scope, server)) {
      const name = sniOf(cluster.port.port, cluster.subset?.name ?? '', cluster.service.hostname);
      const statName = outboundStatName(snapshot.meshConfig.outboundClusterStatName, cluster);
      recipes.set(name, { name, key: `${name}/${statName}`, build: () => buildSniCluster(name, statName, cluster) });
    }
  }
  return [...recipes.values()];
}
