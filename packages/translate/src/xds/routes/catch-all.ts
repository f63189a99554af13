// Build: what a sidecar does with calls of hosts that the mesh does not know.

import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@lateen/istio-config';
import { type VirtualHost, VirtualHostSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { durationOfMs } from '../durations.js';
import { PASSTHROUGH_CLUSTER } from '../names.js';

/**
 * The last virtual host of every outbound route configuration. ALLOW_ANY passes the call on to where it was going;
 * without interception nobody knows where that was, so there, as under REGISTRY_ONLY, the answer is 502.
 *
 * @param passthrough whether the proxy has a cluster that leads to where a call was going
 */
export function catchAllVirtualHost(meshConfig: MeshConfig, passthrough: boolean): VirtualHost {
  const allowAny = meshConfig.outboundTrafficPolicy?.mode !== 'REGISTRY_ONLY';
  const match = { pathSpecifier: { case: 'prefix' as const, value: '/' } };
  if (allowAny && passthrough) {
    return create(VirtualHostSchema, {
      name: 'allow_any',
      domains: ['*'],
      includeRequestAttemptCount: true,
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
  const body = allowAny
    ? { specifier: { case: 'inlineString' as const, value: 'no service of the mesh has this host\n' } }
    : undefined;
  return create(VirtualHostSchema, {
    name: 'block_all',
    domains: ['*'],
    includeRequestAttemptCount: true,
    routes: [{ name: 'block_all', match, action: { case: 'directResponse', value: { status: 502, body } } }],
  });
}
