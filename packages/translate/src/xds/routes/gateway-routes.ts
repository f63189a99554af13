// Build: the route configurations of a gateway, from the VirtualServices that are bound to its servers.

import { create } from '@bufbuild/protobuf';
import {
  type Route,
  RouteSchema,
  type VirtualHost,
  VirtualHostSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Problem } from '../../model.js';
import { countsAttempts, routeHeadersKey, tellsRewrittenHost } from '../../proxy-headers.js';
import type { ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { GatewayListener, GatewayServer } from '../../resolve/gateways.js';
import { compareText, stableHash } from '../../stable-hash.js';
import { gatewayRouteName, gatewayTlsRouteName, virtualHostName } from '../names.js';
import type { ResourcePart } from '../recipe.js';
import { buildLimitActions } from '../rules/limit-actions.js';
import { matchesEverything } from '../rules/route-match.js';
import { buildRuleRoutes } from '../rules/rule-routes.js';
import { intersectingHosts } from './gateway-hosts.js';

/** Rules of several VirtualServices of a host stand one after another, but one that takes everything stands last. */
function lastResortLast(routes: readonly Route[]): Route[] {
  return [
    ...routes.filter((route) => !matchesEverything(route.match)),
    ...routes.filter((route) => matchesEverything(route.match)),
  ];
}

interface HostEntry {
  readonly port: number;
  readonly routes: Route[];
  httpsRedirect: boolean;
}

function collectHosts(
  scope: ClientScope,
  servers: readonly GatewayServer[],
  problems: Problem[],
  tellsHost: boolean,
): Map<string, HostEntry> {
  const byHost = new Map<string, HostEntry>();
  for (const server of servers) {
    for (const rule of scope.gatewayRoutes(server.gateway)) {
      const hosts = intersectingHosts(server, rule);
      if (hosts.length === 0) continue;
      const routes = buildRuleRoutes(scope, rule, server.port, problems, tellsHost);
      for (const host of hosts) {
        const entry = byHost.get(host) ?? { port: server.port, routes: [], httpsRedirect: false };
        byHost.set(host, entry);
        // Two servers may lead the same VirtualService to the same host.
        entry.routes.push(...routes.filter((route) => !entry.routes.includes(route)));
        entry.httpsRedirect ||= server.httpsRedirect;
      }
    }
    if (!server.httpsRedirect) continue;
    for (const { host } of server.hosts) {
      const entry = byHost.get(host) ?? { port: server.port, routes: [], httpsRedirect: true };
      byHost.set(host, entry);
      entry.httpsRedirect = true;
    }
  }
  return byHost;
}

/** With any port in the Host header: what the caller used may not be what is listened on. */
function domainsOf(host: string): string[] {
  return host.startsWith('*') ? [host] : [host, `${host}:*`];
}

/** The servers here are plain HTTP, so what Istio leaves to `require_tls` is a redirect of everything. */
function httpsRedirectRoute(): Route {
  return create(RouteSchema, {
    name: 'https-redirect',
    match: { pathSpecifier: { case: 'prefix', value: '/' } },
    action: {
      case: 'redirect',
      value: { schemeRewriteSpecifier: { case: 'httpsRedirect', value: true } },
    },
  });
}

function virtualHost(
  host: string,
  { port, routes, httpsRedirect }: HostEntry,
  common: Pick<VirtualHost, 'rateLimits' | 'includeRequestAttemptCount'>,
): VirtualHost {
  return create(VirtualHostSchema, {
    name: virtualHostName(host, port),
    domains: domainsOf(host),
    routes: httpsRedirect ? [httpsRedirectRoute()] : lastResortLast(routes),
    ...common,
  });
}

function buildServerRoutes(
  { scope, proxyHeaders }: ProxyView,
  name: string,
  servers: readonly GatewayServer[],
  problems: Problem[],
) {
  const byHost = collectHosts(scope, servers, problems, tellsRewrittenHost(proxyHeaders));
  const common = {
    rateLimits: buildLimitActions(scope),
    includeRequestAttemptCount: countsAttempts(proxyHeaders),
  };
  const virtualHosts = [...byHost].map(([host, entry]) => virtualHost(host, entry, common));
  if (virtualHosts.length === 0) {
    // No routes: every request is answered 404 with the flag NR.
    const port = servers[0]?.port ?? 0;
    virtualHosts.push(create(VirtualHostSchema, { name: virtualHostName('blackhole', port), domains: ['*'] }));
  }
  virtualHosts.sort((a, b) => compareText(a.name, b.name));
  const message = create(RouteConfigurationSchema, { name, virtualHosts, maxDirectResponseBodySizeBytes: 1_048_576 });
  return { name, message };
}

/** Servers of plain HTTP on a port share their routes; one that terminates TLS has its own, so that no other's host is served under its name. */
function routeGroups(listener: GatewayListener): (readonly [string, readonly GatewayServer[]])[] {
  const { layer, servers } = listener;
  if (layer === 'http') return [[gatewayRouteName(listener), servers]];
  return servers.filter(({ kind }) => kind === 'http').map((server) => [gatewayTlsRouteName(server), [server]]);
}

/** The route configurations that a gateway's listeners name: the same for all of its replicas. */
export function gatewayRoutePart(view: ProxyView): ResourcePart<RouteConfiguration> {
  const { scope, gatewayListeners } = view;
  const { declarations, subsets, gatewayRoutes } = scope.hashes();
  const { settings } = scope.snapshot.hashes;
  const listeners = stableHash(gatewayListeners);
  const key = [
    'gateway-routes',
    scope.namespace,
    declarations,
    subsets,
    gatewayRoutes,
    settings,
    listeners,
    scope.rateLimitHash,
    routeHeadersKey(view.proxyHeaders),
  ].join('/');
  return {
    key,
    list: () => {
      const problems: Problem[] = [];
      const recipes = gatewayListeners.flatMap(routeGroups).map(([wanted, servers]) => {
        const { name, message } = buildServerRoutes(view, wanted, servers, problems);
        return { name, key: `${key}/${name}`, build: () => message };
      });
      return { recipes, problems };
    },
  };
}
