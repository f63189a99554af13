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
import type { Problem } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { GatewayListener } from '../../resolve/gateways.js';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import { stableHash } from '../../stable-hash.js';
import { downstreamMutualTls, ISTIO_ALPN } from '../clusters/tls-context.js';
import { FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE, gatewayRouteName, listenerName } from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { buildInboundRoute } from '../routes/inbound-route.js';
import { connectionManagers } from './http-connection-manager.js';

function socketAddress({ ip, port }: SocketAddress): Address {
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address: ip, portSpecifier: { case: 'portValue', value: port } } },
  });
}

/** A listener before it is made: what it wants to bind, in order of preference. */
interface ListenerPlan {
  readonly name: string;
  /** Everything that it is made of, addresses aside. */
  readonly key: string;
  readonly address: SocketAddress;
  readonly additionalAddresses: readonly SocketAddress[];
  build(additionalAddresses: readonly SocketAddress[]): Listener;
}

interface SocketAddress {
  readonly ip: string;
  readonly port: number;
}

function outboundListener(view: ProxyView, ip: string, port: number, rds: string): ListenerPlan {
  const name = listenerName(ip, port);
  const managers = connectionManagers(view.scope, view.understandsIstioFilters);
  return {
    name,
    key: `outbound/${managers.key}/${rds}`,
    address: { ip, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        trafficDirection: TrafficDirection.OUTBOUND,
        filterChains: [{ filters: [managers.build('sidecar-outbound', name, { rds })] }],
      }),
  };
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

function inboundListener(view: ProxyView, inbound: InboundPort): ListenerPlan {
  const { port, mtlsMode, services, servicePort } = inbound;
  const name = listenerName(view.address, port);
  const managers = connectionManagers(view.scope, view.understandsIstioFilters);
  const takesTls = mtlsMode !== 'DISABLE';
  return {
    name,
    key: ['inbound', managers.key, mtlsMode, services[0]?.hostname ?? '', servicePort].join('/'),
    address: { ip: view.address, port },
    additionalAddresses: [],
    build: () => {
      const filter = managers.build('sidecar-inbound', name, { inline: buildInboundRoute(inbound) });
      return create(ListenerSchema, {
        name,
        address: socketAddress({ ip: view.address, port }),
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
    },
  };
}

/** `IP:PORT` lists, separated by commas; IPv6 in brackets. */
function bindAddresses(text: string | undefined): SocketAddress[] {
  return (text ?? '')
    .split(',')
    .map((part) => /^\s*\[?([^\]]+?)\]?:(\d+)\s*$/.exec(part))
    .filter((match) => match !== null)
    .map((match) => ({ ip: match[1]!, port: Number(match[2]) }));
}

function gatewayListener(view: ProxyView, { port }: GatewayListener): ListenerPlan {
  const name = listenerName('0.0.0.0', port);
  const managers = connectionManagers(view.scope, view.understandsIstioFilters);
  return {
    name,
    key: `gateway/${managers.key}`,
    address: { ip: view.address, port },
    additionalAddresses: bindAddresses(view.extraBindAddresses[String(port)]),
    build: (additionalAddresses) =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip: view.address, port }),
        additionalAddresses: additionalAddresses.map((address) => ({ address: socketAddress(address) })),
        trafficDirection: TrafficDirection.OUTBOUND,
        filterChains: [{ filters: [managers.build('gateway', name, { rds: gatewayRouteName(port) })] }],
      }),
  };
}

/** Ports that the proxy itself listens on at its own address (CONTRACTS "Ports"). */
const OWN_PORTS: Readonly<Record<number, string>> = {
  15000: "the proxy's admin API",
  15020: "the proxy's metrics",
  15021: "the proxy's readiness",
  15090: "the proxy's own metrics",
};

function addressText({ ip, port }: SocketAddress): string {
  return `${ip}:${port}`;
}

/** Drops what would be bound twice, listener or additional address: a proxy that cannot bind one refuses them all. */
function withoutClashes(view: ProxyView, plans: readonly ListenerPlan[], problems: Problem[]) {
  const bound = new Map(Object.entries(OWN_PORTS).map(([port, owner]) => [`${view.address}:${port}`, owner]));
  const claim = (address: SocketAddress, name: string): boolean => {
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
  return plans.flatMap((plan): ResourceRecipe<Listener>[] => {
    if (!claim(plan.address, plan.name)) return [];
    const additional = plan.additionalAddresses.filter((address) => claim(address, plan.name));
    const addresses = [plan.address, ...additional].map(addressText).join(',');
    return [{ name: plan.name, key: `${plan.key}/${addresses}`, build: () => plan.build(additional) }];
  });
}

function listenerPlans(view: ProxyView): readonly ListenerPlan[] {
  if (view.type === 'router') return view.gatewayListeners.map((listener) => gatewayListener(view, listener));
  const { addresses } = view.outbound();
  return [
    outboundListener(view, view.address, FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE),
    ...view.inboundPorts.map((port) => inboundListener(view, port)),
    ...addresses.map(({ address, port }) => outboundListener(view, address, port.port, String(port.port))),
  ];
}

/** All listeners of a view; of two that want the same address the first in the order above has it. */
export function listenerPart(view: ProxyView): ResourcePart<Listener> {
  const { scope, address, inboundPorts, gatewayListeners, extraBindAddresses } = view;
  const madeOf = {
    type: view.type,
    managers: connectionManagers(scope, view.understandsIstioFilters).key,
    address,
    inbound: inboundPorts.map(({ port, mtlsMode, services, servicePort }) => [
      port,
      mtlsMode,
      services[0]?.hostname,
      servicePort,
    ]),
    outbound: view.outboundHash(),
    gateway: gatewayListeners.map(({ port }) => port),
    extraBindAddresses,
  };
  return {
    key: `listeners/${stableHash(madeOf)}`,
    list: () => {
      const problems: Problem[] = [...(view.type === 'sidecar' ? view.outbound().problems : [])];
      return { recipes: withoutClashes(view, listenerPlans(view), problems), problems };
    },
  };
}
