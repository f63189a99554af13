// Resolve: the services that a Sidecar resource lets a proxy see, and those that its rules lead to nevertheless.

import { resolveShortHost } from '@lateen/istio-config';
import { compareText, stableHash } from '../stable-hash.js';
import type { MeshPort, MeshService } from './mesh-index.js';
import type { EgressProxy, SidecarScope } from './sidecar-scope.js';
import type { EffectiveVirtualService } from './virtual-services.js';

/** The service with some of its ports, hashed as what it is then; the same object where it has no others. */
function withPorts(service: MeshService, ports: readonly MeshPort[]): MeshService {
  if (ports.length === service.ports.length) return service;
  const kept = ports.map(({ port }) => port);
  return {
    ...service,
    ports,
    declarationHash: stableHash([service.declarationHash, kept]),
    identityHash: stableHash([service.identityHash, kept]),
  };
}

/** A service with `internalTrafficPolicy: Local` as it is on one machine; the same object where it is called everywhere. */
export function onNode(service: MeshService, node: string): MeshService {
  if (service.nodeLocal !== true) return service;
  return {
    ...service,
    // Endpoints are kept by port: these are others.
    ports: service.ports.map((port) => ({ ...port })),
    workloads: service.workloads.filter((workload) => (workload.node ?? '') === node),
    podEndpoints: service.podEndpoints?.filter(({ workload }) => (workload.node ?? '') === node),
    // An address that somebody wrote down mostly says nothing of a machine.
    entries: node === '' ? service.entries : service.entries.filter((entry) => entry.node === node),
    identityHash: stableHash([service.identityHash, node]),
  };
}

/** The services of which a Sidecar takes in a port, with those ports. */
export function visibleServices(services: readonly MeshService[], sidecar: SidecarScope): readonly MeshService[] {
  return services.flatMap((service) => {
    const ports = sidecar.visiblePorts(service);
    return ports.length === 0 ? [] : [withPorts(service, ports)];
  });
}

/** A port that is called whatever rules say. */
type AskedPort = Pick<EgressProxy, 'host' | 'port'>;

/** Ports that rules lead to, by host; undefined: a rule names none, so it may be any. */
function portsLedTo(
  rules: readonly EffectiveVirtualService[],
  asked: readonly AskedPort[],
  domain: string,
): Map<string, Set<number> | undefined> {
  const ports = new Map<string, Set<number> | undefined>();
  for (const { host, port } of asked) ports.set(host, (ports.get(host) ?? new Set()).add(port));
  for (const { rules: routes, tcpRules, namespace } of rules) {
    for (const { destination } of [...routes, ...tcpRules].flatMap(({ route }) => route ?? [])) {
      const host = resolveShortHost(destination.host, namespace, domain);
      const port = destination.port?.number;
      const known = ports.get(host);
      if (port === undefined) ports.set(host, undefined);
      else if (known !== undefined) known.add(port);
      else if (!ports.has(host)) ports.set(host, new Set([port]));
    }
  }
  return ports;
}

/**
 * The visible services, and the ones that the VirtualServices in scope lead to: as in Istio these need not be named in
 * `egress`. There are clusters for them, but no virtual hosts.
 *
 * @param exported all services that are exported to the namespace
 * @param asked rate limit services, which the proxy itself calls, and where calls of unknown hosts go
 */
export function destinationsOf(
  visible: readonly MeshService[],
  exported: readonly MeshService[],
  rules: readonly EffectiveVirtualService[],
  asked: readonly AskedPort[],
  domain: string,
): readonly MeshService[] {
  const ledTo = portsLedTo(rules, asked, domain);
  const visibleByHost = new Map(visible.map((service) => [service.hostname, service]));
  const added = exported.flatMap((service) => {
    if (!ledTo.has(service.hostname)) return [];
    const wanted = ledTo.get(service.hostname);
    const seen = new Set(visibleByHost.get(service.hostname)?.ports.map(({ port }) => port));
    const ports = service.ports.filter(({ port }) => seen.has(port) || wanted === undefined || wanted.has(port));
    return ports.length === 0 || ports.length === seen.size ? [] : [withPorts(service, ports)];
  });
  if (added.length === 0) return visible;
  const byHost = new Map([...visibleByHost, ...added.map((service) => [service.hostname, service] as const)]);
  return [...byHost.values()].sort((a, b) => compareText(a.hostname, b.hostname));
}
