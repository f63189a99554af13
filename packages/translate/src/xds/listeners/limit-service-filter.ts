// Build: the filter that asks a rate limit service about what a workload or a gateway takes.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import {
  RateLimitSchema,
  RateLimit_XRateLimitHeadersRFCVersion as XRateLimitHeaders,
} from '@lateen/xds-proto/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { LimitService } from '../../resolve/lateen/limit-services.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { durationOfMs } from '../durations.js';
import { BLACK_HOLE_CLUSTER, outboundClusterName } from '../names.js';

/** The cluster of a service that the proxy itself calls. One that does not exist is never reached: it is as if it did not answer. */
export function ownCallCluster(
  scope: ClientScope,
  { host, port }: { readonly host: string; readonly port: number },
): string {
  const name = outboundClusterName(port, '', host);
  return outboundClusters(scope).byName.has(name) ? name : BLACK_HOLE_CLUSTER;
}

/** What it is asked about are the actions of virtual hosts with its stage. */
export function buildLimitServiceFilter(scope: ClientScope, service: LimitService): HttpFilter {
  const { stage, host, domain, timeoutMs, failOpen, status, tellsLimits } = service;
  const clusterName = ownCallCluster(scope, service);
  const config = create(RateLimitSchema, {
    domain,
    stage,
    timeout: durationOfMs(timeoutMs),
    failureModeDeny: !failOpen,
    rateLimitService: {
      // The cluster's name is no authority that servers of HTTP/2 take.
      grpcService: { targetSpecifier: { case: 'envoyGrpc', value: { clusterName, authority: host } } },
      transportApiVersion: ApiVersion.V3,
    },
    enableXRatelimitHeaders: tellsLimits ? XRateLimitHeaders.DRAFT_VERSION_03 : XRateLimitHeaders.OFF,
    ...(status !== undefined && { rateLimitedStatus: { code: status } }),
  });
  return create(HttpFilterSchema, {
    name: `lateen.limit-service/${stage}`,
    configType: { case: 'typedConfig', value: packAny(RateLimitSchema, config) },
  });
}
