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
import type { NamedResource, Problem } from '../../model.js';
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

/** Ports that the proxy itself listens on at its own address (CONTRACTS "Ports"). */
const OWN_PORTS: Readonly<Record<number, string>> = {
  15000: "the proxy's admin API",
  15020: "the proxy's metrics",
  15021: "the proxy's readiness",
  15090: "the proxy's own metrics",
};

function addressText(address: Address | undefined): string {
  const socket = address?.address.case === 'socketAddress' ? address.address.value : undefined;
  return `${socket?.address}:${socket?.portSpecifier.value}`;
}

/** Drops what would be bound twice, listener or additional address: a proxy that cannot bind one refuses them all. */
function withoutClashes(view: ProxyView, listeners: readonly NamedResource<Listener>[], problems: Problem[]) {
  const bound = new Map(Object.entries(OWN_PORTS).map(([port, owner]) => [`${view.address}:${port}`, owner]));
  const claim = (address: Address | undefined, name: string): boolean => {
    const text = addressText(address);
    const owner = bound.get(text);
    if (owner === undefined) {
      bound.set(text, `listener ${name}`);
      return true;
    }
    problems.push({
      code: 'conflict-listener-address',
      severity: 'warning',
      metric: 'pilot_conflict_inbound_listener',
      subject: `Listener/${name}`,
      message: `${text} is taken by ${owner === `listener ${name}` ? 'another listener' : owner}; listener ${name} does not get it. Choose another port`,
    });
    return false;
  };
  return listeners.filter(({ name, message }) => {
    if (!claim(message.address, name)) return false;
    message.additionalAddresses = message.additionalAddresses.filter(({ address }) => claim(address, name));
    return true;
  });
}

function allListeners(view: ProxyView): readonly NamedResource<Listener>[] {
  if (view.type === 'router') return view.gatewayListeners.map((listener) => gatewayListener(view, listener));
  return [
    outboundListener(view, view.address, FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE),
    ...view.inboundPorts.map((port) => inboundListener(view, port)),
    ...view.outboundAddresses.map(({ address, port }) => outboundListener(view, address, port.port, String(port.port))),
  ];
}

/** All listeners of a view; of two that want the same address the first in the order above has it. */
export function buildListeners(view: ProxyView): {
  readonly listeners: readonly NamedResource<Listener>[];
  readonly problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  return { listeners: withoutClashes(view, allListeners(view), problems), problems };
}
