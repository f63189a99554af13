// Build: the PROXY protocol: toward services by a transport socket around another, from balancers by a listener filter.

import { create } from '@bufbuild/protobuf';
import type { TrafficPolicy } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  type Cluster,
  type Cluster_TransportSocketMatch,
  Cluster_TransportSocketMatchSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { type TransportSocket, TransportSocketSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ProxyProtocolConfig_Version as Version } from '@lateen/xds-proto/envoy/config/core/v3/proxy_protocol_pb.js';
import {
  type ListenerFilter,
  ListenerFilterSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ProxyProtocolSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js';
import { ProxyProtocolUpstreamTransportSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
import { rawBuffer } from '../clusters/tls-context.js';

/** How a cluster's endpoints are reached. */
type Transport = Partial<Pick<Cluster, 'transportSocket' | 'transportSocketMatches'>>;

/** Connections begin with whom they are for, before TLS where there is any; unchanged where the policy asks for none. */
export function withProxyHeader(transport: Transport, { proxyProtocol }: TrafficPolicy): Transport {
  if (proxyProtocol === undefined) return transport;
  const version = proxyProtocol.version === 'V2' ? Version.V2 : Version.V1;
  const wrap = (transportSocket: TransportSocket | undefined): TransportSocket => {
    const value = create(ProxyProtocolUpstreamTransportSchema, {
      config: { version },
      transportSocket: transportSocket ?? rawBuffer(),
    });
    return create(TransportSocketSchema, {
      name: 'envoy.transport_sockets.upstream_proxy_protocol',
      configType: { case: 'typedConfig', value: packAny(ProxyProtocolUpstreamTransportSchema, value) },
    });
  };
  const matches = transport.transportSocketMatches ?? [];
  if (matches.length === 0) return { transportSocket: wrap(transport.transportSocket) };
  return {
    transportSocketMatches: matches.map(
      ({ name, match, transportSocket }): Cluster_TransportSocketMatch =>
        create(Cluster_TransportSocketMatchSchema, {
          name,
          ...(match === undefined ? {} : { match }),
          transportSocket: wrap(transportSocket),
        }),
    ),
  };
}

/** Takes the header off a connection, and its addresses for the connection's own; without one it is closed. */
export function proxyProtocolFilter(): ListenerFilter {
  return create(ListenerFilterSchema, {
    name: 'envoy.filters.listener.proxy_protocol',
    configType: { case: 'typedConfig', value: packAny(ProxyProtocolSchema, create(ProxyProtocolSchema)) },
  });
}
