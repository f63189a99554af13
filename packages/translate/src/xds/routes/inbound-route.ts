// Build: the one route of an inbound listener, to the application.

import { create } from '@bufbuild/protobuf';
import type { RateLimit } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { InboundPort } from '../../resolve/inbound-ports.js';
import { durationOfMs } from '../durations.js';
import { inboundClusterName, inboundRouteName } from '../names.js';

/** Everything goes to `inbound|PORT||`, with no time limit; a request that the app's closing connection lost is sent again. */
export function buildInboundRoute(
  { port, services, servicePort }: InboundPort,
  rateLimits: RateLimit[],
): RouteConfiguration {
  const name = inboundRouteName(port);
  const host = services[0]?.hostname ?? 'localhost';
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts: [
      {
        name,
        domains: ['*'],
        rateLimits,
        routes: [
          {
            name: 'default',
            match: { pathSpecifier: { case: 'prefix', value: '/' } },
            decorator: { operation: `${host}:${servicePort}/*` },
            action: {
              case: 'route',
              value: {
                clusterSpecifier: { case: 'cluster', value: inboundClusterName(port) },
                timeout: durationOfMs(0),
                maxStreamDuration: { maxStreamDuration: durationOfMs(0), grpcTimeoutHeaderMax: durationOfMs(0) },
                retryPolicy: { retryOn: 'reset-before-request', numRetries: 2 },
              },
            },
          },
        ],
      },
    ],
  });
}
