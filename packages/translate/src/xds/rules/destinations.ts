// Build: which cluster a destination of a rule means.

import type { Destination } from '@lateen/istio-config';
import { resolveShortHost } from '@lateen/istio-config';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { BLACK_HOLE_CLUSTER, outboundClusterName } from '../names.js';

function whyMissing(scope: ClientScope, host: string, port: number, subset: string): string {
  const service = scope.destinationByHost.get(host);
  if (service === undefined) return `no service ${host} is visible from namespace ${scope.namespace}`;
  if (!service.ports.some((candidate) => candidate.port === port)) {
    const ports = service.ports.map((candidate) => candidate.port).join(', ');
    return `service ${host} has no port ${port} (it has ${ports || 'none'}); set destination.port.number`;
  }
  const rule = scope.destinationRule(service);
  if (rule === undefined) return `no DestinationRule gives service ${host} a subset ${subset}`;
  return `DestinationRule ${rule.namespace}/${rule.name}, which these calls follow, gives service ${host} no subset ${subset}`;
}

/**
 * The cluster of a destination. Where there is none, requests are answered 503 by the black hole: Istio names the
 * missing cluster and Envoy answers 503 too, but a name that leads nowhere must not be served (checkConsistency).
 *
 * @param listenerPort the port that the request was sent to; used where the destination names none and the service has
 *   several
 * @param consequence what a problem says of requests, where the cluster is missing
 */
export function destinationCluster(
  scope: ClientScope,
  rule: EffectiveVirtualService,
  destination: Destination,
  listenerPort: number,
  problems: Problem[],
  consequence = 'requests for it are answered 503',
): string {
  const host = resolveShortHost(destination.host, rule.namespace, scope.snapshot.clusterDomain);
  const service = scope.destinationByHost.get(host);
  const onlyPort = service?.ports.length === 1 ? service.ports[0]?.port : undefined;
  const port = destination.port?.number ?? onlyPort ?? listenerPort;
  const subset = destination.subset ?? '';
  const name = outboundClusterName(port, subset, host);
  if (outboundClusters(scope).byName.has(name)) return name;
  problems.push({
    code: 'missing-destination',
    severity: 'warning',
    subject: `VirtualService/${rule.namespace}/${rule.name}`,
    message: `${whyMissing(scope, host, port, subset)}; ${consequence}`,
  });
  return BLACK_HOLE_CLUSTER;
}
