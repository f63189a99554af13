// Test support: what happens to a request on generated resources, by Envoy's rules, with no sockets.

import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type {
  HeaderMatcher,
  Route,
  RouteMatch,
  VirtualHost,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { DownstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import type { ProxyResources } from '../src/index.js';

export interface SimulatedRequest {
  /** Where the connection goes: `IP:PORT`. */
  readonly to: string;
  readonly host: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** `mtls`: a sidecar's handshake; `tls`: some other client's; default plain text. */
  readonly transport?: 'plain' | 'tls' | 'mtls';
}

/** What becomes of it: refused before HTTP, answered by the proxy, or sent to clusters (weight by name). */
export type Outcome =
  | { readonly refused: string }
  | { readonly status: number; readonly virtualHost: string | undefined }
  | { readonly clusters: Readonly<Record<string, number>>; readonly virtualHost: string; readonly endpoints: string[] };

function addressesOf({ address, additionalAddresses }: Listener): string[] {
  return [address, ...additionalAddresses.map((additional) => additional.address)].map((candidate) => {
    const socket = candidate?.address.case === 'socketAddress' ? candidate.address.value : undefined;
    return `${socket?.address}:${socket?.portSpecifier.value}`;
  });
}

function chainFor({ filterChains }: Listener, transport: SimulatedRequest['transport']): FilterChain | undefined {
  const alpn = transport === 'mtls' ? ['istio-http/1.1', 'istio', 'http/1.1'] : ['http/1.1'];
  const protocol = transport === undefined || transport === 'plain' ? 'raw_buffer' : 'tls';
  return filterChains.find(({ filterChainMatch: match }) => {
    if (match === undefined) return true;
    if (match.transportProtocol !== '' && match.transportProtocol !== protocol) return false;
    const { applicationProtocols } = match;
    return applicationProtocols.length === 0 || applicationProtocols.some((name) => alpn.includes(name));
  });
}

function routesOf(chain: FilterChain, resources: ProxyResources): RouteConfiguration {
  for (const { configType } of chain.filters) {
    if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) continue;
    const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
    if (routeSpecifier.case === 'routeConfig') return routeSpecifier.value;
    if (routeSpecifier.case !== 'rds') continue;
    const name = routeSpecifier.value.routeConfigName;
    const found = resources.routes.find((route) => route.name === name);
    if (found) return found.message;
  }
  throw new Error('the filter chain has no routes');
}

/** Exact, then the longest `*suffix`, then the longest `prefix*`, then `*`. */
export function matchVirtualHost(configuration: RouteConfiguration, host: string): VirtualHost | undefined {
  const name = host.toLowerCase();
  const all = configuration.virtualHosts.flatMap((virtualHost) =>
    virtualHost.domains.map((domain) => ({ domain: domain.toLowerCase(), virtualHost })),
  );
  const longest = (candidates: typeof all) => candidates.sort((a, b) => b.domain.length - a.domain.length)[0];
  const exact = all.find(({ domain }) => domain === name);
  const suffix = longest(
    all.filter(({ domain }) => domain.length > 1 && domain.startsWith('*') && name.endsWith(domain.slice(1))),
  );
  const prefix = longest(
    all.filter(({ domain }) => domain.length > 1 && domain.endsWith('*') && name.startsWith(domain.slice(0, -1))),
  );
  return (exact ?? suffix ?? prefix ?? all.find(({ domain }) => domain === '*'))?.virtualHost;
}

function matchString({ matchPattern: pattern }: StringMatcher, value: string): boolean {
  if (pattern.case === 'exact') return pattern.value === value;
  if (pattern.case === 'prefix') return value.startsWith(pattern.value);
  if (pattern.case === 'safeRegex') return new RegExp(`^(?:${pattern.value.regex})$`).test(value);
  throw new Error(`the simulation does not know ${pattern.case}`);
}

function matchHeader(matcher: HeaderMatcher, request: SimulatedRequest): boolean {
  const pseudo: Record<string, string> = {
    ':method': request.method ?? 'GET',
    ':authority': request.host,
    ':scheme': 'http',
  };
  const { headerMatchSpecifier: specifier, invertMatch, treatMissingHeaderAsEmpty } = matcher;
  let value = pseudo[matcher.name] ?? request.headers?.[matcher.name.toLowerCase()];
  if (value === undefined && treatMissingHeaderAsEmpty) value = '';
  if (specifier.case === 'presentMatch') return (value !== undefined) === specifier.value ? !invertMatch : invertMatch;
  if (value === undefined) return false;
  const matches = specifier.case === 'stringMatch' && matchString(specifier.value, value);
  return matches !== invertMatch;
}

function matchRoute(match: RouteMatch, request: SimulatedRequest): boolean {
  const fold = (text: string) => (match.caseSensitive === false ? text.toLowerCase() : text);
  const [path = '/', query = ''] = (request.path ?? '/').split('?');
  const { pathSpecifier } = match;
  if (pathSpecifier.case === 'prefix' && !fold(path).startsWith(fold(pathSpecifier.value))) return false;
  if (pathSpecifier.case === 'path' && fold(path) !== fold(pathSpecifier.value)) return false;
  if (pathSpecifier.case === 'safeRegex' && !new RegExp(`^(?:${pathSpecifier.value.regex})$`).test(path)) return false;
  if (!match.headers.every((matcher) => matchHeader(matcher, request))) return false;
  const parameters = new URLSearchParams(query);
  return match.queryParameters.every(({ name, queryParameterMatchSpecifier: specifier }) => {
    const value = parameters.get(name);
    if (specifier.case === 'presentMatch') return (value !== null) === specifier.value;
    return value !== null && specifier.case === 'stringMatch' && matchString(specifier.value, value);
  });
}

function clusterWeights(route: Route): Record<string, number> {
  if (route.action.case !== 'route') throw new Error('not a forwarding route');
  const { clusterSpecifier } = route.action.value;
  if (clusterSpecifier.case === 'cluster') return { [clusterSpecifier.value]: 1 };
  if (clusterSpecifier.case !== 'weightedClusters') throw new Error('a route without clusters');
  return Object.fromEntries(clusterSpecifier.value.clusters.map(({ name, weight }) => [name, weight ?? 0]));
}

/** `IP:PORT` of the endpoints of a cluster, from EDS or its own assignment. */
export function endpointsOf(resources: ProxyResources, cluster: string): string[] {
  const message = resources.clusters.find(({ name }) => name === cluster)?.message;
  const assignment = resources.endpoints.find(({ name }) => name === cluster)?.message ?? message?.loadAssignment;
  return (assignment?.endpoints ?? []).flatMap(({ lbEndpoints }) =>
    lbEndpoints.map(({ hostIdentifier }) => {
      const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      if (address?.case !== 'socketAddress') throw new Error('an endpoint without address');
      return `${address.value.address}:${address.value.portSpecifier.value}`;
    }),
  );
}

function wantsCertificate({ transportSocket }: FilterChain): boolean {
  if (transportSocket?.configType.case !== 'typedConfig') return false;
  const { value } = transportSocket.configType;
  return (
    anyIs(value, DownstreamTlsContextSchema) &&
    unpackAny(value, DownstreamTlsContextSchema).requireClientCertificate === true
  );
}

/** Runs a request through listener, filter chain, virtual host and route. */
export function simulate(resources: ProxyResources, request: SimulatedRequest): Outcome {
  const listener = resources.listeners.find(({ message }) => addressesOf(message).includes(request.to));
  if (listener === undefined) return { refused: 'no listener' };
  const chain = chainFor(listener.message, request.transport);
  if (chain === undefined) return { refused: 'no filter chain' };
  if (request.transport === 'tls' && wantsCertificate(chain)) return { refused: 'no certificate' };
  const configuration = routesOf(chain, resources);
  const virtualHost = matchVirtualHost(configuration, request.host);
  const route = virtualHost?.routes.find(({ match }) => match !== undefined && matchRoute(match, request));
  if (virtualHost === undefined || route === undefined) return { status: 404, virtualHost: virtualHost?.name };
  if (route.action.case === 'directResponse') {
    return { status: route.action.value.status, virtualHost: virtualHost.name };
  }
  if (route.action.case === 'redirect') return { status: 301, virtualHost: virtualHost.name };
  const clusters = clusterWeights(route);
  const endpoints = Object.keys(clusters).flatMap((cluster) => endpointsOf(resources, cluster));
  return { clusters, virtualHost: virtualHost.name, endpoints };
}
