// Build: the route configurations of a sidecar's outbound listeners and of its forward proxy.

import { create } from '@bufbuild/protobuf';
import { isHttpProtocol } from '@lateen/istio-config';
import type { Route, VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Problem } from '../../model.js';
import { countsAttempts, type ProxyHeaders, routeHeadersKey, tellsRewrittenHost } from '../../proxy-headers.js';
import type { ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { serviceAddresses } from '../../resolve/interception/interception.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import { isIntercepted } from '../clusters/local-clusters.js';
import { forwardProxyPorts } from '../listeners/listeners.js';
import { capturedOutbound } from '../listeners/outbound/captured-outbound.js';
import { FORWARD_PROXY_PORT, FORWARD_PROXY_ROUTE, forwardProxyClusterName, forwardProxyRouteName } from '../names.js';
import type { RecipeList, ResourcePart, RouteRecipe } from '../recipe.js';
import { catchAllVirtualHost, missingEgressProxy } from './catch-all.js';
import { serviceConnectRoute } from './connect-routes.js';
import { buildHostRoutes, type HostRoutes, VIRTUAL_HOST_PORT } from './host-routes.js';
import { OwnConfiguration, type SharedConfiguration, shareConfiguration } from './shared-configuration.js';

/** What all sidecars of a scope have in common. */
interface ScopeRoutes {
  readonly byPort: ReadonlyMap<number, SharedConfiguration>;
  /** Before they are put together. */
  readonly hosts: ReadonlyMap<number, readonly HostRoutes[]>;
  readonly forwardProxy: SharedConfiguration;
  /** Those of a Sidecar's own, by port. */
  readonly ownProxies: ReadonlyMap<number, SharedConfiguration>;
  readonly problems: readonly Problem[];
}

/** Hosts with what becomes of CONNECT to them, those of ports without HTTP among them. */
function withTunnels(
  scope: ClientScope,
  hosts: readonly HostRoutes[],
  proxyPort: number,
  lastResort: VirtualHost,
  isTaken: (host: HostRoutes) => boolean,
): readonly HostRoutes[] {
  const ownCluster = forwardProxyClusterName(proxyPort);
  const ofHttp = hosts.map((host) => {
    return { ...host, routes: [...host.routes, ...serviceConnectRoute(scope, host.service, host.port, ownCluster)] };
  });
  const ofTcp = scope.services.flatMap((service) =>
    service.ports
      .filter(({ tcp }) => tcp)
      .map(({ port }): HostRoutes => {
        // Requests that are no CONNECT are for somebody whom the mesh does not know.
        const routes = [...serviceConnectRoute(scope, service, port, ownCluster), ...requestsOf(lastResort)];
        return { host: service.hostname, port, service, routes };
      })
      .filter(isTaken),
  );
  return [...ofHttp, ...ofTcp];
}

function requestsOf({ routes }: VirtualHost): readonly Route[] {
  return routes.filter(({ match }) => match?.pathSpecifier.case !== 'connectMatcher');
}

function shareRoutes(scope: ClientScope, intercepted: boolean, headers: ProxyHeaders): ScopeRoutes {
  const includeRequestAttemptCount = countsAttempts(headers);
  const { byPort, problems: ruleProblems } = buildHostRoutes(scope, tellsRewrittenHost(headers));
  const problems: Problem[] = [...scope.meshRoutes().problems, ...ruleProblems, ...missingEgressProxy(scope)];
  const common = { clientNamespace: scope.namespace, includeRequestAttemptCount };
  const lastResort = catchAllVirtualHost(scope, intercepted, includeRequestAttemptCount);
  const ports: [number, readonly HostRoutes[]][] = [...byPort].sort(([a], [b]) => a - b);
  // A Sidecar's own listener needs its routes also where no service has the port.
  const { ownListeners = [], isAddressed, takesThrough } = scope.sidecar ?? {};
  for (const { port, forwardProxy } of ownListeners) if (!forwardProxy && !byPort.has(port)) ports.push([port, []]);
  const isThere = ({ service, port }: HostRoutes) => service === undefined || isAddressed?.(service, port) !== false;
  const ofPorts = ports.map(([port, hosts]) => {
    const input = { ...common, name: String(port), hosts: hosts.filter(isThere), withoutPort: () => true, lastResort };
    return [port, shareConfiguration(input, problems)] as const;
  });
  const hosts = ports.flatMap(([, ofPort]) => ofPort);
  // A forward proxy is told where to go. Of an application that is intercepted nobody asks for tunnels.
  const proxyLastResort = catchAllVirtualHost(scope, true, includeRequestAttemptCount, !intercepted);
  const shareProxy = (name: string, proxyPort: number, isTaken: (host: HostRoutes) => boolean) => {
    const taken = hosts.filter(isTaken);
    const tunnelled = intercepted ? taken : withTunnels(scope, taken, proxyPort, proxyLastResort, isTaken);
    return shareConfiguration(
      {
        ...common,
        name,
        hosts: tunnelled,
        withoutPort: (port) => port === VIRTUAL_HOST_PORT,
        lastResort: proxyLastResort,
      },
      problems,
    );
  };
  const ownProxies = ownListeners
    .filter(({ forwardProxy }) => forwardProxy)
    .map(({ port }) => {
      const isTaken = ({ service }: HostRoutes) => service === undefined || takesThrough?.(port, service) === true;
      return [port, shareProxy(forwardProxyRouteName(port), port, isTaken)] as const;
    });
  return {
    byPort: new Map(ofPorts),
    hosts: new Map(ports),
    forwardProxy: shareProxy(FORWARD_PROXY_ROUTE, FORWARD_PROXY_PORT, () => true),
    ownProxies: new Map(ownProxies),
    problems,
  };
}

const known = new WeakMap<ClientScope, Map<string, ScopeRoutes>>();

/** What the routes of a view depend on beside its scope. */
function traitsKey(view: ProxyView): string {
  return `${view.interception?.key ?? ''}/${routeHeadersKey(view.proxyHeaders)}`;
}

function scopeRoutes(view: ProxyView): ScopeRoutes {
  const { scope, proxyHeaders } = view;
  const ofScope = known.get(scope) ?? new Map<string, ScopeRoutes>();
  known.set(scope, ofScope);
  const key = traitsKey(view);
  const result = ofScope.get(key) ?? shareRoutes(scope, isIntercepted(view), proxyHeaders);
  ofScope.set(key, result);
  return result;
}

function listRoutes(view: ProxyView, partKey: string): RecipeList<RouteConfiguration, RouteRecipe> {
  const { byPort, hosts, forwardProxy, ownProxies, problems: sharedProblems } = scopeRoutes(view);
  const outbound = view.outbound().addresses.filter(({ port }) => port.http);
  const captured = [...capturedOutbound(view).listeners.values()];
  const addresses = addressesOf(view);
  const own = view.ownOutbound.filter(
    ({ protocol, forwardProxy }) => !forwardProxy && (protocol === 'auto' || isHttpProtocol(protocol)),
  );
  const proxies = view.ownOutbound.filter((each) => each.forwardProxy).map(({ port }) => ownProxies.get(port)!);
  const shared = captured.filter(({ rds, port }) => rds === String(port));
  const ports = [
    ...new Set([...outbound.map(({ port }) => port.port), ...[...own, ...shared].map(({ port }) => port)]),
  ];
  ports.sort((a, b) => a - b);
  const problems: Problem[] = [...sharedProblems];
  const forward = forwardProxyPorts(view).length > 0 ? [forwardProxy] : [];
  const recipes = [...ports.map((port) => byPort.get(port)!), ...forward, ...proxies].map((shared): RouteRecipe => {
    const own = new OwnConfiguration(shared, addresses, problems);
    return { name: own.name, key: `${partKey}/${own.name}`, build: () => own.build(), shared: own };
  });
  const attempts = countsAttempts(view.proxyHeaders);
  const addressed = captured.flatMap(({ rds, port, service }) => {
    const routes = hosts.get(port)?.find((each) => each.service === service)?.routes;
    if (rds === undefined || rds === String(port) || routes === undefined) return [];
    return [{ name: rds, key: `${partKey}/${rds}`, build: () => buildAddressedRoutes(rds, routes, attempts) }];
  });
  return { recipes: [...recipes, ...unique(addressed)], problems };
}

/** Whatever the request's Host is: as in Istio the address that was called says the service. */
function buildAddressedRoutes(
  name: string,
  routes: readonly Route[],
  includeRequestAttemptCount: boolean,
): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts: [{ name, domains: ['*'], routes: [...routes], includeRequestAttemptCount }],
    maxDirectResponseBodySizeBytes: 1_048_576,
  });
}

/** A service with several addresses has the same routes at all of them. */
function unique(recipes: readonly RouteRecipe[]): readonly RouteRecipe[] {
  return [...new Map(recipes.map((recipe) => [recipe.name, recipe])).values()];
}

/** The addresses that stand for services with HTTP at the sidecar. */
function addressesOf(view: ProxyView): ReadonlyMap<MeshService, readonly string[]> {
  const { interception, scope } = view;
  if (interception !== undefined) {
    return new Map(scope.services.map((service) => [service, serviceAddresses(service, interception)]));
  }
  return new Map(
    view
      .outbound()
      .addresses.filter(({ port }) => port.http)
      .map(({ service, address }) => [service, [address]]),
  );
}

/** The route configurations that a sidecar's listeners name: one for each port, and the forward proxy's. */
export function sidecarRoutePart(view: ProxyView): ResourcePart<RouteConfiguration, RouteRecipe> {
  const { scope } = view;
  const { declarations, subsets, meshRoutes, destinationRules } = scope.hashes();
  const { settings } = scope.snapshot.hashes;
  const tunnels =
    !isIntercepted(view) &&
    scope.services.some(({ ports }) => ports.some(({ http, protocol, tcp }) => tcp || (http && protocol === 'auto')));
  // What is in tunnels follows the rules for connections.
  const shared = [scope.namespace, declarations, subsets, meshRoutes, settings, tunnels ? destinationRules : ''];
  const key = ['routes', ...shared, traitsKey(view), scope.sidecar?.hash, view.outboundHash()].join('/');
  return { key, list: () => listRoutes(view, key) };
}
