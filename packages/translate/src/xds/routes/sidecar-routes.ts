// Build: the route configurations of a sidecar's outbound listeners and of its forward proxy.

import { create } from '@bufbuild/protobuf';
import {
  type Route,
  RouteSchema,
  type VirtualHost,
  VirtualHostSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { NamedResource, Problem } from '../../model.js';
import type { ProxyView } from '../../proxy-view.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { compareText } from '../../stable-hash.js';
import { durationOfMs } from '../durations.js';
import { FORWARD_PROXY_ROUTE, outboundClusterName, virtualHostName } from '../names.js';
import { catchAllVirtualHost } from './catch-all.js';
import { buildRetryPolicy } from './retry-policy.js';
import { buildRuleRoutes } from './rule-routes.js';

/** A host on one port, with its routes, before a proxy's own addresses are added. */
interface HostRoutes {
  readonly host: string;
  readonly port: number;
  /** Undefined for a host that only a VirtualService knows. */
  readonly service: MeshService | undefined;
  readonly routes: readonly Route[];
}

interface ScopeRoutes {
  readonly byPort: ReadonlyMap<number, readonly HostRoutes[]>;
  readonly problems: readonly Problem[];
}

/** The route of a service that no rule is for. */
function defaultRoute(service: MeshService, port: number): Route {
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
        retryPolicy: buildRetryPolicy(undefined),
      },
    },
  });
}

/** Hosts that only VirtualServices name (`api.example.com`): Istio serves them on port 80. */
const VIRTUAL_HOST_PORT = 80;

function buildScopeRoutes(scope: ClientScope): ScopeRoutes {
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
      routes = buildRuleRoutes(scope, rule, port, problems);
      known.set(port, routes);
    }
    return routes;
  };

  for (const service of scope.services) {
    const rule = scope.meshRoutes.forHost(service.hostname);
    for (const { port } of service.ports.filter(({ http }) => http)) {
      const routes = rule === undefined ? [] : routesOf(rule, port);
      // Where every rule is for other clients or other ports, the service is called as if there were no rule.
      const own = routes.length > 0 ? routes : [defaultRoute(service, port)];
      add({ host: service.hostname, port, service, routes: own });
    }
  }
  for (const [host, rule] of scope.meshRoutes.exact) {
    if (scope.serviceByHost.has(host)) continue;
    // A wildcard over services is their rule; it is no host of its own.
    if (host.startsWith('*') && scope.services.some(({ hostname }) => scope.meshRoutes.forHost(hostname) === rule)) {
      continue;
    }
    const routes = routesOf(rule, VIRTUAL_HOST_PORT);
    if (routes.length > 0) add({ host, port: VIRTUAL_HOST_PORT, service: undefined, routes });
  }
  for (const hosts of byPort.values()) {
    hosts.sort((a, b) => compareText(virtualHostName(a.host, a.port), virtualHostName(b.host, b.port)));
  }
  return { byPort, problems };
}

const scopeResults = new WeakMap<ClientScope, ScopeRoutes>();

function scopeRoutes(scope: ClientScope): ScopeRoutes {
  let result = scopeResults.get(scope);
  if (result === undefined) {
    result = buildScopeRoutes(scope);
    scopeResults.set(scope, result);
  }
  return result;
}

/** The names of a service without port, most specific first: short forms count from the caller's namespace. */
function serviceNames(service: MeshService, clientNamespace: string): string[] {
  const { hostname, name, namespace } = service;
  const names = [hostname, `${name}.${namespace}.svc`, `${name}.${namespace}`];
  return namespace === clientNamespace ? [...names, name] : names;
}

/** IPv6 addresses stand in brackets in a Host header. */
function hostForm(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

interface DomainOptions {
  readonly clientNamespace: string;
  /** Addresses that stand for services, by hostname. */
  readonly addressOf: (service: MeshService) => string | undefined;
  /** Also without port: yes where the port is known from the listener, or is HTTP's own. */
  readonly withoutPort: boolean;
}

function domainsOf(hostRoutes: HostRoutes, { clientNamespace, addressOf, withoutPort }: DomainOptions): string[] {
  const { service, host, port } = hostRoutes;
  const names = service === undefined ? [host] : serviceNames(service, clientNamespace);
  const address = service === undefined ? undefined : addressOf(service);
  if (address !== undefined) names.push(hostForm(address));
  // A wildcard cannot carry a port: Envoy takes one `*` at one end only.
  return names.flatMap((name) => {
    const withPort = name.startsWith('*') ? [] : [`${name}:${port}`];
    return withoutPort ? [name, ...withPort] : withPort;
  });
}

/**
 * Virtual hosts, each domain given once: a service's full name is its own whatever a VirtualService's host is, other
 * names go to the first host in order that has them.
 */
function buildVirtualHosts(
  hosts: readonly HostRoutes[],
  optionsFor: (hostRoutes: HostRoutes) => DomainOptions,
  problems: Problem[],
): VirtualHost[] {
  const taken = new Map<string, string>();
  const virtualHosts: VirtualHost[] = [];
  // Hosts of VirtualServices first: they were written on purpose, a service's short names were not.
  const ordered = [...hosts.filter(({ service }) => !service), ...hosts.filter(({ service }) => service)];
  for (const hostRoutes of ordered) {
    const name = virtualHostName(hostRoutes.host, hostRoutes.port);
    const domains: string[] = [];
    for (const domain of domainsOf(hostRoutes, optionsFor(hostRoutes))) {
      const owner = taken.get(domain);
      if (owner === undefined) {
        taken.set(domain, name);
        domains.push(domain);
      } else if (owner !== name) {
        problems.push({
          code: 'conflict-domain',
          severity: 'warning',
          metric: 'pilot_vservice_dup_domain',
          subject: `VirtualHost/${name}`,
          message: `${domain} already means ${owner}; it does not lead to ${name}`,
        });
      }
    }
    if (domains.length === 0) continue;
    virtualHosts.push(
      create(VirtualHostSchema, {
        name,
        domains,
        routes: [...hostRoutes.routes],
        includeRequestAttemptCount: true,
      }),
    );
  }
  return virtualHosts.sort((a, b) => compareText(a.name, b.name));
}

function routeConfiguration(view: ProxyView, name: string, virtualHosts: VirtualHost[]) {
  // A VirtualService for `*` takes the place of the last resort.
  const hasLastResort = virtualHosts.some(({ domains }) => domains.includes('*'));
  const message = create(RouteConfigurationSchema, {
    name,
    virtualHosts: hasLastResort ? virtualHosts : [...virtualHosts, catchAllVirtualHost(view)],
    maxDirectResponseBodySizeBytes: 1_048_576,
  });
  return { name, message };
}

/** The route configurations that a sidecar's listeners name: one for each port, and the forward proxy's. */
export function buildSidecarRoutes(view: ProxyView): {
  readonly routes: readonly NamedResource<RouteConfiguration>[];
  readonly problems: readonly Problem[];
} {
  const { scope } = view;
  const { byPort, problems: ruleProblems } = scopeRoutes(scope);
  const problems: Problem[] = [...ruleProblems];
  const addresses = new Map(view.outboundAddresses.map(({ service, address }) => [service, address]));
  const options = (withoutPort: boolean): DomainOptions => ({
    clientNamespace: scope.namespace,
    addressOf: (service) => addresses.get(service),
    withoutPort,
  });
  const ports = [...new Set(view.outboundAddresses.map(({ port }) => port.port))].sort((a, b) => a - b);
  const routes = ports.map((port) => {
    const virtualHosts = buildVirtualHosts(byPort.get(port) ?? [], () => options(true), problems);
    return routeConfiguration(view, String(port), virtualHosts);
  });
  const all = [...byPort].sort(([a], [b]) => a - b).flatMap(([, hosts]) => hosts);
  const forwarded = buildVirtualHosts(all, ({ port }) => options(port === VIRTUAL_HOST_PORT), problems);
  routes.push(routeConfiguration(view, FORWARD_PROXY_ROUTE, forwarded));
  return { routes, problems };
}
