// Support table: the filter that asks a rate limit service, and the rate limit actions of routes and virtual hosts.

import type { SupportTable } from '../support-types.js';

export const RATE_LIMIT_SERVICE = 'envoy.extensions.filters.http.ratelimit.v3.RateLimit';
export const RATE_LIMIT_PER_ROUTE = 'envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute';
const ACTIONS = 'envoy.config.route.v3.RateLimit';

export const LIMIT_SERVICE_SUPPORT: SupportTable = {
  [RATE_LIMIT_SERVICE]: {
    acted: [
      'domain',
      'stage',
      'request_type',
      'timeout',
      'failure_mode_deny',
      'rate_limited_as_resource_exhausted',
      'rate_limit_service',
      'enable_x_ratelimit_headers',
      'disable_x_envoy_ratelimited_header',
      'rate_limited_status',
      'response_headers_to_add',
      'status_on_error',
      'stat_prefix',
    ],
    notes: {
      request_type: 'a request is internal where it says `x-envoy-internal: true`; an edge takes that away',
      rate_limit_service:
        'the filter comes after all others that limit rates; dynamic metadata of answers is left out; headers that an answer adds to a request do not change its route',
    },
  },
  'envoy.config.ratelimit.v3.RateLimitServiceConfig': {
    acted: ['grpc_service'],
    only: { transport_api_version: ['V3'] },
  },
  [RATE_LIMIT_PER_ROUTE]: {
    acted: ['vh_rate_limits', 'domain'],
    refused: {
      override_option: 'use vh_rate_limits',
      rate_limits: 'use rate_limits of the route',
    },
  },
  [ACTIONS]: {
    acted: ['stage', 'actions'],
    inert: { disable_key: 'there is no runtime' },
    refused: { limit: 'no metadata of a request is kept' },
  },
  [`${ACTIONS}.Action`]: {
    acted: [
      'source_cluster',
      'destination_cluster',
      'request_headers',
      'remote_address',
      'generic_key',
      'header_value_match',
      'metadata',
      'masked_remote_address',
      'query_parameter_value_match',
    ],
    refused: {
      dynamic_metadata: 'no metadata of a request is kept',
      extension: 'extensions of descriptors are not supported',
    },
  },
  [`${ACTIONS}.Action.SourceCluster`]: { acted: [] },
  [`${ACTIONS}.Action.DestinationCluster`]: { acted: [] },
  [`${ACTIONS}.Action.RemoteAddress`]: { acted: [] },
  [`${ACTIONS}.Action.RequestHeaders`]: { acted: ['header_name', 'descriptor_key', 'skip_if_absent'] },
  [`${ACTIONS}.Action.GenericKey`]: { acted: ['descriptor_value', 'descriptor_key'] },
  [`${ACTIONS}.Action.HeaderValueMatch`]: { acted: ['descriptor_key', 'descriptor_value', 'expect_match', 'headers'] },
  [`${ACTIONS}.Action.MaskedRemoteAddress`]: { acted: ['v4_prefix_mask_len', 'v6_prefix_mask_len'] },
  [`${ACTIONS}.Action.QueryParameterValueMatch`]: {
    acted: ['descriptor_key', 'descriptor_value', 'expect_match', 'query_parameters'],
    notes: { query_parameters: 'are compared as they were sent, without decoding' },
  },
  [`${ACTIONS}.Action.MetaData`]: {
    acted: ['descriptor_key', 'metadata_key', 'default_value', 'skip_if_absent'],
    only: { source: ['ROUTE_ENTRY'] },
    notes: { metadata_key: 'of the route that has the action' },
  },
  'envoy.type.metadata.v3.MetadataKey': { acted: ['key', 'path'] },
  'envoy.type.metadata.v3.MetadataKey.PathSegment': { acted: ['key'] },
};
