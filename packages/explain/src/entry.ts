// Explain: where the caller's proxy takes the call: the listener, the filter chain and the routes that it leads to.

import {
  gatewayListenerName,
  type MeshPort,
  type MeshService,
  meshIndex,
  type ProxyResources,
  type ProxyView,
} from '@lateen/translate';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  type TcpProxy,
  TcpProxySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { chooseChain } from './choose-chain.js';
import { interceptedEntry } from './intercepted-entry.js';
import type { ExplainedRequest } from './request.js';

/** The call is HTTP to the proxy. */
export interface HttpEntry {
  readonly kind: 'http';
  readonly listener: string;
  readonly manager: HttpConnectionManager;
  readonly routes: RouteConfiguration;
  /** The request line has the whole address: the proxy is asked as a forward proxy. */
  readonly absolute: boolean;
  /** The port that VirtualServices match. */
  readonly port: number;
  /** The service whose address was called. */
  readonly service: MeshService | undefined;
  readonly notes: readonly string[];
}

/** The call's bytes are passed on as they are. */
export interface TcpEntry {
  readonly kind: 'tcp';
  readonly listener: string;
  readonly proxy: TcpProxy;
  readonly service: MeshService;
  readonly port: MeshPort;
}

/** Nothing takes the call. */
export interface NoEntry {
  readonly kind: 'none';
  readonly reason: string;
}

const FORWARD_PROXY_PORT = 15_007;

/** Finds the way in of a request at a sidecar or a gateway. */
export function findEntry(
  view: ProxyView,
  resources: ProxyResources,
  request: ExplainedRequest,
): HttpEntry | TcpEntry | NoEntry {
  return view.type === 'router' ? gatewayEntry(view, resources, request) : sidecarEntry(view, resources, request);
}

export function listenerAt(resources: ProxyResources, name: string): Listener | undefined {
  return resources.listeners.find((listener) => listener.name === name)?.message;
}

function gatewayEntry(view: ProxyView, resources: ProxyResources, request: ExplainedRequest): HttpEntry | NoEntry {
  const { connectPort } = request;
  const found = view.gatewayListeners.find(
    ({ port, servers }) => port === connectPort || servers.some((server) => server.port === connectPort),
  );
  const listener = found && listenerAt(resources, gatewayListenerName(found));
  if (found === undefined || listener === undefined) {
    const ports = view.gatewayListeners.flatMap(({ servers }) => servers.map(({ port }) => port));
    const served =
      ports.length === 0 ? 'no Gateway selects it' : `its Gateways serve ${[...new Set(ports)].join(', ')}`;
    return { kind: 'none', reason: `the gateway does not listen on port ${connectPort}: ${served}` };
  }
  const secure = request.scheme === 'https';
  const chain = chooseChain(listener.filterChains, {
    transport: secure ? 'tls' : 'raw_buffer',
    serverName: secure ? request.connectHost : '',
    alpn: ['http/1.1'],
  });
  const manager = chain && managerOf(chain);
  if (manager === undefined) {
    const what = secure ? `TLS with the server name ${request.connectHost}` : 'plain HTTP';
    return { kind: 'none', reason: `no server of the gateway on port ${connectPort} takes ${what}` };
  }
  const routes = routesOf(manager, resources);
  if (routes === undefined) return { kind: 'none', reason: `the routes of port ${connectPort} are missing` };
  return {
    kind: 'http',
    listener: `gateway port ${found.port}`,
    manager,
    routes,
    absolute: false,
    port: found.servers[0]?.port ?? found.port,
    service: undefined,
    notes: [],
  };
}

function sidecarEntry(
  view: ProxyView,
  resources: ProxyResources,
  request: ExplainedRequest,
): HttpEntry | TcpEntry | NoEntry {
  const { connectHost, connectPort } = request;
  const service = view.scope.services.find((each) => isNameOf(connectHost, each, view.scope.namespace));
  if (view.interception !== undefined) return interceptedEntry(view, resources, request, service);
  const own = view.outbound().addresses.find((each) => each.service === service && each.port.port === connectPort);
  const listener = own && listenerAt(resources, `${own.address}_${connectPort}`);
  if (service !== undefined && own !== undefined && listener !== undefined) {
    const label = `${service.hostname}:${connectPort}`;
    const chain = chooseChain(listener.filterChains, { transport: 'raw_buffer', serverName: '', alpn: ['http/1.1'] });
    const manager = chain && managerOf(chain);
    const routes = manager && routesOf(manager, resources);
    if (manager !== undefined && routes !== undefined) {
      if (request.scheme === 'https') {
        const reason = `${label} speaks HTTP (port ${own.port.name || 'without a name'}), so a TLS handshake there is no request`;
        return { kind: 'none', reason };
      }
      return { kind: 'http', listener: label, manager, routes, absolute: false, port: connectPort, service, notes: [] };
    }
    const proxy = chain && tcpProxyOf(chain);
    if (proxy !== undefined) return { kind: 'tcp', listener: label, proxy, service, port: own.port };
  }
  return forwardProxyEntry(view, resources, request, service);
}

/** Hosts that are no address of their own are asked of the forward proxy. */
function forwardProxyEntry(
  view: ProxyView,
  resources: ProxyResources,
  request: ExplainedRequest,
  service: MeshService | undefined,
): HttpEntry | NoEntry {
  const reason = whyNoAddress(view, request, service);
  const listener = listenerAt(resources, `${view.address}_${FORWARD_PROXY_PORT}`);
  const chain = listener?.filterChains[0];
  const manager = chain && managerOf(chain);
  const routes = manager && routesOf(manager, resources);
  if (manager === undefined || routes === undefined) return { kind: 'none', reason };
  if (request.scheme === 'https') {
    return {
      kind: 'none',
      reason: `${reason}; through the forward proxy TLS goes in a tunnel (CONNECT), whose requests nobody sees`,
    };
  }
  return {
    kind: 'http',
    listener: 'forward proxy',
    manager,
    routes,
    absolute: true,
    port: request.connectPort,
    service: undefined,
    notes: [`${reason}, so it can only be called through the forward proxy`],
  };
}

function whyNoAddress(view: ProxyView, { connectHost, connectPort }: ExplainedRequest, service?: MeshService): string {
  const { scope } = view;
  if (service !== undefined) {
    const port = service.ports.find((each) => each.port === connectPort);
    if (port !== undefined && scope.sidecar?.isAddressed?.(service, connectPort) === false) {
      return `Sidecar ${scope.sidecar.name} takes ${service.hostname} in at a forward proxy alone`;
    }
    if (port !== undefined)
      return `port ${connectPort} of ${service.hostname} is ${port.protocol}, which is not served`;
    const ports = service.ports.map((each) => each.port).join(', ');
    return `service ${service.hostname} has no port ${connectPort} (it has ${ports || 'none'})`;
  }
  const hidden = meshIndex(scope.snapshot).services.find((each) => isNameOf(connectHost, each, scope.namespace));
  if (hidden === undefined) {
    const elsewhere = meshIndex(scope.snapshot).services.filter(
      ({ kind, name }) => kind === 'Service' && name === connectHost,
    );
    const advice = elsewhere.length === 0 ? '' : `; did you mean ${elsewhere.map(fullName).join(' or ')}?`;
    return `no service of the mesh is called ${connectHost} in namespace ${scope.namespace}${advice}`;
  }
  if (scope.sidecar !== undefined)
    return `Sidecar ${scope.sidecar.name} does not let ${scope.namespace} see ${hidden.hostname}`;
  return `service ${hidden.hostname} is not exported to namespace ${scope.namespace}`;
}

function fullName({ name, namespace }: MeshService): string {
  return `${name}.${namespace}`;
}

/** The names that lead to a service's address: by the search list of the caller's namespace. */
function isNameOf(host: string, { kind, hostname, name, namespace }: MeshService, from: string): boolean {
  const wanted = host.replace(/\.$/, '');
  if (kind === 'ServiceEntry') return wanted === hostname;
  if (wanted === name) return namespace === from;
  return wanted === hostname || wanted === `${name}.${namespace}.svc` || wanted === `${name}.${namespace}`;
}

/** The HTTP connection manager of a chain. */
export function managerOf({ filters }: FilterChain): HttpConnectionManager | undefined {
  for (const { configType } of filters) {
    if (configType.case === 'typedConfig' && anyIs(configType.value, HttpConnectionManagerSchema)) {
      const manager = knownManagers.get(configType.value) ?? unpackAny(configType.value, HttpConnectionManagerSchema);
      knownManagers.set(configType.value, manager);
      return manager;
    }
  }
  return undefined;
}

/** Many requests are asked about; what is made of a manager is kept by it. */
const knownManagers = new WeakMap<object, HttpConnectionManager>();

/** The TCP proxy of a chain. */
export function tcpProxyOf({ filters }: FilterChain): TcpProxy | undefined {
  for (const { configType } of filters) {
    if (configType.case === 'typedConfig' && anyIs(configType.value, TcpProxySchema)) {
      return unpackAny(configType.value, TcpProxySchema);
    }
  }
  return undefined;
}

/** The routes that a connection manager names or holds. */
export function routesOf(manager: HttpConnectionManager, resources?: ProxyResources): RouteConfiguration | undefined {
  const { routeSpecifier } = manager;
  if (routeSpecifier.case === 'routeConfig') return routeSpecifier.value;
  if (routeSpecifier.case !== 'rds') return undefined;
  return resources?.routes.find(({ name }) => name === routeSpecifier.value.routeConfigName)?.message;
}
