// Build: the listeners of a view: outbound addresses, forward proxy, inbound ports, gateway ports.

import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type Filter,
  type FilterChain,
  FilterChainSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Problem } from '../../model.js';
import type { OutboundAddress, ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import type { EffectiveMtlsMode } from '../../resolve/peer-authentication.js';
import { stableHash } from '../../stable-hash.js';
import { forwardsHosts } from '../clusters/forward-hosts.js';
import { downstreamMutualTls, ISTIO_ALPN } from '../clusters/tls-context.js';
import { durationOfMs } from '../durations.js';
import { FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE, inboundClusterName, listenerName } from '../names.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { buildInboundRoute } from '../routes/inbound-route.js';
import { outboundTargets } from '../routes/tcp-destinations.js';
import { gatewayListener } from './gateway-listeners.js';
import { connectionManagers } from './http-connection-manager.js';
import {
  connectionMatch,
  type ListenerPlan,
  type SocketAddress,
  socketAddress,
  tlsInspector,
} from './listener-plan.js';
import { buildTcpFilters } from './tcp-proxy.js';

/** A listener that passes on bytes as they are. */
function outboundTcpListener(
  view: ProxyView,
  { address: ip, port, service }: OutboundAddress,
  problems: Problem[],
): ListenerPlan {
  const name = listenerName(ip, port.port);
  const targets = outboundTargets(view.scope, service, port, problems);
  const byName = targets.some(({ serverNames }) => serverNames.length > 0);
  return {
    name,
    key: `outbound-tcp/${connectionManagers(view.scope, view.understandsIstioFilters).key}/${stableHash(targets)}`,
    address: { ip, port: port.port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port: port.port }),
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

function outboundListener(view: ProxyView, ip: string, port: number, rds: string, forwards = false): ListenerPlan {
  const name = listenerName(ip, port);
  const managers = connectionManagers(view.scope, view.understandsIstioFilters);
  return {
    name,
    key: `outbound/${managers.key}/${rds}/${forwards}`,
    address: { ip, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip, port }),
        trafficDirection: TrafficDirection.OUTBOUND,
        filterChains: [{ filters: [managers.build('sidecar-outbound', name, { rds }, forwards)] }],
      }),
  };
}

/**
 * The TLS chain takes members of the mesh only: they must have its certificate. Where other TLS may come they show
 * themselves by their ALPN, which only proxies offer.
 */
function mutualTlsChain(view: ProxyView, filters: Filter[], applicationProtocols = ISTIO_ALPN): FilterChain {
  return create(FilterChainSchema, {
    name: 'mtls',
    filterChainMatch: { transportProtocol: 'tls', applicationProtocols },
    filters,
    transportSocket: downstreamMutualTls(view.snapshot),
  });
}

function plainTextChain(filters: Filter[]): FilterChain {
  return create(FilterChainSchema, {
    name: 'plaintext',
    filterChainMatch: { transportProtocol: 'raw_buffer' },
    filters,
  });
}

function httpChains(view: ProxyView, mtlsMode: EffectiveMtlsMode, filters: Filter[]): FilterChain[] {
  return [
    // As Istio: under STRICT also a client without a proxy (proxyless gRPC, which offers h2) is welcome with its certificate.
    ...(mtlsMode === 'DISABLE' ? [] : [mutualTlsChain(view, filters, mtlsMode === 'STRICT' ? [] : ISTIO_ALPN)]),
    ...(mtlsMode === 'STRICT' ? [] : [plainTextChain(filters)]),
  ];
}

/** TLS that is not the mesh's is the application's own, and passes through. */
function tcpChains(view: ProxyView, mtlsMode: EffectiveMtlsMode, filters: Filter[]): FilterChain[] {
  // Nothing to choose by: connections need not be looked at, so their server may speak first.
  if (mtlsMode === 'DISABLE') return [create(FilterChainSchema, { name: 'tcp', filters })];
  if (mtlsMode === 'STRICT') return [mutualTlsChain(view, filters)];
  const foreign = create(FilterChainSchema, {
    name: 'tls-passthrough',
    filterChainMatch: { transportProtocol: 'tls' },
    filters,
  });
  return [mutualTlsChain(view, filters), foreign, plainTextChain(filters)];
}

/**
 * How long a client that says nothing is taken for TLS that is about to begin; then its server may speak first. Istio's
 * value for inbound listeners.
 */
const SERVER_FIRST_DELAY_MS = 1000;

function inboundListener(view: ProxyView, inbound: InboundPort): ListenerPlan {
  const { port, mtlsMode, services, servicePort, kind, pool } = inbound;
  const name = listenerName(view.address, port);
  const managers = connectionManagers(view.scope, view.understandsIstioFilters);
  const takesTls = mtlsMode !== 'DISABLE';
  const chains = (): FilterChain[] => {
    if (kind === 'http') {
      const filter = managers.build('sidecar-inbound', name, { inline: buildInboundRoute(inbound) });
      return httpChains(view, mtlsMode, [filter]);
    }
    const cluster = inboundClusterName(port);
    const to = {
      statPrefix: cluster,
      clusters: [{ name: cluster, weight: 1 }],
      idleTimeout: pool?.tcp?.idleTimeout,
      maxDuration: pool?.tcp?.maxConnectionDuration,
      hashesSource: false,
    };
    return tcpChains(view, mtlsMode, buildTcpFilters(view, 'sidecar-inbound', to));
  };
  return {
    name,
    key: [
      'inbound',
      kind,
      managers.key,
      mtlsMode,
      services[0]?.hostname ?? '',
      servicePort,
      stableHash(pool?.tcp ?? {}),
    ].join('/'),
    address: { ip: view.address, port },
    additionalAddresses: [],
    build: () =>
      create(ListenerSchema, {
        name,
        address: socketAddress({ ip: view.address, port }),
        trafficDirection: TrafficDirection.INBOUND,
        listenerFilters: takesTls ? [tlsInspector()] : [],
        ...(takesTls && kind === 'tcp'
          ? { listenerFiltersTimeout: durationOfMs(SERVER_FIRST_DELAY_MS), continueOnListenerFiltersTimeout: true }
          : {}),
        filterChains: chains(),
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

/** Whether calls through the forward proxy may go to hosts that they name. */
function mayForward({ scope }: ProxyView): boolean {
  return scope.outboundMode === 'ALLOW_ANY' || forwardsHosts(scope);
}

function listenerPlans(view: ProxyView, problems: Problem[]): readonly ListenerPlan[] {
  if (view.type === 'router') {
    return view.gatewayListeners.flatMap((listener) => gatewayListener(view, listener, problems) ?? []);
  }
  const { addresses } = view.outbound();
  return [
    outboundListener(view, view.address, FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE, mayForward(view)),
    ...view.inboundPorts.map((port) => inboundListener(view, port)),
    ...addresses.map((outbound) =>
      outbound.port.http
        ? outboundListener(view, outbound.address, outbound.port.port, String(outbound.port.port))
        : outboundTcpListener(view, outbound, problems),
    ),
  ];
}

const scopesWithTcp = new WeakMap<ClientScope, boolean>();

function hasTcp(scope: ClientScope): boolean {
  const known = scopesWithTcp.get(scope) ?? scope.services.some(({ ports }) => ports.some(({ tcp }) => tcp));
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
    managers: connectionManagers(scope, view.understandsIstioFilters).key,
    address,
    inbound: inboundPorts.map(({ port, kind, mtlsMode, services, servicePort }) => [
      port,
      kind,
      mtlsMode,
      services[0]?.hostname,
      servicePort,
    ]),
    outbound: view.outboundHash(),
    tcpRules: hasTcp(scope) ? tcpRulesHash(scope) : undefined,
    forwards: mayForward(view),
    gateway: gatewayListeners.map((listener) => (listener.layer === 'http' ? listener.port : listener)),
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
