// Translate: the last check before resources are served: nothing refers to what is not there, nothing is there twice.

import { anyIs, unpackAny } from '@lateen/xds-proto';
import { Cluster_DiscoveryType } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { Route } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { NamedResource, Problem, ProxyResources } from './model.js';

function fault(code: string, subject: string, message: string): Problem {
  return { code, severity: 'error', subject, message };
}

function duplicateNames(type: string, resources: readonly NamedResource<unknown>[]): Problem[] {
  const seen = new Set<string>();
  return resources.flatMap(({ name }) => {
    if (!seen.has(name)) {
      seen.add(name);
      return [];
    }
    return [fault('duplicate-name', `${type}/${name}`, 'two resources have this name')];
  });
}

/** The clusters that a route sends requests to. */
function clustersOf(route: Route): readonly string[] {
  if (route.action.case !== 'route') return [];
  const { clusterSpecifier: specifier } = route.action.value;
  if (specifier.case === 'cluster') return [specifier.value];
  if (specifier.case === 'weightedClusters') return specifier.value.clusters.map(({ name }) => name);
  return [];
}

function checkRoutes(subject: string, configuration: RouteConfiguration, clusters: ReadonlySet<string>): Problem[] {
  const problems: Problem[] = [];
  const domains = new Map<string, string>();
  const names = new Set<string>();
  for (const virtualHost of configuration.virtualHosts) {
    if (names.has(virtualHost.name)) {
      problems.push(fault('duplicate-name', subject, `two virtual hosts are named ${virtualHost.name}`));
    }
    names.add(virtualHost.name);
    for (const domain of virtualHost.domains.map((text) => text.toLowerCase())) {
      const owner = domains.get(domain);
      if (owner === undefined) domains.set(domain, virtualHost.name);
      else problems.push(fault('duplicate-domain', subject, `${domain} is in ${owner} and in ${virtualHost.name}`));
    }
    for (const cluster of virtualHost.routes.flatMap(clustersOf).filter((name) => !clusters.has(name))) {
      const message = `virtual host ${virtualHost.name} routes to cluster ${cluster}, which does not exist`;
      problems.push(fault('dangling-cluster', subject, message));
    }
  }
  return problems;
}

/** RDS names and inline route configurations of a listener's HTTP connection managers. */
function routesOf(listener: Listener): (string | RouteConfiguration)[] {
  return listener.filterChains.flatMap((chain) =>
    chain.filters.flatMap(({ configType }): (string | RouteConfiguration)[] => {
      if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) return [];
      const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
      if (routeSpecifier.case === 'rds') return [routeSpecifier.value.routeConfigName];
      return routeSpecifier.case === 'routeConfig' ? [routeSpecifier.value] : [];
    }),
  );
}

function addressesOf(listener: Listener): string[] {
  const all = [listener.address, ...listener.additionalAddresses.map(({ address }) => address)];
  return all.flatMap((address) => {
    if (address?.address.case !== 'socketAddress') return [];
    const { address: ip, portSpecifier } = address.address.value;
    return portSpecifier.case === 'portValue' ? [`${ip}:${portSpecifier.value}`] : [];
  });
}

function checkListeners(resources: ProxyResources, clusters: ReadonlySet<string>): Problem[] {
  const problems: Problem[] = [];
  const routes = new Set(resources.routes.map(({ name }) => name));
  const bound = new Map<string, string>();
  for (const { name, message } of resources.listeners) {
    const subject = `LDS/${name}`;
    for (const address of addressesOf(message)) {
      const owner = bound.get(address);
      if (owner === undefined) bound.set(address, name);
      else problems.push(fault('duplicate-address', subject, `${address} is also bound by listener ${owner}`));
    }
    for (const route of new Set(routesOf(message))) {
      if (typeof route !== 'string') problems.push(...checkRoutes(subject, route, clusters));
      else if (!routes.has(route)) {
        problems.push(fault('dangling-route', subject, `route configuration ${route} does not exist`));
      }
    }
  }
  return problems;
}

function checkClusters(resources: ProxyResources): Problem[] {
  const endpoints = new Set(resources.endpoints.map(({ name }) => name));
  return resources.clusters.flatMap(({ name, message }) => {
    const { clusterDiscoveryType: type, edsClusterConfig } = message;
    if (type.case !== 'type' || type.value !== Cluster_DiscoveryType.EDS) return [];
    const service = edsClusterConfig?.serviceName || name;
    if (endpoints.has(service)) return [];
    return [fault('dangling-endpoints', `CDS/${name}`, `load assignment ${service} does not exist`)];
  });
}

/**
 * Checks that resources may be served together: every route's clusters exist, every listener's routes, every EDS
 * cluster's endpoints; no name, domain or address twice. Empty means yes; every finding is an error of translation, not
 * of the user's configuration.
 */
export function checkConsistency(resources: ProxyResources): readonly Problem[] {
  const clusters = new Set(resources.clusters.map(({ name }) => name));
  return [
    ...duplicateNames('CDS', resources.clusters),
    ...duplicateNames('EDS', resources.endpoints),
    ...duplicateNames('LDS', resources.listeners),
    ...duplicateNames('RDS', resources.routes),
    ...checkClusters(resources),
    ...checkListeners(resources, clusters),
    ...resources.routes.flatMap(({ name, message }) => checkRoutes(`RDS/${name}`, message, clusters)),
  ];
}
