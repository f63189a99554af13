// ADS server: how the types that Lateen serves behave; Envoy's own, and plain ones such as Galley's configuration kinds.

import { TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { Cluster_DiscoveryType, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { ResourceEntry, ServedType } from './model.js';

/** A type without order: wildcard or named, sent at once, removed at once, the full set in the state-of-the-world form. */
export function plainServedType(typeUrl: string): ServedType {
  return { typeUrl, fullSet: true, waitsFor: [], removeLast: false };
}

const edsNames = new WeakMap<ResourceEntry, readonly string[]>();

/** Names of the endpoint resources that a cluster asks for over EDS. */
function endpointNames(entry: ResourceEntry): readonly string[] {
  const known = edsNames.get(entry);
  if (known !== undefined) return known;
  const cluster = unpackAny(entry.any, ClusterSchema);
  const type = cluster.clusterDiscoveryType;
  const isEds = type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
  const names = isEds ? [cluster.edsClusterConfig?.serviceName || cluster.name] : [];
  edsNames.set(entry, names);
  return names;
}

/**
 * Envoy's types in make-before-break order. Endpoints never wait for the clusters' ACK, because a stock Envoy holds that
 * back while a cluster warms. Listeners are removed with their own push (nothing refers to them, and a renamed listener
 * may need the same address); routes, clusters and endpoints are removed last.
 */
export const ENVOY_SERVED_TYPES: readonly ServedType[] = [
  { typeUrl: TYPE_URL.secret, fullSet: false, waitsFor: [], removeLast: false },
  {
    typeUrl: TYPE_URL.cluster,
    fullSet: true,
    waitsFor: [],
    removeLast: true,
    refreshes: { typeUrl: TYPE_URL.endpoint, namesOf: endpointNames },
  },
  { typeUrl: TYPE_URL.endpoint, fullSet: false, waitsFor: [], removeLast: true },
  { typeUrl: TYPE_URL.listener, fullSet: true, waitsFor: [TYPE_URL.cluster, TYPE_URL.endpoint], removeLast: false },
  { typeUrl: TYPE_URL.route, fullSet: false, waitsFor: [TYPE_URL.cluster, TYPE_URL.endpoint], removeLast: true },
];
