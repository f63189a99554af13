// Build: what a sidecar does with calls of hosts that the mesh does not know.

import { create } from '@bufbuild/protobuf';
import { type VirtualHost, VirtualHostSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { OutboundMode } from '../../resolve/sidecar-scope.js';
import { durationOfMs } from '../durations.js';
import { PASSTHROUGH_CLUSTER } from '../names.js';

/** What it depends on. */
export interface CatchAllScope {
  readonly outboundMode: OutboundMode;
  readonly sidecar: { readonly name: string } | undefined;
}

/**
 * The last virtual host of every outbound route configuration. ALLOW_ANY passes the call on to where it was going. At the
 * address of a service without interception that is nowhere, so there, as under REGISTRY_ONLY, the answer is 502.
 *
 * @param passthrough whether it is known where a call was going
 * @param includeRequestAttemptCount whether requests say how often they were tried
 */
export function catchAllVirtualHost(
  { outboundMode, sidecar }: CatchAllScope,
  passthrough: boolean,
  includeRequestAttemptCount: boolean,
): VirtualHost {
  const allowAny = outboundMode === 'ALLOW_ANY';
  const match = { pathSpecifier: { case: 'prefix' as const, value: '/' } };
  if (allowAny && passthrough) {
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
              clusterSpecifier: { case: 'cluster', value: PASSTHROUGH_CLUSTER },
              timeout: durationOfMs(0),
              maxGrpcTimeout: durationOfMs(0),
            },
          },
        },
      ],
    });
  }
  const which = sidecar === undefined ? '' : ` that Sidecar ${sidecar.name} lets this workload call`;
  const text = `no service of the mesh${which} has this host\n`;
  const body = allowAny ? { specifier: { case: 'inlineString' as const, value: text } } : undefined;
  return create(VirtualHostSchema, {
    name: 'block_all',
    domains: ['*'],
    includeRequestAttemptCount,
    routes: [{ name: 'block_all', match, action: { case: 'directResponse', value: { status: 502, body } } }],
  });
}
