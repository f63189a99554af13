// Build: the routes of every host that a sidecar may call: a service's own or its VirtualService's, and hosts that only
// VirtualServices know.

import { create } from '@bufbuild/protobuf';
import { hostMatches } from '@lateen/istio-config';
import {
  type Route,
  type RouteAction_HashPolicy,
  RouteSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { MeshSnapshot, Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { type MeshPort, type MeshService, oncePerSnapshot } from '../../resolve/mesh-index.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { compareText } from '../../stable-hash.js';
import { durationOfMs } from '../durations.js';
import { outboundClusterName, virtualHostName } from '../names.js';
import { hashPolicies } from '../rules/hash-policy.js';
import { buildRetryPolicy } from '../rules/retry-policy.js';
import { buildRuleRoutes } from '../rules/rule-routes.js';

/** A host on one port, with its routes. */
export interface HostRoutes {
  readonly host: string;
  readonly port: number;
  /** Undefined for a host that only a VirtualService knows. */
  readonly service: MeshService | undefined;
  readonly routes: readonly Route[];
}

/** By port, each list in the order of virtual host names. */
export interface HostRoutesByPort {
  readonly byPort: ReadonlyMap<number, readonly HostRoutes[]>;
  readonly problems: readonly Problem[];
}

/** The routes of services that no rule is for and whose requests are not hashed, the same for all clients. */
const defaultRoutes = oncePerSnapshot(() => new Map<MeshPort, Route>());

function defaultRoute(scope: ClientScope, service: MeshService, port: MeshPort): Route {
  const cluster = outboundClusterName(port.port, '', service.hostname);
  const hashPolicy = hashPolicies(scope, [cluster]);
  // A DestinationRule is not the same for all clients.
  if (hashPolicy.length > 0) return buildDefaultRoute(scope.snapshot, service, port.port, hashPolicy);
  const known = defaultRoutes(scope.snapshot);
  const route = known.get(port) ?? buildDefaultRoute(scope.snapshot, service, port.port, hashPolicy);
  known.set(port, route);
  return route;
}

function buildDefaultRoute(
  { meshConfig }: MeshSnapshot,
  service: MeshService,
  port: number,
  hashPolicy: RouteAction_HashPolicy[],
): Route {
  return create(RouteSchema, {
    name: 'default',
    match: { pathSpecifier: { case: 'prefix', value: '/' } },
    decorator: { operation: `${service.hostname}:${port}/*` },
    action: {
      case: 'route',
      value: {
        clusterSpecifier: { case: 'cluster', value: outboundClusterName(port, '', service.hostname) },
        timeout: durationOfMs(0),
        maxGrpcTimeout: durationOfMs(0),
        retryPolicy: buildRetryPolicy(meshConfig.defaultHttpRetryPolicy, hashPolicy.length > 0),
        hashPolicy,
      },
    },
  });
}

/** Hosts that only VirtualServices name (`api.example.com`): Istio serves them on port 80. */
export const VIRTUAL_HOST_PORT = 80;

/** As in Istio these are served on the ports of services too that the same VirtualService names. */
function portsOfHost(scope: ClientScope, { hosts }: EffectiveVirtualService): ReadonlySet<number> {
  const services = hosts.flatMap((host) => scope.serviceByHost.get(host) ?? []);
  const ports = services.flatMap((service) => service.ports.filter(({ http }) => http).map(({ port }) => port));
  return new Set([VIRTUAL_HOST_PORT, ...ports]);
}

/**
 * Built once for all sidecars of the scope that set the same headers.
 * @param tellsHost requests whose Host is rewritten say what it was
 */
export function buildHostRoutes(scope: ClientScope, tellsHost: boolean): HostRoutesByPort {
  const problems: Problem[] = [];
  const byPort = new Map<number, HostRoutes[]>();
  const add = (hostRoutes: HostRoutes) => {
    const hosts = byPort.get(hostRoutes.port);
    if (hosts) hosts.push(hostRoutes);
    else byPort.set(hostRoutes.port, [hostRoutes]);
  };
  const built = new Map<EffectiveVirtualService, Map<number, readonly Route[]>>();
  const routesOf = (rule: EffectiveVirtualService, port: number): readonly Route[] => {
    const known = built.get(rule) ?? new Map<number, readonly Route[]>();
    built.set(rule, known);
    let routes = known.get(port);
    if (routes === undefined) {
      routes = buildRuleRoutes(scope, rule, port, problems, tellsHost);
      known.set(port, routes);
    }
    return routes;
  };

  for (const service of scope.services) {
    for (const meshPort of service.ports.filter(({ http }) => http)) {
      const { port } = meshPort;
      const rule = scope.meshRoutes(port).forHost(service.hostname);
      const routes = rule === undefined ? [] : routesOf(rule, port);
      // Where every rule is for other clients or other ports, the service is called as if there were no rule.
      const own = routes.length > 0 ? routes : [defaultRoute(scope, service, meshPort)];
      add({ host: service.hostname, port, service, routes: own });
    }
  }
  const meshRoutes = scope.meshRoutes(VIRTUAL_HOST_PORT);
  for (const [host, rule] of meshRoutes.exact) {
    if (scope.serviceByHost.has(host)) continue;
    // A wildcard over services is their rule; it is no host of its own.
    const isForServices = scope.services.some(
      ({ hostname }) => hostMatches(host, hostname) && meshRoutes.forHost(hostname) === rule,
    );
    if (host.startsWith('*') && isForServices) continue;
    for (const port of portsOfHost(scope, rule)) {
      const routes = routesOf(rule, port);
      if (routes.length > 0) add({ host, port, service: undefined, routes });
    }
  }
  for (const hosts of byPort.values()) {
    hosts.sort((a, b) => compareText(virtualHostName(a.host, a.port), virtualHostName(b.host, b.port)));
  }
  return { byPort, problems };
}
