// Build: the listeners of a view: outbound addresses, forward proxy, inbound ports, gateway ports.

import { create } from '@bufbuild/protobuf';
import { isHttpProtocol, type PortProtocol } from '@lateen/istio-config';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { FilterChainMatchSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Problem } from '../../model.js';
import type { OutboundAddress, ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { type OwnOutbound, ownLoopback } from '../../resolve/own-listeners.js';
import { stableHash } from '../../stable-hash.js';
import { forwardsHosts, goesWhereRequestsSay } from '../clusters/forward-hosts.js';
import { isIntercepted } from '../clusters/local-clusters.js';
import { FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE, forwardProxyRouteName, listenerName } from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import {
  type ConnectionTarget,
  outboundTargets,
  ownTargets,
  type TcpDestinations,
} from '../routes/tcp-destinations.js';
import { gatewayListener } from './gateway-listeners.js';
import { connectionManagers } from './http-connection-manager.js';
import type { HttpAbilities } from './http-filters.js';
import { inboundListener } from './inbound-listener.js';
import {
  connectionMatch,
  type ListenerPlan,
  type SocketAddress,
  socketAddress,
  tlsInspector,
} from './listener-plan.js';
import { detectionLimit, detectionTimeoutMs, httpInspector, PLAIN_HTTP_ALPN } from './protocol-detection.js';
import { buildTcpFilters } from './tcp-proxy.js';

/** A listener that passes on bytes as they are. */
function outboundTcpListener(
  view: ProxyView,
  ip: string,
  port: number,
  targets: readonly ConnectionTarget[],
): ListenerPlan {
  const name = listenerName(ip, port);
  const byName = targets.some(({ serverNames }) => serverNames.length > 0);
  return {
    name,
    key: `outbound-tcp/${connectionManagers(view).key}/${stableHash(targets)}`,
    address: { ip, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        trafficDirection: TrafficDirection.OUTBOUND,
        // Only where names decide: a client that says nothing would have to wait for its server otherwise.
        listenerFilters: byName ? [tlsInspector()] : [],
        filterChains: targets.map(({ to, ...target }) => ({
          ...connectionMatch(target),
          filters: buildTcpFilters(view, 'sidecar-outbound', to),
        })),
      }),
  };
}

function outboundListener(
  view: ProxyView,
  ip: string,
  port: number,
  rds: string,
  abilities: HttpAbilities,
): ListenerPlan {
  const name = listenerName(ip, port);
  const managers = connectionManagers(view);
  return {
    name,
    key: `outbound/${managers.key}/${rds}/${stableHash(abilities)}`,
    address: { ip, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        trafficDirection: TrafficDirection.OUTBOUND,
        filterChains: [{ filters: [managers.build('sidecar-outbound', name, { rds }, abilities)] }],
      }),
  };
}

function isForAll({ serverNames, subnets }: ConnectionTarget): boolean {
  return serverNames.length === 0 && subnets.length === 0;
}

/** A listener that takes HTTP by the rules for HTTP, and passes on as it is whatever else comes. */
function outboundDetectingListener(
  view: ProxyView,
  ip: string,
  port: number,
  targets: readonly ConnectionTarget[],
  abilities: HttpAbilities,
): ListenerPlan {
  const { meshConfig } = view.snapshot;
  const name = listenerName(ip, port);
  const managers = connectionManagers(view);
  const others = targets.find(isForAll);
  const chosen = targets.filter((target) => target !== others);
  const filtersTo = (to: TcpDestinations) => buildTcpFilters(view, 'sidecar-outbound', to);
  const httpMatch = { transportProtocol: 'raw_buffer', applicationProtocols: PLAIN_HTTP_ALPN };
  return {
    name,
    key: `outbound-any/${managers.key}/${detectionTimeoutMs(meshConfig)}/${stableHash([targets, abilities])}`,
    address: { ip, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        trafficDirection: TrafficDirection.OUTBOUND,
        listenerFilters: [tlsInspector(), httpInspector()],
        ...detectionLimit(meshConfig),
        filterChains: [
          {
            name: 'http',
            filterChainMatch: create(FilterChainMatchSchema, httpMatch),
            filters: [managers.build('sidecar-outbound', name, { rds: String(port) }, abilities)],
          },
          ...chosen.map(({ to, ...target }) => ({ ...connectionMatch(target), filters: filtersTo(to) })),
        ],
        // Not a chain without a match: one that asks for plain connections is chosen before, and there is no way back.
        ...(others === undefined ? {} : { defaultFilterChain: { name: 'tcp', filters: filtersTo(others.to) } }),
      }),
  };
}

function isTls(protocol: PortProtocol): boolean {
  return protocol === 'tls' || protocol === 'https';
}

/** A rule of any host may lead to a wildcard. */
function requestAbilities({ scope }: ProxyView, protocol: PortProtocol): HttpAbilities {
  return { forwards: forwardsHosts(scope), grpcWeb: protocol === 'grpc-web' };
}

/** The listener for a port of a service, by what the port says of its protocol. */
function outboundPortListener(
  view: ProxyView,
  { address, port, service }: OutboundAddress,
  problems: Problem[],
): ListenerPlan | undefined {
  // Nothing in plain bytes says which host of a wildcard they are for.
  if (port.tcp && !isTls(port.protocol) && goesWhereRequestsSay(service, false)) return undefined;
  const targets = () => outboundTargets(view.scope, service, port, problems);
  const abilities = requestAbilities(view, port.protocol);
  if (port.protocol === 'auto') return outboundDetectingListener(view, address, port.port, targets(), abilities);
  if (port.tcp) return outboundTcpListener(view, address, port.port, targets());
  return outboundListener(view, address, port.port, String(port.port), abilities);
}

/**
 * The listener that a Sidecar has at an address of its own, by what it says that callers speak; undefined where no
 * connection leads anywhere.
 */
function ownOutboundListener(view: ProxyView, own: OwnOutbound, problems: Problem[]): ListenerPlan | undefined {
  const { ip, port, protocol, forwardProxy } = own;
  if (forwardProxy) {
    return outboundListener(view, ip, port, forwardProxyRouteName(port), forwardProxyAbilities(view));
  }
  const abilities = requestAbilities(view, protocol);
  if (isHttpProtocol(protocol)) return outboundListener(view, ip, port, String(port), abilities);
  const targets = ownTargets(view.scope, own, problems);
  if (protocol === 'auto') return outboundDetectingListener(view, ip, port, targets, abilities);
  return targets.length === 0 ? undefined : outboundTcpListener(view, ip, port, targets);
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

/** Whether calls through the forward proxy may go to hosts that they name. */
function mayForward({ scope }: ProxyView): boolean {
  return scope.outboundMode === 'ALLOW_ANY' || forwardsHosts(scope);
}

function forwardProxyAbilities(view: ProxyView): HttpAbilities {
  return { forwards: mayForward(view), ...(!isIntercepted(view) && { connects: true }) };
}

/** Lateen's own, and the one that MeshConfig asks for. */
function forwardProxyPorts({ snapshot }: ProxyView): readonly number[] {
  const { proxyHttpPort = 0 } = snapshot.meshConfig;
  return proxyHttpPort > 0 ? [...new Set([FORWARD_PROXY_PORT, proxyHttpPort])] : [FORWARD_PROXY_PORT];
}

function listenerPlans(view: ProxyView, problems: Problem[]): readonly ListenerPlan[] {
  if (view.type === 'router') {
    return view.gatewayListeners.flatMap((listener) => gatewayListener(view, listener, problems) ?? []);
  }
  const { addresses } = view.outbound();
  return [
    ...forwardProxyPorts(view).map((port) =>
      outboundListener(view, ownLoopback(view.address), port, FORWARD_PROXY_ROUTE, forwardProxyAbilities(view)),
    ),
    ...view.inboundPorts.map((port) => inboundListener(view, port)),
    ...addresses.flatMap((outbound) => outboundPortListener(view, outbound, problems) ?? []),
    ...view.ownOutbound.flatMap((own) => ownOutboundListener(view, own, problems) ?? []),
  ];
}

/** By scope: whether some port passes on bytes as they are. */
const scopesWithTcp = new WeakMap<ClientScope, boolean>();

function hasTcp(scope: ClientScope): boolean {
  const known =
    scopesWithTcp.get(scope) ??
    scope.services.some(({ ports }) => ports.some(({ tcp, protocol }) => tcp || protocol === 'auto'));
  scopesWithTcp.set(scope, known);
  return known;
}

/** Everything that decides where connections go. */
function tcpRulesHash(scope: ClientScope): string {
  const { declarations, destinationRules, meshRoutes } = scope.hashes();
  return stableHash([scope.namespace, declarations, destinationRules, meshRoutes]);
}

/** Servers of a gateway that follow rules for connections. */
function hasConnectionServers({ gatewayListeners }: ProxyView): boolean {
  return gatewayListeners.some(({ servers }) => servers.some(({ kind }) => kind !== 'http'));
}

function connectionRulesHash(scope: ClientScope): string {
  const { declarations, destinationRules, gatewayRoutes } = scope.hashes();
  return stableHash([scope.namespace, declarations, destinationRules, gatewayRoutes]);
}

/** All listeners of a view; of two that want the same address the first in the order above has it. */
export function listenerPart(view: ProxyView): ResourcePart<Listener> {
  const { scope, address, inboundPorts, gatewayListeners, extraBindAddresses } = view;
  const madeOf = {
    type: view.type,
    managers: connectionManagers(view).key,
    address,
    inbound: inboundPorts.map(({ ip, port, kind, protocol, mtlsMode, services, servicePort, pool, tls }) => [
      ip,
      port,
      kind,
      protocol === 'grpc-web',
      mtlsMode,
      services[0]?.hostname,
      servicePort,
      pool?.tcp,
      tls,
    ]),
    outbound: view.outboundHash(),
    own: view.ownOutbound.map(({ ip, port, protocol, forwardProxy, services }) => [
      ip,
      port,
      protocol,
      forwardProxy,
      services.map(({ service }) => service.hostname),
    ]),
    detectionTimeoutMs: detectionTimeoutMs(view.snapshot.meshConfig),
    tcpRules: hasTcp(scope) ? tcpRulesHash(scope) : undefined,
    forwards: mayForward(view),
    gateway: gatewayListeners.map((listener) =>
      listener.layer === 'http' ? [listener.port, listener.bind, listener.servers[0]?.grpcWeb] : listener,
    ),
    gatewayConnections: hasConnectionServers(view) ? connectionRulesHash(scope) : undefined,
    extraBindAddresses,
    proxyProtocol: view.proxyProtocol,
  };
  return {
    key: `listeners/${stableHash(madeOf)}`,
    list: () => {
      const problems: Problem[] = [...(view.type === 'sidecar' ? view.outbound().problems : [])];
      return { recipes: withoutClashes(view, listenerPlans(view, problems), problems), problems };
    },
  };
}
