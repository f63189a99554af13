// Build: the route configurations of a gateway, from the VirtualServices that are bound to its servers.

import { create } from '@bufbuild/protobuf';
import { hostMatches } from '@lateen/istio-config';
import {
  type Route,
  RouteSchema,
  type VirtualHost,
  VirtualHostSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Problem } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { GatewayListener, GatewayServer } from '../../resolve/gateways.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { compareText, stableHash } from '../../stable-hash.js';
import { gatewayRouteName, virtualHostName } from '../names.js';
import type { ResourcePart } from '../recipe.js';
import { matchesEverything } from '../rules/route-match.js';
import { buildRuleRoutes } from '../rules/rule-routes.js';

/** Hosts that a VirtualService and a server have in common; of two that overlap the more specific one. */
function intersectingHosts(server: GatewayServer, rule: EffectiveVirtualService): string[] {
  const hosts = new Set<string>();
  for (const { namespace, host } of server.hosts) {
    if (namespace !== '*' && namespace !== rule.namespace) continue;
    for (const wanted of rule.hosts) {
      if (hostMatches(host, wanted)) hosts.add(wanted);
      else if (hostMatches(wanted, host)) hosts.add(host);
    }
  }
  return [...hosts].sort(compareText);
}

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

function collectHosts(scope: ClientScope, listener: GatewayListener, problems: Problem[]): Map<string, HostEntry> {
  const byHost = new Map<string, HostEntry>();
  for (const server of listener.servers) {
    for (const rule of scope.gatewayRoutes(server.gateway)) {
      const hosts = intersectingHosts(server, rule);
      if (hosts.length === 0) continue;
      const routes = buildRuleRoutes(scope, rule, server.port, problems);
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

function virtualHost(host: string, { port, routes, httpsRedirect }: HostEntry): VirtualHost {
  return create(VirtualHostSchema, {
    name: virtualHostName(host, port),
    domains: domainsOf(host),
    routes: httpsRedirect ? [httpsRedirectRoute()] : lastResortLast(routes),
    includeRequestAttemptCount: true,
  });
}

function buildListenerRoutes(scope: ClientScope, listener: GatewayListener, problems: Problem[]) {
  const name = gatewayRouteName(listener.port);
  const byHost = collectHosts(scope, listener, problems);
  const virtualHosts = [...byHost].map(([host, entry]) => virtualHost(host, entry));
  if (virtualHosts.length === 0) {
    // No routes: every request is answered 404 with the flag NR.
    const port = listener.servers[0]?.port ?? listener.port;
    virtualHosts.push(create(VirtualHostSchema, { name: virtualHostName('blackhole', port), domains: ['*'] }));
  }
  virtualHosts.sort((a, b) => compareText(a.name, b.name));
  const message = create(RouteConfigurationSchema, { name, virtualHosts, maxDirectResponseBodySizeBytes: 1_048_576 });
  return { name, message };
}

/** The route configurations that a gateway's listeners name: the same for all of its replicas. */
export function gatewayRoutePart({ scope, gatewayListeners }: ProxyView): ResourcePart<RouteConfiguration> {
  const { declarations, subsets, gatewayRoutes } = scope.hashes();
  const { settings } = scope.snapshot.hashes;
  const listeners = stableHash(gatewayListeners);
  const key = ['gateway-routes', scope.namespace, declarations, subsets, gatewayRoutes, settings, listeners].join('/');
  return {
    key,
    list: () => {
      const problems: Problem[] = [];
      const recipes = gatewayListeners.map((listener) => {
        const { name, message } = buildListenerRoutes(scope, listener, problems);
        return { name, key: `${key}/${name}`, build: () => message };
      });
      return { recipes, problems };
    },
  };
}
