// Build: what a sidecar does with calls of hosts that the mesh does not know.

import { create } from '@bufbuild/protobuf';
import { type VirtualHost, VirtualHostSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import type { EgressProxy, OutboundMode } from '../../resolve/sidecar-scope.js';
import { durationOfMs } from '../durations.js';
import { outboundClusterName, PASSTHROUGH_CLUSTER } from '../names.js';
import { connectRoute } from './connect-routes.js';

/** What it depends on. */
export interface CatchAllScope {
  readonly outboundMode: OutboundMode;
  readonly sidecar: { readonly name: string; readonly egressProxy: EgressProxy | undefined } | undefined;
  readonly destinationByHost: ReadonlyMap<string, MeshService>;
  readonly destinationRule: ClientScope['destinationRule'];
}

/** Where calls of hosts that nobody knows go; undefined where they go nowhere. */
export function unknownCluster({ outboundMode, sidecar, ...scope }: CatchAllScope, passthrough: boolean) {
  if (outboundMode !== 'ALLOW_ANY') return undefined;
  const proxy = sidecar?.egressProxy;
  if (proxy === undefined) return passthrough ? PASSTHROUGH_CLUSTER : undefined;
  return isThere(scope, proxy) ? outboundClusterName(proxy.port, proxy.subset, proxy.host) : undefined;
}

function isThere(
  { destinationByHost, destinationRule }: Pick<CatchAllScope, 'destinationByHost' | 'destinationRule'>,
  { host, port, subset }: EgressProxy,
): boolean {
  const service = destinationByHost.get(host);
  if (service === undefined || !service.ports.some((each) => each.port === port && each.http)) return false;
  return subset === '' || destinationRule(service)?.subsets.some(({ name }) => name === subset) === true;
}

/** A Sidecar's egress proxy that is not there: calls of unknown hosts go nowhere then. */
export function missingEgressProxy({ sidecar, ...scope }: CatchAllScope): readonly Problem[] {
  const proxy = sidecar?.egressProxy;
  if (proxy === undefined || isThere(scope, proxy)) return [];
  const { host, port, subset } = proxy;
  const what = `${host}, port ${port}${subset === '' ? '' : `, subset ${subset}`}`;
  return [
    {
      code: 'missing-destination',
      severity: 'warning',
      subject: `Sidecar/${sidecar!.name}`,
      message: `there is no HTTP service for \`egressProxy\` (${what}): calls of unknown hosts are answered 502. Correct host, port or subset`,
    },
  ];
}

/**
 * The last virtual host of every outbound route configuration. ALLOW_ANY passes the call on to where it was going. At the
 * address of a service without interception that is nowhere, so there, as under REGISTRY_ONLY, the answer is 502.
 *
 * @param passthrough whether it is known where a call was going
 * @param includeRequestAttemptCount whether requests say how often they were tried
 * @param connects whether clients may ask for a tunnel by CONNECT
 */
export function catchAllVirtualHost(
  scope: CatchAllScope,
  passthrough: boolean,
  includeRequestAttemptCount: boolean,
  connects = false,
): VirtualHost {
  const { outboundMode, sidecar } = scope;
  const allowAny = outboundMode === 'ALLOW_ANY';
  const cluster = unknownCluster(scope, passthrough);
  const match = { pathSpecifier: { case: 'prefix' as const, value: '/' } };
  const which = sidecar === undefined ? '' : ` that Sidecar ${sidecar.name} lets this workload call`;
  const text = `no service of the mesh${which} has this host\n`;
  const body = allowAny ? { specifier: { case: 'inlineString' as const, value: text } } : undefined;
  const refusal = { case: 'directResponse' as const, value: { status: 502, body } };
  const connectMatch = { pathSpecifier: { case: 'connectMatcher' as const, value: {} } };
  if (cluster !== undefined) {
    // An egress proxy of the mesh takes requests, and no tunnels.
    const ofTunnels =
      cluster === PASSTHROUGH_CLUSTER
        ? connectRoute({ clusters: [{ name: cluster, weight: 1 }] })
        : { name: 'block_all', match: connectMatch, action: refusal };
    return create(VirtualHostSchema, {
      name: 'allow_any',
      domains: ['*'],
      includeRequestAttemptCount,
      routes: [
        {
          name: 'allow_any',
          match,
          action: {
            case: 'route',
            value: {
              clusterSpecifier: { case: 'cluster', value: cluster },
              timeout: durationOfMs(0),
              maxGrpcTimeout: durationOfMs(0),
            },
          },
        },
        ...(connects ? [ofTunnels] : []),
      ],
    });
  }
  return create(VirtualHostSchema, {
    name: 'block_all',
    domains: ['*'],
    includeRequestAttemptCount,
    routes: [
      { name: 'block_all', match, action: refusal },
      ...(connects ? [{ name: 'block_all', match: connectMatch, action: refusal }] : []),
    ],
  });
}
