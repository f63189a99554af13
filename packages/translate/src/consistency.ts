// Translate: the last check before resources are served: nothing refers to what is not there, nothing is there twice.

import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import { type Cluster, Cluster_DiscoveryType } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Route } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TcpProxySchema } from '@lateen/xds-proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import type { NamedResource, Problem, ProxyResources } from './model.js';

function fault(code: string, subject: string, message: string): Problem {
  return { code, severity: 'error', subject, message };
}

/** A route configuration's links, as far as it can be judged alone. */
export interface RouteFacts {
  /** The clusters that it sends to, each with the first virtual host that does. */
  readonly clusters: ReadonlyMap<string, string>;
  /** What is there twice: a code of its own and the words. */
  readonly duplicates: readonly { readonly code: string; readonly message: string }[];
}

/** The facts of a configuration to which domains may be added. */
export interface ExtensibleRouteFacts extends RouteFacts {
  /** Its domains in lower case, each with the first virtual host that has it. */
  readonly domains: ReadonlyMap<string, string>;
}

export interface ClusterFacts {
  /** The load assignment that it needs; undefined where it has its own. */
  readonly loadAssignment: string | undefined;
}

export interface ListenerFacts {
  /** `IP:PORT` that it binds. */
  readonly addresses: readonly string[];
  /** Names of the route configurations that it needs. */
  readonly routes: readonly string[];
  readonly inlineRoutes: readonly RouteFacts[];
  /** Clusters that TCP proxies send to. */
  readonly tcpClusters: readonly string[];
}

export function clusterFacts({ name, clusterDiscoveryType: type, edsClusterConfig }: Cluster): ClusterFacts {
  const isEds = type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
  return { loadAssignment: isEds ? edsClusterConfig?.serviceName || name : undefined };
}

/** The clusters that a route sends requests to, or copies of them. */
function clustersOf(route: Route): readonly string[] {
  if (route.action.case !== 'route') return [];
  const { clusterSpecifier: specifier, requestMirrorPolicies } = route.action.value;
  const mirrors = requestMirrorPolicies.map(({ cluster }) => cluster);
  if (specifier.case === 'cluster') return [specifier.value, ...mirrors];
  if (specifier.case === 'weightedClusters') return [...specifier.value.clusters.map(({ name }) => name), ...mirrors];
  return mirrors;
}

export function routeFacts(configuration: RouteConfiguration): ExtensibleRouteFacts {
  const clusters = new Map<string, string>();
  const duplicates: { code: string; message: string }[] = [];
  const domains = new Map<string, string>();
  const names = new Set<string>();
  for (const virtualHost of configuration.virtualHosts) {
    if (names.has(virtualHost.name)) {
      duplicates.push({ code: 'duplicate-name', message: `two virtual hosts are named ${virtualHost.name}` });
    }
    names.add(virtualHost.name);
    for (const text of virtualHost.domains) {
      const domain = text.toLowerCase();
      const owner = domains.get(domain);
      if (owner === undefined) domains.set(domain, virtualHost.name);
      else {
        const message = `${domain} is in ${owner} and in ${virtualHost.name}`;
        duplicates.push({ code: 'duplicate-domain', message });
      }
    }
    for (const cluster of virtualHost.routes.flatMap(clustersOf)) {
      if (!clusters.has(cluster)) clusters.set(cluster, virtualHost.name);
    }
  }
  return { clusters, domains, duplicates };
}

function addressesOf(listener: Listener): string[] {
  const all = [listener.address, ...listener.additionalAddresses.map(({ address }) => address)];
  return all.flatMap((address) => {
    if (address?.address.case !== 'socketAddress') return [];
    const { address: ip, portSpecifier } = address.address.value;
    return portSpecifier.case === 'portValue' ? [`${ip}:${portSpecifier.value}`] : [];
  });
}

function tcpClustersOf(any: Any): readonly string[] {
  const { clusterSpecifier: specifier } = unpackAny(any, TcpProxySchema);
  if (specifier.case === 'cluster') return [specifier.value];
  return specifier.case === 'weightedClusters' ? specifier.value.clusters.map(({ name }) => name) : [];
}

/** RDS names and inline route configurations of a listener's HTTP connection managers, clusters of its TCP proxies. */
export function listenerFacts(listener: Listener): ListenerFacts {
  const routes = new Set<string>();
  const inlineRoutes: RouteFacts[] = [];
  const tcpClusters: string[] = [];
  const { filterChains, defaultFilterChain } = listener;
  const chains = defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain];
  const filters = chains.flatMap((chain) => chain.filters);
  const configs = filters.flatMap(({ configType }) => (configType.case === 'typedConfig' ? [configType.value] : []));
  // What proxyless gRPC clients read of a listener.
  const api = listener.apiListener?.apiListener;
  for (const config of api === undefined ? configs : [...configs, api]) {
    if (anyIs(config, TcpProxySchema)) tcpClusters.push(...tcpClustersOf(config));
    if (!anyIs(config, HttpConnectionManagerSchema)) continue;
    const { routeSpecifier } = unpackAny(config, HttpConnectionManagerSchema);
    if (routeSpecifier.case === 'rds') routes.add(routeSpecifier.value.routeConfigName);
    if (routeSpecifier.case === 'routeConfig') inlineRoutes.push(routeFacts(routeSpecifier.value));
  }
  return { addresses: addressesOf(listener), routes: [...routes], inlineRoutes, tcpClusters };
}

function checkRoutes(subject: string, { clusters, duplicates }: RouteFacts, known: ReadonlyMap<string, unknown>) {
  const problems = duplicates.map(({ code, message }) => fault(code, subject, message));
  for (const [cluster, virtualHost] of clusters) {
    if (known.has(cluster)) continue;
    const message = `virtual host ${virtualHost} routes to cluster ${cluster}, which does not exist`;
    problems.push(fault('dangling-cluster', subject, message));
  }
  return problems;
}

/** Facts by the names of resources. */
export type FactsByName<Facts> = ReadonlyMap<string, { readonly facts: Facts }>;

/** Clusters whose endpoints are missing. */
export function checkClusterLinks(clusters: FactsByName<ClusterFacts>, endpoints: ReadonlyMap<string, unknown>) {
  const problems: Problem[] = [];
  for (const [name, { facts }] of clusters) {
    if (facts.loadAssignment === undefined || endpoints.has(facts.loadAssignment)) continue;
    const message = `load assignment ${facts.loadAssignment} does not exist`;
    problems.push(fault('dangling-endpoints', `CDS/${name}`, message));
  }
  return problems;
}

/** Listeners whose routes or clusters are missing, or that want an address that another one has. */
export function checkListenerLinks(
  listeners: FactsByName<ListenerFacts>,
  routes: ReadonlyMap<string, unknown>,
  clusters: ReadonlyMap<string, unknown>,
) {
  const problems: Problem[] = [];
  const bound = new Map<string, string>();
  for (const [name, { facts }] of listeners) {
    const subject = `LDS/${name}`;
    for (const address of facts.addresses) {
      const owner = bound.get(address);
      if (owner === undefined) bound.set(address, name);
      else problems.push(fault('duplicate-address', subject, `${address} is also bound by listener ${owner}`));
    }
    for (const route of facts.routes.filter((wanted) => !routes.has(wanted))) {
      problems.push(fault('dangling-route', subject, `route configuration ${route} does not exist`));
    }
    for (const cluster of facts.tcpClusters.filter((wanted) => !clusters.has(wanted))) {
      const message = `its TCP proxy sends to cluster ${cluster}, which does not exist`;
      problems.push(fault('dangling-cluster', subject, message));
    }
    for (const inline of facts.inlineRoutes) problems.push(...checkRoutes(subject, inline, clusters));
  }
  return problems;
}

/** Route configurations whose clusters are missing, or in which something is twice. */
export function checkRouteLinks(routes: FactsByName<RouteFacts>, clusters: ReadonlyMap<string, unknown>) {
  return [...routes].flatMap(([name, { facts }]) => checkRoutes(`RDS/${name}`, facts, clusters));
}

/** A name that two resources have. */
export function duplicateName(type: string, name: string): Problem {
  return fault('duplicate-name', `${type}/${name}`, 'two resources have this name');
}

function collect<Message, Facts>(
  type: string,
  resources: readonly NamedResource<Message>[],
  of: (message: Message) => Facts,
  problems: Problem[],
): FactsByName<Facts> {
  const result = new Map<string, { readonly facts: Facts }>();
  for (const { name, message } of resources) {
    if (result.has(name)) problems.push(duplicateName(type, name));
    result.set(name, { facts: of(message) });
  }
  return result;
}

/**
 * Checks that resources may be served together: every route's clusters exist, every listener's routes, every EDS
 * cluster's endpoints; no name, domain or address twice. Empty means yes; every finding is an error of translation, not
 * of the user's configuration. The cache does the same by parts, with facts in place of messages.
 */
export function checkConsistency(resources: ProxyResources): readonly Problem[] {
  const problems: Problem[] = [];
  const clusters = collect('CDS', resources.clusters, clusterFacts, problems);
  const endpoints = collect('EDS', resources.endpoints, () => undefined, problems);
  const listeners = collect('LDS', resources.listeners, listenerFacts, problems);
  const routes = collect('RDS', resources.routes, routeFacts, problems);
  return [
    ...problems,
    ...checkClusterLinks(clusters, endpoints),
    ...checkListenerLinks(listeners, routes, clusters),
    ...checkRouteLinks(routes, clusters),
  ];
}
