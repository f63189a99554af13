// Build: the listeners of a gateway: plain HTTP by host, TLS by server name, TCP.

import { create } from '@bufbuild/protobuf';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type Filter,
  type FilterChain,
  FilterChainSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Problem } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { GatewayListener, GatewayServer } from '../../resolve/gateways.js';
import { stableHash } from '../../stable-hash.js';
import { forwardsHosts } from '../clusters/forward-hosts.js';
import { PEER_EXCHANGE } from '../clusters/tls-context.js';
import { gatewayListenerName, gatewayRouteName, gatewayTlsRouteName } from '../names.js';
import { connectionTargets } from '../routes/gateway-connections.js';
import type { TcpDestinations } from '../routes/tcp-destinations.js';
import { proxyProtocolFilter } from '../tls/proxy-protocol.js';
import { GATEWAY_HTTP_ALPN, serverTlsSocket } from '../tls/server-tls-context.js';
import { connectionManagers } from './http-connection-manager.js';
import { bindAddresses, connectionMatch, type ListenerPlan, socketAddress, tlsInspector } from './listener-plan.js';
import { buildTcpFilters } from './tcp-proxy.js';

/** One filter chain, before it is made. */
interface ChainPlan {
  readonly server: GatewayServer;
  /** Names in the ClientHello; empty takes every connection. */
  readonly serverNames: readonly string[];
  /** Addresses that the connection was opened to; empty: any. */
  readonly subnets: readonly string[];
  /** Where the bytes go; undefined: requests are routed. */
  readonly to: TcpDestinations | undefined;
}

/** The names of a server's own hosts that a ClientHello can be matched with. */
function ownServerNames({ hosts }: GatewayServer): readonly string[] {
  const names = [...new Set(hosts.map(({ host }) => host))];
  return names.includes('*') ? [] : names;
}

/** A server's chains as it wants them, without regard to other servers of the port. */
function wantedChains(view: ProxyView, server: GatewayServer, problems: Problem[]): ChainPlan[] {
  if (server.kind === 'http') return [{ server, serverNames: ownServerNames(server), subnets: [], to: undefined }];
  return connectionTargets(view.scope, server, problems).map(({ serverNames, subnets, to }) => ({
    server,
    serverNames: server.tls === undefined ? serverNames : ownServerNames(server),
    subnets,
    to,
  }));
}

/** Gives each server name of a port to the first chain that asks for it: two chains with one name would be refused. */
function planChains(view: ProxyView, { port, servers }: GatewayListener, problems: Problem[]): ChainPlan[] {
  const owners = new Map<string, string>();
  const plans: ChainPlan[] = [];
  for (const plan of servers.flatMap((server) => wantedChains(view, server, problems))) {
    const wanted = plan.serverNames.length === 0 ? ['*'] : plan.serverNames;
    // The same name may lead elsewhere at another address.
    const key = (name: string) => `${name} ${plan.subnets.join(',')}`;
    const free = wanted.filter((name) => !owners.has(key(name)));
    const taken = wanted.filter((name) => owners.has(key(name)));
    if (taken.length > 0) {
      const first = owners.get(key(taken[0]!));
      problems.push({
        code: 'conflict-server-name',
        severity: 'warning',
        subject: `Gateway/${plan.server.gateway}`,
        message: `${taken.join(', ')} on port ${port} (${plan.server.portName}) is taken by ${first}, which keeps it; give each name to one server`,
      });
    }
    for (const name of free) owners.set(key(name), `Gateway ${plan.server.gateway} (${plan.server.portName})`);
    if (free.length > 0) plans.push({ ...plan, serverNames: plan.serverNames.length === 0 ? [] : free });
  }
  return plans;
}

function buildChain(view: ProxyView, listener: string, { server, serverNames, subnets, to }: ChainPlan): FilterChain {
  const { snapshot, scope, understandsIstioFilters } = view;
  const filters = (): Filter[] => {
    if (to !== undefined) return buildTcpFilters(view, 'gateway', to);
    const managers = connectionManagers(view);
    return [
      managers.build('gateway', listener, { rds: gatewayTlsRouteName(server) }, { forwards: forwardsHosts(scope) }),
    ];
  };
  // Between TCP proxies of a mesh the introduction of both sides is agreed on by ALPN, as in Istio.
  const exchanges = to !== undefined && server.tls?.settings.mode === 'ISTIO_MUTUAL' && understandsIstioFilters;
  const alpn = to === undefined ? GATEWAY_HTTP_ALPN : exchanges ? [PEER_EXCHANGE, 'istio'] : [];
  return create(FilterChainSchema, {
    ...connectionMatch({ serverNames, subnets }),
    filters: filters(),
    ...(server.tls === undefined ? {} : { transportSocket: serverTlsSocket(snapshot, server.tls, alpn) }),
  });
}

/** The listener of a gateway's port; undefined where no connection leads anywhere. */
export function gatewayListener(
  view: ProxyView,
  listener: GatewayListener,
  problems: Problem[],
): ListenerPlan | undefined {
  const { port, bind, layer } = listener;
  const name = gatewayListenerName(listener);
  const ip = bind === '' ? view.address : bind;
  const managers = connectionManagers(view);
  const own = { name, address: socketAddress({ ip, port }), trafficDirection: TrafficDirection.OUTBOUND };
  const plan = {
    name,
    address: { ip, port },
    additionalAddresses: bind === '' ? bindAddresses(view.extraBindAddresses[String(port)]) : [],
  };
  // Before everything else: what follows is the connection itself.
  const headers = view.proxyProtocol ? [proxyProtocolFilter()] : [];
  const others = (addresses: Parameters<ListenerPlan['build']>[0]) =>
    addresses.map((address) => ({ address: socketAddress(address) }));
  if (layer === 'http') {
    // The servers of a port share its connection manager: as in Istio the first one says what it is for.
    const abilities = { forwards: forwardsHosts(view.scope), grpcWeb: listener.servers[0]?.grpcWeb === true };
    return {
      ...plan,
      key: `gateway/${managers.key}/${stableHash(abilities)}/${view.proxyProtocol}`,
      build: (addresses) =>
        create(ListenerSchema, {
          ...own,
          additionalAddresses: others(addresses),
          listenerFilters: headers,
          filterChains: [
            {
              filters: [managers.build('gateway', name, { rds: gatewayRouteName(listener) }, abilities)],
            },
          ],
        }),
    };
  }
  const chains = planChains(view, listener, problems);
  if (chains.length === 0) return undefined;
  return {
    ...plan,
    key: `gateway-${layer}/${managers.key}/${forwardsHosts(view.scope)}/${view.proxyProtocol}/${stableHash(chains)}`,
    build: (addresses) =>
      create(ListenerSchema, {
        ...own,
        additionalAddresses: others(addresses),
        listenerFilters: [...headers, ...(layer === 'tls' ? [tlsInspector()] : [])],
        filterChains: chains.map((chain) => buildChain(view, name, chain)),
      }),
  };
}
