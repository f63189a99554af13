// Upstream: picks the transport socket of an endpoint: the first match of its metadata, or the cluster's own.

import type { JsonObject } from '@bufbuild/protobuf';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { UpstreamTransport } from './upstream-transport.js';

/** Key of the endpoint metadata that matches are tried against. */
const MATCH_METADATA = 'envoy.transport_socket_match';

export interface TransportChooser {
  choose(endpoint: LbEndpoint): UpstreamTransport;
  /** By criteria that take the place of the endpoint's metadata. */
  chooseBy(criteria: JsonObject): UpstreamTransport;
}

/** `compile` makes a transport of one socket's configuration, `path` being where it stands in the cluster. */
export function createTransportChooser(
  cluster: Cluster,
  plain: UpstreamTransport,
  compile: (socket: TransportSocket, path: string) => UpstreamTransport,
): TransportChooser {
  const own = cluster.transportSocket === undefined ? plain : compile(cluster.transportSocket, 'transport_socket');
  const matches = cluster.transportSocketMatches.map(({ match, transportSocket }, index) => ({
    match: match ?? {},
    transport:
      transportSocket === undefined
        ? plain
        : compile(transportSocket, `transport_socket_matches[${index}].transport_socket`),
  }));
  const chooseBy = (metadata: JsonObject) => matches.find(({ match }) => covers(metadata, match))?.transport ?? own;
  return {
    chooseBy,
    choose: (endpoint) => chooseBy(endpoint.metadata?.filterMetadata[MATCH_METADATA] ?? {}),
  };
}

/** Every field of the match is in the metadata with an equal value; an empty match covers everything. */
function covers(metadata: JsonObject, match: JsonObject): boolean {
  return Object.entries(match).every(([name, value]) => JSON.stringify(metadata[name]) === JSON.stringify(value));
}
