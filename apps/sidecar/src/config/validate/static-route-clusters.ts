// Bootstrap file: a route written in the file may only lead to a cluster that is written there too, unless more come by CDS.

import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { AccessLog } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import type { GrpcService } from '@lateen/xds-proto/envoy/config/core/v3/grpc_service_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { RouteAction } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { ExtAuthzSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { RateLimitSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import {
  HttpConnectionManagerSchema,
  type HttpFilter,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  type TcpProxy,
  TcpProxySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { collectorCluster } from '../../observe/audit/collectors/collector-config.js';
import { closestName } from '../closest-name.js';
import type { ProblemCollector } from './field-checks.js';

/**
 * Adds a problem for each reference to a cluster that does not exist, as Envoy does for inline route configurations
 * unless they say `validate_clusters: false`.
 * @param path where the listener stands
 */
export function checkStaticRouteClusters(
  listener: Listener,
  clusters: ReadonlySet<string>,
  path: string,
  out: ProblemCollector,
): void {
  const chains = listener.filterChains.map((chain, index) => ({ chain, at: `${path}.filter_chains[${index}]` }));
  const { defaultFilterChain } = listener;
  if (defaultFilterChain !== undefined) chains.push({ chain: defaultFilterChain, at: `${path}.default_filter_chain` });
  for (const { chain, at } of chains) {
    chain.filters.forEach(({ configType }, index) => {
      if (configType.case !== 'typedConfig') return;
      if (anyIs(configType.value, TcpProxySchema)) {
        const proxy = unpackAny(configType.value, TcpProxySchema);
        for (const { name, place } of [...tcpClusters(proxy), ...collectors(proxy.accessLog)]) {
          checkName(name, `${at}.filters[${index}].typed_config.${place}`, clusters, out);
        }
        return;
      }
      if (!anyIs(configType.value, HttpConnectionManagerSchema)) return;
      const { routeSpecifier, httpFilters, accessLog } = unpackAny(configType.value, HttpConnectionManagerSchema);
      for (const { name, place } of [...askedServices(httpFilters), ...collectors(accessLog)]) {
        checkName(name, `${at}.filters[${index}].typed_config.${place}`, clusters, out);
      }
      if (routeSpecifier.case !== 'routeConfig' || routeSpecifier.value.validateClusters === false) return;
      for (const { name, place } of references(routeSpecifier.value)) {
        checkName(name, `${at}.filters[${index}].typed_config.route_config.${place}`, clusters, out);
      }
    });
  }
}

function checkName(name: string, where: string, clusters: ReadonlySet<string>, out: ProblemCollector): void {
  if (name === '' || clusters.has(name)) return; // an empty name has its own problem
  const meant = closestName(name, clusters);
  const hint = meant === undefined ? '' : `; did you mean ${JSON.stringify(meant)}?`;
  out.add(where, `there is no cluster ${JSON.stringify(name)} in static_resources.clusters${hint}`);
}

function tcpClusters({ clusterSpecifier }: TcpProxy): { readonly name: string; readonly place: string }[] {
  if (clusterSpecifier.case === 'cluster') return [{ name: clusterSpecifier.value, place: 'cluster' }];
  if (clusterSpecifier.case !== 'weightedClusters') return [];
  return clusterSpecifier.value.clusters.map(({ name }, index) => ({
    name,
    place: `weighted_clusters.clusters[${index}].name`,
  }));
}

/** The clusters of rate limit services and authorizers. */
function askedServices(filters: readonly HttpFilter[]): { readonly name: string; readonly place: string }[] {
  return filters.flatMap(({ configType }, index) => {
    if (configType.case !== 'typedConfig') return [];
    const at = `http_filters[${index}].typed_config`;
    if (anyIs(configType.value, ExtAuthzSchema)) {
      const { services } = unpackAny(configType.value, ExtAuthzSchema);
      if (services.case === 'grpcService') return grpcCluster(services.value, `${at}.grpc_service`);
      const uri = services.case === 'httpService' ? services.value.serverUri?.httpUpstreamType : undefined;
      return uri?.case === 'cluster' ? [{ name: uri.value, place: `${at}.http_service.server_uri.cluster` }] : [];
    }
    if (!anyIs(configType.value, RateLimitSchema)) return [];
    const service = unpackAny(configType.value, RateLimitSchema).rateLimitService?.grpcService;
    return grpcCluster(service, `${at}.rate_limit_service.grpc_service`);
  });
}

/** The clusters of who takes audits; what is wrong with these otherwise has its own problem. */
function collectors(accessLogs: readonly AccessLog[]): { readonly name: string; readonly place: string }[] {
  return accessLogs.flatMap(({ configType }, index) => {
    const name = configType.case === 'typedConfig' ? collectorCluster(configType.value) : undefined;
    if (name === undefined) return [];
    const place = `access_log[${index}].typed_config.common_config.grpc_service.envoy_grpc.cluster_name`;
    return [{ name, place }];
  });
}

function grpcCluster(
  service: GrpcService | undefined,
  at: string,
): { readonly name: string; readonly place: string }[] {
  const target = service?.targetSpecifier;
  if (target?.case !== 'envoyGrpc') return [];
  return [{ name: target.value.clusterName, place: `${at}.envoy_grpc.cluster_name` }];
}

/** Every cluster that a route configuration names, and where. */
function references({ virtualHosts }: RouteConfiguration): { readonly name: string; readonly place: string }[] {
  return virtualHosts.flatMap(({ routes }, host) =>
    routes.flatMap(({ action }, route) => {
      const at = `virtual_hosts[${host}].routes[${route}].route`;
      return action.case === 'route' ? clustersOf(action.value, at) : [];
    }),
  );
}

function clustersOf(action: RouteAction, at: string): { readonly name: string; readonly place: string }[] {
  const mirrors = action.requestMirrorPolicies.map(({ cluster }, index) => ({
    name: cluster,
    place: `${at}.request_mirror_policies[${index}].cluster`,
  }));
  return [...destinationsOf(action, at), ...mirrors];
}

function destinationsOf(
  { clusterSpecifier }: RouteAction,
  at: string,
): { readonly name: string; readonly place: string }[] {
  if (clusterSpecifier.case === 'cluster') return [{ name: clusterSpecifier.value, place: `${at}.cluster` }];
  if (clusterSpecifier.case !== 'weightedClusters') return []; // reported as not supported
  return clusterSpecifier.value.clusters.map(({ name }, index) => ({
    name,
    place: `${at}.weighted_clusters.clusters[${index}].name`,
  }));
}
