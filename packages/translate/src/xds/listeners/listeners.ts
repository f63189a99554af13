// Build: the listeners of a view: forward proxy, inbound ports, outbound addresses, or those that connections are led to; of a
// gateway its ports.

import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Problem } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { ownLoopback } from '../../resolve/own-listeners.js';
import { stableHash } from '../../stable-hash.js';
import { forwardsHosts } from '../clusters/forward-hosts.js';
import { isIntercepted } from '../clusters/local-clusters.js';
import { FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE } from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { gatewayListener } from './gateway-listeners.js';
import { connectionManagers } from './http-connection-manager.js';
import type { HttpAbilities } from './http-filters.js';
import { inboundListener } from './inbound/inbound-listener.js';
import { virtualInbound } from './inbound/virtual-inbound.js';
import type { ListenerPlan, SocketAddress } from './listener-plan.js';
import { capturedListeners, toUnknown } from './outbound/captured-listeners.js';
import { capturedOutbound } from './outbound/captured-outbound.js';
import { httpListener, outboundPortListener, ownOutboundListener } from './outbound/outbound-listeners.js';
import { detectionTimeoutMs } from './protocol-detection.js';

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

/** The one that MeshConfig asks for, and where nothing leads connections to the proxy, Lateen's own. */
export function forwardProxyPorts(view: ProxyView): readonly number[] {
  const { proxyHttpPort = 0 } = view.snapshot.meshConfig;
  return [
    ...new Set([...(isIntercepted(view) ? [] : [FORWARD_PROXY_PORT]), ...(proxyHttpPort > 0 ? [proxyHttpPort] : [])]),
  ];
}

/** Those that connections are led to, and what is done with them there. */
function interceptingListeners(view: ProxyView, problems: Problem[]): readonly ListenerPlan[] {
  const { interception, passthroughPorts } = view;
  if (interception === undefined) return [];
  problems.push(...capturedOutbound(view).problems);
  // Without rules for what may come in there is no way in.
  const inbound = passthroughPorts.length === 0 ? [] : [virtualInbound(view, interception)];
  return [...inbound, ...capturedListeners(view)];
}

function listenerPlans(view: ProxyView, problems: Problem[]): readonly ListenerPlan[] {
  if (view.type === 'router') {
    return view.gatewayListeners.flatMap((listener) => gatewayListener(view, listener, problems) ?? []);
  }
  const { addresses } = view.outbound();
  const forwardAbilities = forwardProxyAbilities(view);
  return [
    ...forwardProxyPorts(view).map((port) =>
      httpListener(view, ownLoopback(view.address), port, FORWARD_PROXY_ROUTE, forwardAbilities),
    ),
    ...view.inboundPorts.filter(({ captured }) => !captured).map((port) => inboundListener(view, port)),
    ...addresses.flatMap((outbound) => outboundPortListener(view, outbound, problems) ?? []),
    ...view.ownOutbound.flatMap((own) => ownOutboundListener(view, own, forwardAbilities, problems) ?? []),
    ...interceptingListeners(view, problems),
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

/** Nearly all that is captured is the same for all pods of a workload. */
function bindsOwnAddress({ interception, inboundPorts, ownOutbound }: ProxyView): boolean {
  return interception === undefined || ownOutbound.length > 0 || inboundPorts.some(({ captured }) => !captured);
}

/** Those of its own addresses that others capture connections to: they are pods of a headless service. */
function ownCaptured(view: ProxyView): readonly string[] {
  const own = view.interception?.ownAddresses ?? [];
  const captured = new Set([...capturedOutbound(view).listeners.values()].map(({ ip }) => ip));
  return own.filter((address) => captured.has(address));
}

/** All listeners of a view; of two that want the same address the first in the order above has it. */
export function listenerPart(view: ProxyView): ResourcePart<Listener> {
  const { scope, address, interception, inboundPorts, gatewayListeners, extraBindAddresses } = view;
  const unknown = interception && toUnknown(view);
  const madeOf = {
    type: view.type,
    managers: connectionManagers(view).key,
    address: bindsOwnAddress(view) ? address : '',
    intercepted: interception && [interception.key, ownCaptured(view), view.passthroughPorts, unknown],
    inbound: inboundPorts.map(({ ip, port, kind, protocol, mtlsMode, services, servicePort, pool, tls, captured }) => [
      captured ? '' : ip,
      port,
      kind,
      protocol === 'grpc-web',
      mtlsMode,
      services[0]?.hostname,
      servicePort,
      pool?.tcp,
      tls,
      captured,
    ]),
    outbound: view.outboundHash(),
    own: view.ownOutbound.map(({ ip, port, protocol, forwardProxy, captured, services }) => [
      ip,
      port,
      protocol,
      forwardProxy,
      captured,
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
