// Support table: filters that virtual hosts and routes may configure; faults, and answers to other origins.

import { RATE_LIMIT_PER_ROUTE } from './limits/limit-service-support.js';
import { LOCAL_RATE_LIMIT } from './limits/rate-limit-support.js';
import type { SupportTable } from './support-types.js';

export const HTTP_FAULT = 'envoy.extensions.filters.http.fault.v3.HTTPFault';
export const CORS_FILTER = 'envoy.extensions.filters.http.cors.v3.Cors';
const CORS_POLICY = 'envoy.extensions.filters.http.cors.v3.CorsPolicy';
const FILTER_CONFIG = 'envoy.config.route.v3.FilterConfig';

/** What may stand in typed_per_filter_config. */
export const PER_FILTER_TYPES: readonly string[] = [
  LOCAL_RATE_LIMIT,
  HTTP_FAULT,
  CORS_POLICY,
  RATE_LIMIT_PER_ROUTE,
  FILTER_CONFIG,
];

const NO_RUNTIME = 'there is no runtime';
const BY_CLIENT = 'a client must not choose faults';

export const ROUTE_FILTER_SUPPORT: SupportTable = {
  [FILTER_CONFIG]: {
    acted: ['config', 'disabled'],
    inert: { is_optional: 'a filter that is not supported is refused even where it is optional' },
    anyOf: { config: [LOCAL_RATE_LIMIT, HTTP_FAULT, CORS_POLICY, RATE_LIMIT_PER_ROUTE] },
  },
  [CORS_POLICY]: {
    acted: [
      'allow_origin_string_match',
      'allow_methods',
      'allow_headers',
      'expose_headers',
      'max_age',
      'allow_credentials',
      'filter_enabled',
      'allow_private_network_access',
      'forward_not_matching_preflights',
    ],
    inert: { shadow_enabled: 'these statistics are not kept' },
    notes: {
      allow_origin_string_match:
        "an origin of more than 2048 bytes is not allowed; a route's policy stands in place of its virtual host's, field by field in Envoy",
    },
  },
  [HTTP_FAULT]: {
    acted: ['delay', 'abort'],
    inert: {
      delay_percent_runtime: NO_RUNTIME,
      abort_percent_runtime: NO_RUNTIME,
      delay_duration_runtime: NO_RUNTIME,
      abort_http_status_runtime: NO_RUNTIME,
      max_active_faults_runtime: NO_RUNTIME,
      response_rate_limit_percent_runtime: NO_RUNTIME,
      abort_grpc_status_runtime: NO_RUNTIME,
      disable_downstream_cluster_stats: 'faults are counted by response flag',
    },
    refused: {
      upstream_cluster: 'set the fault for the routes of the cluster',
      headers: 'match the headers in the route',
      downstream_nodes: 'match x-envoy-downstream-service-node in the route',
      max_active_faults: 'the number of faults at a time has no limit of its own',
      response_rate_limit: 'responses are not slowed down',
      filter_metadata: 'no metadata of a request is kept',
    },
  },
  'envoy.extensions.filters.common.fault.v3.FaultDelay': {
    acted: ['fixed_delay', 'percentage'],
    refused: { header_delay: `${BY_CLIENT}; use fixed_delay` },
  },
  'envoy.extensions.filters.http.fault.v3.FaultAbort': {
    acted: ['http_status', 'grpc_status', 'percentage'],
    refused: { header_abort: `${BY_CLIENT}; use http_status` },
  },
};
