// Build: clusters that lead to the own application, and the ones for calls that lead nowhere or anywhere.

import { create, type JsonObject } from '@bufbuild/protobuf';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
  ClusterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { NamedResource } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import { durationOfMs } from '../durations.js';
import { BLACK_HOLE_CLUSTER, inboundClusterName, PASSTHROUGH_CLUSTER } from '../names.js';
import { circuitBreakersOf } from './cluster-policy.js';
import { serviceMetadata } from './outbound-clusters.js';

const CONNECT_TIMEOUT_MS = 10_000;

/** `inbound|PORT||`: the application's own port on the loopback address. */
function buildInboundCluster({ port, appPort, services }: InboundPort): NamedResource<Cluster> {
  const name = inboundClusterName(port);
  const istio: JsonObject = { services: serviceMetadata(services) };
  const message = create(ClusterSchema, {
    name,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
    lbPolicy: Cluster_LbPolicy.ROUND_ROBIN,
    circuitBreakers: circuitBreakersOf(undefined),
    metadata: services.length === 0 ? undefined : { filterMetadata: { istio } },
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: [
            {
              hostIdentifier: {
                case: 'endpoint',
                value: {
                  address: {
                    address: {
                      case: 'socketAddress',
                      value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: appPort } },
                    },
                  },
                },
              },
            },
          ],
        },
      ],
    },
  });
  return { name, message };
}

function buildBlackHoleCluster(): NamedResource<Cluster> {
  const message = create(ClusterSchema, {
    name: BLACK_HOLE_CLUSTER,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.STATIC },
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
  });
  return { name: BLACK_HOLE_CLUSTER, message };
}

function buildPassthroughCluster(): NamedResource<Cluster> {
  const message = create(ClusterSchema, {
    name: PASSTHROUGH_CLUSTER,
    clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.ORIGINAL_DST },
    lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
    connectTimeout: durationOfMs(CONNECT_TIMEOUT_MS),
    circuitBreakers: circuitBreakersOf(undefined),
  });
  return { name: PASSTHROUGH_CLUSTER, message };
}

/** Without interception there is no original destination to pass a call on to. */
export function hasPassthrough(view: ProxyView): boolean {
  return view.type === 'sidecar' && view.interceptionMode !== 'NONE';
}

/** The clusters of a view that are not outbound ones. */
export function buildLocalClusters(view: ProxyView): readonly NamedResource<Cluster>[] {
  const clusters = [buildBlackHoleCluster(), ...view.inboundPorts.map(buildInboundCluster)];
  if (hasPassthrough(view)) clusters.push(buildPassthroughCluster());
  return clusters;
}
