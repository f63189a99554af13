// Build: the route configurations of a sidecar's outbound listeners and of its forward proxy.

import { isHttpProtocol } from '@lateen/istio-config';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Problem } from '../../model.js';
import { countsAttempts } from '../../proxy-headers.js';
import type { ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { isIntercepted } from '../clusters/local-clusters.js';
import { FORWARD_PROXY_ROUTE } from '../names.js';
import type { RecipeList, ResourcePart, RouteRecipe } from '../recipe.js';
import { catchAllVirtualHost, missingEgressProxy } from './catch-all.js';
import { buildHostRoutes, type HostRoutes, VIRTUAL_HOST_PORT } from './host-routes.js';
import { OwnConfiguration, type SharedConfiguration, shareConfiguration } from './shared-configuration.js';

/** What all sidecars of a scope have in common. */
interface ScopeRoutes {
  readonly byPort: ReadonlyMap<number, SharedConfiguration>;
  readonly forwardProxy: SharedConfiguration;
  readonly problems: readonly Problem[];
}

function shareRoutes(scope: ClientScope, intercepted: boolean, includeRequestAttemptCount: boolean): ScopeRoutes {
  const { byPort, problems: ruleProblems } = buildHostRoutes(scope);
  const problems: Problem[] = [...scope.meshRoutes().problems, ...ruleProblems, ...missingEgressProxy(scope)];
  const common = { clientNamespace: scope.namespace, includeRequestAttemptCount };
  const lastResort = catchAllVirtualHost(scope, intercepted, includeRequestAttemptCount);
  const ports: [number, readonly HostRoutes[]][] = [...byPort].sort(([a], [b]) => a - b);
  // A Sidecar's own listener needs its routes also where no service has the port.
  for (const { port } of scope.sidecar?.ownListeners ?? []) if (!byPort.has(port)) ports.push([port, []]);
  const ofPorts = ports.map(([port, hosts]) => {
    const input = { ...common, name: String(port), hosts, withoutPort: () => true, lastResort };
    return [port, shareConfiguration(input, problems)] as const;
  });
  const forwardProxy = shareConfiguration(
    {
      ...common,
      name: FORWARD_PROXY_ROUTE,
      hosts: ports.flatMap(([, hosts]) => hosts),
      withoutPort: (port) => port === VIRTUAL_HOST_PORT,
      // A forward proxy is told where to go.
      lastResort: catchAllVirtualHost(scope, true, includeRequestAttemptCount),
    },
    problems,
  );
  return { byPort: new Map(ofPorts), forwardProxy, problems };
}

const known = new WeakMap<ClientScope, Map<string, ScopeRoutes>>();

/** What the routes of a view depend on beside its scope. */
function traitsKey(view: ProxyView): string {
  return `${isIntercepted(view)}/${countsAttempts(view.proxyHeaders)}`;
}

function scopeRoutes(view: ProxyView): ScopeRoutes {
  const { scope, proxyHeaders } = view;
  const ofScope = known.get(scope) ?? new Map<string, ScopeRoutes>();
  known.set(scope, ofScope);
  const key = traitsKey(view);
  const result = ofScope.get(key) ?? shareRoutes(scope, isIntercepted(view), countsAttempts(proxyHeaders));
  ofScope.set(key, result);
  return result;
}

function listRoutes(view: ProxyView, partKey: string): RecipeList<RouteConfiguration, RouteRecipe> {
  const { byPort, forwardProxy, problems: sharedProblems } = scopeRoutes(view);
  const outbound = view.outbound().addresses.filter(({ port }) => port.http);
  const addresses = new Map(outbound.map(({ service, address }) => [service, address]));
  const own = view.ownOutbound.filter(({ protocol }) => protocol === 'auto' || isHttpProtocol(protocol));
  const ports = [...new Set([...outbound.map(({ port }) => port.port), ...own.map(({ port }) => port)])];
  ports.sort((a, b) => a - b);
  const problems: Problem[] = [...sharedProblems];
  const recipes = [...ports.map((port) => byPort.get(port)!), forwardProxy].map((shared): RouteRecipe => {
    const own = new OwnConfiguration(shared, addresses, problems);
    return { name: own.name, key: `${partKey}/${own.name}`, build: () => own.build(), shared: own };
  });
  return { recipes, problems };
}

/** The route configurations that a sidecar's listeners name: one for each port, and the forward proxy's. */
export function sidecarRoutePart(view: ProxyView): ResourcePart<RouteConfiguration, RouteRecipe> {
  const { scope } = view;
  const { declarations, subsets, meshRoutes } = scope.hashes();
  const { settings } = scope.snapshot.hashes;
  const shared = [scope.namespace, declarations, subsets, meshRoutes, settings];
  const key = ['routes', ...shared, traitsKey(view), scope.sidecar?.hash, view.outboundHash()].join('/');
  return { key, list: () => listRoutes(view, key) };
}
