// Build: where the connections of a gateway's TCP and TLS servers go, by the rules for connections of its VirtualServices.

import { hostMatches, type TcpRoute } from '@lateen/istio-config';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { GatewayServer } from '../../resolve/gateways.js';
import { isExportedTo } from '../../resolve/mesh-index.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { sniOf } from '../names.js';
import { intersectingHosts } from './gateway-hosts.js';
import {
  type ConnectionTarget,
  forwardPortOf,
  hashesSource,
  ruleClusters,
  serverNamesOf,
  type TcpDestinations,
  tunnelOf,
} from './tcp-destinations.js';

function boundRules(scope: ClientScope, server: GatewayServer): readonly EffectiveVirtualService[] {
  return scope.gatewayRoutes(server.gateway).filter((rule) => intersectingHosts(server, rule).length > 0);
}

function destinations(
  scope: ClientScope,
  clusters: TcpDestinations['clusters'],
  statPrefix: string,
  problems: Problem[],
): TcpDestinations {
  return {
    statPrefix,
    clusters,
    idleTimeout: undefined,
    hashesSource: hashesSource(scope, clusters),
    tunnel: tunnelOf(scope, clusters, problems),
    forwardPort: forwardPortOf(scope, clusters),
  };
}

/** What leads nowhere is told: a listener without a chain would be refused. */
function withoutRoutes({ gateway, port, portName }: GatewayServer, field: 'tcp' | 'tls'): Problem {
  return {
    code: 'gateway-server-without-routes',
    severity: 'warning',
    subject: `Gateway/${gateway}`,
    message: `no VirtualService with a rule in \`${field}\` is bound to the server of port ${port} (${portName}); nothing listens for it`,
  };
}

/** Of the rules for TCP the first that is for the port takes all connections, as in Istio. */
function tcpTargets(scope: ClientScope, server: GatewayServer, problems: Problem[]): ConnectionTarget[] {
  for (const virtualService of boundRules(scope, server)) {
    const rule = virtualService.tcpRules.find(({ match }) => isForPort(match, server.port));
    if (rule === undefined) continue;
    const clusters = ruleClusters(scope, virtualService, rule, server.port, problems);
    const first = clusters[0];
    if (first !== undefined)
      return [{ serverNames: [], subnets: [], to: destinations(scope, clusters, first.name, problems) }];
  }
  problems.push(withoutRoutes(server, 'tcp'));
  return [];
}

function isForPort(match: TcpRoute['match'], port: number): boolean {
  if (match === undefined || match.length === 0) return true;
  return match.some((condition) => condition.port === undefined || condition.port === port);
}

/** One target for each match of the rules for TLS that is for the port. */
function sniTargets(scope: ClientScope, server: GatewayServer, problems: Problem[]): ConnectionTarget[] {
  const targets = boundRules(scope, server).flatMap((virtualService) =>
    virtualService.tlsRules.flatMap((rule) =>
      rule.match
        .filter(({ port }) => port === undefined || port === server.port)
        .flatMap(({ sniHosts, destinationSubnets = [] }) => {
          const clusters = ruleClusters(scope, virtualService, rule, server.port, problems);
          const first = clusters[0];
          if (first === undefined) return [];
          const to = destinations(scope, clusters, first.name, problems);
          return [{ serverNames: serverNamesOf(sniHosts), subnets: destinationSubnets, to }];
        }),
    ),
  );
  if (targets.length === 0) problems.push(withoutRoutes(server, 'tls'));
  return targets;
}

/** The clusters that sidecars' server names lead to, of the services that a server's hosts take in: `outbound_.PORT_.SUBSET_.HOST`. */
export function sniClusters(scope: ClientScope, server: GatewayServer) {
  return [...outboundClusters(scope).byName.values()].filter(({ service, closed }) => {
    // Only sidecars take TLS that was begun for them.
    if (closed || service.resolution !== 'EDS') return false;
    return server.hosts.some(
      ({ namespace, host }) => isExportedTo([namespace], '', service.namespace) && hostMatches(host, service.hostname),
    );
  });
}

function autoSniTargets(scope: ClientScope, server: GatewayServer): ConnectionTarget[] {
  return sniClusters(scope, server).map(({ service, port, subset }) => {
    const name = sniOf(port.port, subset?.name ?? '', service.hostname);
    return {
      serverNames: [name],
      subnets: [],
      to: { statPrefix: name, clusters: [{ name, weight: 1 }], idleTimeout: undefined, hashesSource: false },
    };
  });
}

/** Where the connections of a server go that is not one of requests. */
export function connectionTargets(
  scope: ClientScope,
  server: GatewayServer,
  problems: Problem[],
): readonly ConnectionTarget[] {
  if (server.kind === 'auto-sni') return autoSniTargets(scope, server);
  return server.kind === 'sni' ? sniTargets(scope, server, problems) : tcpTargets(scope, server, problems);
}
