// Build: where connections to a service port go: to the service, or where a VirtualService's rule for TCP says.

import type { TcpRoute } from '@lateen/istio-config';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { policyForPort } from '../../resolve/destination-rules.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import type { OwnOutbound } from '../../resolve/own-listeners.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { compareText } from '../../stable-hash.js';
import { goesWhereRequestsSay } from '../clusters/forward-hosts.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { outboundClusterName } from '../names.js';
import { destinationCluster } from '../rules/destinations.js';

/** What endpoints of a destination are asked for, and whether by POST or by CONNECT. */
export interface TunnelTarget {
  /** HOST:PORT. */
  readonly hostname: string;
  readonly usePost: boolean;
}

/** What a TCP proxy is told. */
export interface TcpDestinations {
  readonly statPrefix: string;
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  /** As the DestinationRule writes it; undefined: the proxy's default. */
  readonly idleTimeout: string | undefined;
  /** Longest life of a connection, as the DestinationRule writes it. */
  readonly maxDuration?: string | undefined;
  /** Endpoints are chosen by the client's address, where a cluster hashes. */
  readonly hashesSource: boolean;
  /** HOST:PORT that the cluster's endpoints are asked for by CONNECT. */
  readonly tunnel?: TunnelTarget | undefined;
  /** Connections go to the host that their ClientHello names, at this port; undefined: the clusters have endpoints. */
  readonly forwardPort?: number | undefined;
}

/** Some of the connections to a port, and where they go. */
export interface ConnectionTarget {
  /** Names in the ClientHello; empty: any connection. */
  readonly serverNames: readonly string[];
  /** Addresses that the connection was opened to; empty: any. */
  readonly subnets: readonly string[];
  readonly to: TcpDestinations;
}

/** Two chains for the same connections would be refused: the first of them counts, as it does among rules. */
export function withoutRepeats(targets: readonly ConnectionTarget[]): readonly ConnectionTarget[] {
  const seen = new Set<string>();
  return targets.flatMap((target) => {
    const names = target.serverNames.length === 0 ? ['*'] : target.serverNames;
    const key = (name: string) => `${name} ${[...target.subnets].sort(compareText).join(',')}`;
    const free = names.filter((name) => !seen.has(key(name)));
    for (const name of free) seen.add(key(name));
    if (free.length === 0) return [];
    return [{ ...target, serverNames: target.serverNames.length === 0 ? [] : free }];
  });
}

/** A name alone, as `*`, is every name. */
export function serverNamesOf(sniHosts: readonly string[]): readonly string[] {
  const names = [...new Set(sniHosts.map((name) => name.toLowerCase()))];
  return names.includes('*') ? [] : names;
}

/**
 * Where the connections go that a client opens to a service port: by the rules for TLS, where the port speaks it and they
 * are for it, else by those for TCP, else to the service. As in Istio names that no rule for TLS takes lead nowhere.
 *
 * @param intercepted connections come with the address that they were going to
 */
export function outboundTargets(
  scope: ClientScope,
  service: MeshService,
  port: MeshPort,
  problems: Problem[],
  intercepted = false,
): readonly ConnectionTarget[] {
  const statPrefix = outboundClusterName(port.port, '', service.hostname);
  const virtualService = scope.meshRoutes(port.port).forHost(service.hostname);
  const policy = policyForPort(scope.destinationRule(service), undefined, port.port);
  const { idleTimeout, maxConnectionDuration: maxDuration } = policy.connectionPool?.tcp ?? {};
  const toService = [{ name: statPrefix, weight: 1 }];
  const whole = {
    statPrefix,
    clusters: toService,
    idleTimeout,
    maxDuration,
    hashesSource: hashesSource(scope, toService),
    tunnel: tunnelOf(scope, toService, problems),
    forwardPort: forwardPortOf(scope, toService, intercepted),
  };
  // As in Istio: of a host that only the ClientHello knows, the names are its own.
  const isForwarded = whole.forwardPort !== undefined;
  const ownNames = isForwarded ? serverNamesOf([service.hostname]) : [];
  if (virtualService === undefined) return [{ serverNames: ownNames, subnets: [], to: whole }];
  const following = (rule: Pick<TcpRoute, 'route'>): TcpDestinations => {
    const clusters = ruleClusters(scope, virtualService, rule, port.port, problems);
    const ofClusters = {
      hashesSource: hashesSource(scope, clusters),
      tunnel: tunnelOf(scope, clusters, problems),
      forwardPort: forwardPortOf(scope, clusters, intercepted),
    };
    return { statPrefix, clusters, idleTimeout, maxDuration, ...ofClusters };
  };
  const speaksTls = port.protocol === 'tls' || port.protocol === 'https';
  const byName = !speaksTls
    ? []
    : virtualService.tlsRules.flatMap((rule) =>
        rule.match
          .filter((match) => match.port === undefined || match.port === port.port)
          .map(({ sniHosts, destinationSubnets = [] }) => ({
            serverNames: serverNamesOf(sniHosts),
            subnets: destinationSubnets,
            to: following(rule),
          })),
      );
  if (byName.length > 0) return withoutRepeats(byName);
  const targets: ConnectionTarget[] = [];
  for (const rule of virtualService.tcpRules) {
    for (const subnets of subnetsFor(rule, port.port)) targets.push({ serverNames: [], subnets, to: following(rule) });
  }
  return withoutRepeats([...targets, { serverNames: ownNames, subnets: [], to: whole }]);
}

/**
 * Where the connections go that a client opens to a Sidecar's own listener: by their server name to one of its services,
 * where they are TLS, else to the first, since nothing else tells them apart.
 */
export function ownTargets(
  scope: ClientScope,
  { port, protocol, services }: OwnOutbound,
  problems: Problem[],
): readonly ConnectionTarget[] {
  const byName = protocol === 'tls' || protocol === 'https';
  const all = services.map(({ service, port: meshPort }) =>
    outboundTargets(scope, service, meshPort, problems).map((target) => ({ service, target })),
  );
  if (byName) {
    return withoutRepeats(
      all
        .flat()
        .map(({ service, target }) =>
          target.serverNames.length > 0 ? target : { ...target, serverNames: [service.hostname] },
        ),
    );
  }
  const [first = [], ...others] = all;
  for (const [other] of others) {
    if (other === undefined) continue;
    problems.push({
      code: 'conflict-outbound-listener',
      severity: 'warning',
      metric: 'pilot_conflict_outbound_listener_tcp_over_current_tcp',
      subject: `Sidecar/${scope.sidecar?.name}`,
      message: `the egress listener of port ${port} cannot tell connections to ${other.service.hostname} from those to ${services[0]!.service.hostname}, and leads to the latter. Narrow \`hosts\` to one, or write \`protocol: TLS\` where the server name tells`,
    });
  }
  return first.map(({ target }) => target);
}

/** The subnets of each match of a rule that is for a port; an empty list is any address. */
function subnetsFor({ match }: TcpRoute, port: number): readonly (readonly string[])[] {
  if (match === undefined || match.length === 0) return [[]];
  return match
    .filter((condition) => condition.port === undefined || condition.port === port)
    .map(({ destinationSubnets = [] }) => destinationSubnets);
}

/** Whether the DestinationRule of one of the clusters hashes the client's address, the one thing of a connection that can be hashed. */
export function hashesSource(scope: ClientScope, clusters: TcpDestinations['clusters']): boolean {
  const { byName } = outboundClusters(scope);
  return clusters.some(({ name }) => {
    const cluster = byName.get(name);
    if (cluster === undefined) return false;
    const { loadBalancer } = policyForPort(scope.destinationRule(cluster.service), cluster.subset, cluster.port.port);
    return loadBalancer?.consistentHash?.useSourceIp === true;
  });
}

/** The port at which hosts are called that only the ClientHello names; undefined where no cluster is of such hosts. */
export function forwardPortOf(
  scope: ClientScope,
  clusters: TcpDestinations['clusters'],
  intercepted = false,
): number | undefined {
  const { byName } = outboundClusters(scope);
  const forwarded = clusters
    .map(({ name }) => byName.get(name))
    .find((cluster) => cluster !== undefined && goesWhereRequestsSay(cluster.service, intercepted));
  return forwarded?.port.targetPort;
}

/** Where the DestinationRule of the only cluster has its endpoints asked for; as in Istio weighted destinations are none. */
export function tunnelOf(
  scope: ClientScope,
  clusters: TcpDestinations['clusters'],
  problems: Problem[],
): TunnelTarget | undefined {
  const { byName } = outboundClusters(scope);
  for (const { name } of clusters) {
    const cluster = byName.get(name);
    const rule = cluster && scope.destinationRule(cluster.service);
    const tunnel = cluster && policyForPort(rule, cluster.subset, cluster.port.port).tunnel;
    if (rule === undefined || tunnel === undefined) continue;
    const { targetHost, targetPort, protocol } = tunnel;
    if (clusters.length === 1) {
      const hostname = `${targetHost.includes(':') ? `[${targetHost}]` : targetHost}:${targetPort}`;
      return { hostname, usePost: protocol === 'POST' };
    }
    problems.push({
      code: 'unsupported-tunnel',
      severity: 'warning',
      subject: `DestinationRule/${rule.namespace}/${rule.name}`,
      message: `trafficPolicy.tunnel holds for rules with one destination; connections that are spread over several go to ${cluster?.service.hostname} without it`,
    });
  }
  return undefined;
}

/** By weight; a single destination needs none, one with the weight 0 gets nothing. */
export function ruleClusters(
  scope: ClientScope,
  virtualService: EffectiveVirtualService,
  { route = [] }: Pick<TcpRoute, 'route'>,
  port: number,
  problems: Problem[],
): TcpDestinations['clusters'] {
  const weighted = route.length === 1 ? route : route.filter(({ weight }) => (weight ?? 0) > 0);
  return weighted.map(({ destination, weight }) => ({
    name: destinationCluster(scope, virtualService, destination, port, problems),
    weight: weight || 1,
  }));
}
