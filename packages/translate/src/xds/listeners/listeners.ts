// Build: the listeners of a view: outbound addresses, forward proxy, inbound ports, gateway ports.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type Address, AddressSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type Filter,
  type FilterChain,
  FilterChainSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { TlsInspectorSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import type { NamedResource } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { GatewayListener } from '../../resolve/gateways.js';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import { downstreamMutualTls, ISTIO_ALPN } from '../clusters/tls-context.js';
import { FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE, gatewayRouteName, listenerName } from '../names.js';
import { buildInboundRoute } from '../routes/inbound-route.js';
import { buildHttpConnectionManager } from './http-connection-manager.js';

function socketAddress(address: string, port: number): Address {
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: port } } },
  });
}

function outboundListener(view: ProxyView, address: string, port: number, rds: string): NamedResource<Listener> {
  const name = listenerName(address, port);
  const filter = buildHttpConnectionManager(view, 'sidecar-outbound', name, { rds });
  const message = create(ListenerSchema, {
    name,
    address: socketAddress(address, port),
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: [{ filters: [filter] }],
  });
  return { name, message };
}

/** The TLS chain takes sidecars only: they show themselves by their ALPN, and must have a certificate of the mesh. */
function mutualTlsChain(view: ProxyView, filter: Filter): FilterChain {
  return create(FilterChainSchema, {
    name: 'mtls',
    filterChainMatch: { transportProtocol: 'tls', applicationProtocols: ISTIO_ALPN },
    filters: [filter],
    transportSocket: downstreamMutualTls(view.snapshot),
  });
}

function plainTextChain(filter: Filter): FilterChain {
  return create(FilterChainSchema, {
    name: 'plaintext',
    filterChainMatch: { transportProtocol: 'raw_buffer' },
    filters: [filter],
  });
}

function inboundListener(view: ProxyView, inbound: InboundPort): NamedResource<Listener> {
  const { port, mtlsMode } = inbound;
  const name = listenerName(view.address, port);
  const filter = buildHttpConnectionManager(view, 'sidecar-inbound', name, { inline: buildInboundRoute(inbound) });
  const takesTls = mtlsMode !== 'DISABLE';
  const message = create(ListenerSchema, {
    name,
    address: socketAddress(view.address, port),
    trafficDirection: TrafficDirection.INBOUND,
    listenerFilters: takesTls
      ? [
          {
            name: 'envoy.filters.listener.tls_inspector',
            configType: { case: 'typedConfig', value: packAny(TlsInspectorSchema, create(TlsInspectorSchema)) },
          },
        ]
      : [],
    filterChains: [
      ...(takesTls ? [mutualTlsChain(view, filter)] : []),
      ...(mtlsMode === 'STRICT' ? [] : [plainTextChain(filter)]),
    ],
  });
  return { name, message };
}

/** `IP:PORT` lists, separated by commas; IPv6 in brackets. */
function bindAddresses(text: string | undefined): Address[] {
  return (text ?? '')
    .split(',')
    .map((part) => /^\s*\[?([^\]]+?)\]?:(\d+)\s*$/.exec(part))
    .filter((match) => match !== null)
    .map((match) => socketAddress(match[1]!, Number(match[2])));
}

function gatewayListener(view: ProxyView, { port }: GatewayListener): NamedResource<Listener> {
  const name = listenerName('0.0.0.0', port);
  const filter = buildHttpConnectionManager(view, 'gateway', name, { rds: gatewayRouteName(port) });
  const message = create(ListenerSchema, {
    name,
    address: socketAddress(view.address, port),
    additionalAddresses: bindAddresses(view.extraBindAddresses[String(port)]).map((address) => ({ address })),
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: [{ filters: [filter] }],
  });
  return { name, message };
}

/** All listeners of a view. */
export function buildListeners(view: ProxyView): readonly NamedResource<Listener>[] {
  if (view.type === 'router') return view.gatewayListeners.map((listener) => gatewayListener(view, listener));
  return [
    ...view.outboundAddresses.map(({ address, port }) => outboundListener(view, address, port.port, String(port.port))),
    outboundListener(view, view.address, FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE),
    ...view.inboundPorts.map((port) => inboundListener(view, port)),
  ];
}
