// What a route or virtual host configures of a filter that asks a rate limit service, as an immutable record.
import {
  RateLimitPerRoute_VhRateLimitsOptions as HostOptions,
  type RateLimitPerRoute,
  RateLimitPerRouteSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import { BlobWriter } from '../blob-writer.js';
import type { ProblemList } from '../problems.js';
import { refuseOtherFields } from '../supported-fields.js';
import * as A from './ask-layout.js';

const HOST_ACTIONS = {
  [HostOptions.OVERRIDE]: A.HOST_ACTIONS_UNLESS_OWN,
  [HostOptions.INCLUDE]: A.HOST_ACTIONS_TOO,
  [HostOptions.IGNORE]: A.HOST_ACTIONS_NEVER,
} as const;

/** The record's bytes. */
export function compileLimitServiceOfRoute(problems: ProblemList, path: string, config: RateLimitPerRoute): Uint8Array {
  refuseOtherFields(problems, path, RateLimitPerRouteSchema, config, 'vh_rate_limits domain');
  const blob = new BlobWriter();
  blob.reserve(A.ASK_ROUTE_BYTES);
  blob.int(A.ASK_ROUTE_HOST_ACTIONS, HOST_ACTIONS[config.vhRateLimits]);
  blob.text(A.ASK_ROUTE_DOMAIN, config.domain);
  return blob.finish();
}
