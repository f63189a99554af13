// Debug API: reads the mutual TLS modes off generated resources, so that what is shown is what is served.

import { unpackAny } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import {
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';

/** What a workload's port takes, as PeerAuthentication calls it. */
export type ServerMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** What a client sends, as DestinationRule calls it; MIXED: some endpoints are called with mutual TLS, some without. */
export type ClientMode = 'ISTIO_MUTUAL' | 'SIMPLE' | 'MUTUAL' | 'DISABLE' | 'MIXED';

const TLS_SOCKET = 'envoy.transport_sockets.tls';

function isTls(socket: TransportSocket | undefined): socket is TransportSocket {
  return socket?.name === TLS_SOCKET;
}

function requiresClientCertificate(socket: TransportSocket | undefined): boolean {
  if (!isTls(socket) || socket.configType.case !== 'typedConfig') return false;
  return unpackAny(socket.configType.value, DownstreamTlsContextSchema).requireClientCertificate === true;
}

/** The port that an inbound listener takes traffic for; undefined for any other listener. */
export function inboundPort(listener: Listener): number | undefined {
  if (listener.trafficDirection !== TrafficDirection.INBOUND) return undefined;
  const address = listener.address?.address;
  if (address?.case !== 'socketAddress' || address.value.portSpecifier.case !== 'portValue') return undefined;
  return address.value.portSpecifier.value;
}

/** What an inbound listener accepts. */
export function serverMode(listener: Listener): ServerMode {
  const mutual = listener.filterChains.some(({ transportSocket }) => requiresClientCertificate(transportSocket));
  const plain = listener.filterChains.some(({ transportSocket }) => !isTls(transportSocket));
  if (!mutual) return 'DISABLE';
  return plain ? 'PERMISSIVE' : 'STRICT';
}

/** What a client sends to a cluster's endpoints. */
export function clientMode(cluster: Cluster, endpoints: ClusterLoadAssignment | undefined): ClientMode {
  if (cluster.transportSocketMatches.length === 0) return socketMode(cluster.transportSocket);
  const modes = new Set<ClientMode>();
  for (const { lbEndpoints } of endpoints?.endpoints ?? []) {
    for (const { metadata } of lbEndpoints) {
      const criteria = metadata?.filterMetadata['envoy.transport_socket_match'] ?? {};
      const match = cluster.transportSocketMatches.find(({ match: wanted }) =>
        Object.entries(wanted ?? {}).every(([key, value]) => criteria[key] === value),
      );
      modes.add(socketMode(match?.transportSocket ?? cluster.transportSocket));
    }
  }
  // Without endpoints: what the first match would be, which is what an endpoint with a sidecar gets.
  if (modes.size === 0) return socketMode(cluster.transportSocketMatches[0]?.transportSocket);
  return modes.size === 1 ? [...modes][0]! : 'MIXED';
}

function socketMode(socket: TransportSocket | undefined): ClientMode {
  if (!isTls(socket) || socket.configType.case !== 'typedConfig') return 'DISABLE';
  const { commonTlsContext } = unpackAny(socket.configType.value, UpstreamTlsContextSchema);
  const secrets = commonTlsContext?.tlsCertificateSdsSecretConfigs ?? [];
  if (secrets.some(({ name }) => name === 'default')) return 'ISTIO_MUTUAL';
  return secrets.length > 0 || (commonTlsContext?.tlsCertificates.length ?? 0) > 0 ? 'MUTUAL' : 'SIMPLE';
}
