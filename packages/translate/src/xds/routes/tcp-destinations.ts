// Build: where connections to a service port go: to the service, or where a VirtualService's rule for TCP says.

import type { TcpRoute } from '@lateen/istio-config';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { policyForPort } from '../../resolve/destination-rules.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { outboundClusterName } from '../names.js';
import { destinationCluster } from '../rules/destinations.js';

/** What a TCP proxy is told. */
export interface TcpDestinations {
  readonly statPrefix: string;
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  /** As the DestinationRule writes it; undefined: the proxy's default. */
  readonly idleTimeout: string | undefined;
}

/** The destinations of connections that a client opens to a service port. */
export function tcpDestinations(
  scope: ClientScope,
  service: MeshService,
  port: MeshPort,
  problems: Problem[],
): TcpDestinations {
  const statPrefix = outboundClusterName(port.port, '', service.hostname);
  const virtualService = scope.meshRoutes(port.port).forHost(service.hostname);
  const rule = virtualService?.tcpRules.find((candidate) => isForPort(candidate, port.port));
  const clusters =
    virtualService === undefined || rule === undefined
      ? [{ name: statPrefix, weight: 1 }]
      : ruleClusters(scope, virtualService, rule, port.port, problems);
  const policy = policyForPort(scope.destinationRule(service), undefined, port.port);
  return { statPrefix, clusters, idleTimeout: policy.connectionPool?.tcp?.idleTimeout };
}

function isForPort({ match }: TcpRoute, port: number): boolean {
  if (match === undefined || match.length === 0) return true;
  return match.some((condition) => condition.port === undefined || condition.port === port);
}

/** By weight; a single destination needs none, one with the weight 0 gets nothing. */
export function ruleClusters(
  scope: ClientScope,
  virtualService: EffectiveVirtualService,
  { route = [] }: TcpRoute,
  port: number,
  problems: Problem[],
): TcpDestinations['clusters'] {
  const weighted = route.length === 1 ? route : route.filter(({ weight }) => (weight ?? 0) > 0);
  return weighted.map(({ destination, weight }) => ({
    name: destinationCluster(scope, virtualService, destination, port, problems),
    weight: weight || 1,
  }));
}
