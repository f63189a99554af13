// Support table: the local rate limit filter, at the listener and on virtual hosts and routes.

import type { SupportTable } from './support-types.js';

export const LOCAL_RATE_LIMIT = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';

export const RATE_LIMIT_SUPPORT: SupportTable = {
  [LOCAL_RATE_LIMIT]: {
    acted: [
      'stat_prefix',
      'status',
      'token_bucket',
      'filter_enabled',
      'filter_enforced',
      'request_headers_to_add_when_not_enforced',
      'response_headers_to_add',
      'local_rate_limit_per_downstream_connection',
    ],
    inert: {
      stage: 'no route has rate limit actions',
      always_consume_default_token_bucket: 'without descriptors the bucket is always consumed',
    },
    only: { enable_x_ratelimit_headers: ['OFF'], vh_rate_limits: ['OVERRIDE'] },
    refused: {
      descriptors: 'descriptors are not supported yet; limit by route',
      local_cluster_rate_limit: 'a limit is not divided among proxies',
      rate_limited_as_resource_exhausted: 'gRPC is not supported yet',
    },
  },
  'envoy.type.v3.TokenBucket': { acted: ['max_tokens', 'tokens_per_fill', 'fill_interval'] },
  'envoy.type.v3.HttpStatus': { acted: ['code'] },
};
