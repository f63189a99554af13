// Build: what a forward proxy does with CONNECT: tunnels to the hosts that it knows end at it.

import { create } from '@bufbuild/protobuf';
import { hostMatches } from '@lateen/istio-config';
import { type Route, RouteSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { MeshPort, MeshService } from '../../resolve/mesh-index.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { outboundTargets, type TcpDestinations } from './tcp-destinations.js';

/** As of any connection without a word about it. */
const IDLE_MS = 3_600_000;

type Destination = Pick<TcpDestinations, 'clusters'> & Partial<Pick<TcpDestinations, 'idleTimeout' | 'tunnel'>>;

/** The bytes of the tunnel go to the clusters; a CONNECT has no path, so nothing else matches it. */
export function connectRoute({ clusters, idleTimeout, tunnel }: Destination): Route {
  const [only, second] = clusters;
  const specifier =
    only !== undefined && second === undefined
      ? { case: 'cluster' as const, value: only.name }
      : {
          case: 'weightedClusters' as const,
          value: { clusters: clusters.map(({ name, weight }) => ({ name, weight })) },
        };
  const upgrade = { upgradeType: 'CONNECT', ...(tunnel === undefined && { connectConfig: {} }) };
  return create(RouteSchema, {
    name: 'connect',
    match: { pathSpecifier: { case: 'connectMatcher', value: {} } },
    action: {
      case: 'route',
      value: {
        clusterSpecifier: specifier,
        upgradeConfigs: [upgrade],
        timeout: durationOfMs(0),
        idleTimeout: durationOfText(idleTimeout) ?? durationOfMs(IDLE_MS),
        // The DestinationRule has the cluster asked for somebody else.
        ...(tunnel && { hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: tunnel.hostname } }),
      },
    },
  });
}

/** Which of a port's rules connections of a client follow that asks for the host by its name. */
function destinationOf(scope: ClientScope, service: MeshService, port: MeshPort): TcpDestinations | undefined {
  // What is wrong with the rules is told where listeners are made of them.
  const targets = outboundTargets(scope, service, port, []);
  const isForName = (names: readonly string[]) =>
    names.length === 0 || names.some((name) => hostMatches(name, service.hostname));
  return targets.find(({ serverNames, subnets }) => subnets.length === 0 && isForName(serverNames))?.to;
}

/**
 * The route for CONNECT to a service's port. What is in a tunnel to a port of HTTP are requests, so these go to the forward
 * proxy itself, which has the routes for them; to other ports bytes go by the rules for connections.
 *
 * @param ownCluster leads to the forward proxy
 */
export function serviceConnectRoute(
  scope: ClientScope,
  service: MeshService | undefined,
  portNumber: number,
  ownCluster: string,
): readonly Route[] {
  const port = service?.ports.find((each) => each.port === portNumber);
  if (service === undefined || port === undefined || (port.http && port.protocol !== 'auto')) {
    return [connectRoute({ clusters: [{ name: ownCluster, weight: 1 }] })];
  }
  const destination = destinationOf(scope, service, port);
  if (destination === undefined || destination.tunnel?.usePost === true) return [];
  return [connectRoute(destination)];
}
