// Support table: the local rate limit filter, at the listener and on virtual hosts and routes; the quota filter.

import type { SupportTable } from '../support-types.js';

export const LOCAL_RATE_LIMIT = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';

const QUOTA_PACKAGE = 'envoy.extensions.filters.http.rate_limit_quota.v3';
export const RATE_LIMIT_QUOTA = `${QUOTA_PACKAGE}.RateLimitQuotaFilterConfig`;
const SETTINGS = `${QUOTA_PACKAGE}.RateLimitQuotaBucketSettings`;
const MATCHER = 'xds.type.matcher.v3.Matcher';
const HEADER_INPUT = 'envoy.type.matcher.v3.HttpRequestHeaderMatchInput';
const CERTIFICATE_INPUT = 'envoy.extensions.matching.common_inputs.ssl.v3.UriSanInput';
const ADDRESS_INPUT = 'envoy.extensions.matching.common_inputs.network.v3.SourceIPInput';

const CLAIM_INPUT = 'envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput';

/** What the id of a bucket may be made of. */
export const BUCKET_ID_INPUTS: readonly string[] = [HEADER_INPUT, CERTIFICATE_INPUT, ADDRESS_INPUT, CLAIM_INPUT];

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
      'enable_x_ratelimit_headers',
    ],
    notes: { enable_x_ratelimit_headers: 'of two filters the one that leaves less is told' },
    inert: {
      stage: 'no route has rate limit actions',
      always_consume_default_token_bucket: 'without descriptors the bucket is always consumed',
    },
    only: { vh_rate_limits: ['OVERRIDE'] },
    refused: {
      descriptors: 'descriptors are not supported yet; limit by route',
      local_cluster_rate_limit: 'a limit is not divided among proxies',
      rate_limited_as_resource_exhausted: 'gRPC is not supported yet',
    },
  },
  'envoy.type.v3.TokenBucket': { acted: ['max_tokens', 'tokens_per_fill', 'fill_interval'] },
  'envoy.type.v3.HttpStatus': { acted: ['code'] },
  [RATE_LIMIT_QUOTA]: {
    acted: [
      'rlqs_server',
      'domain',
      'bucket_matchers',
      'filter_enabled',
      'filter_enforced',
      'request_headers_to_add_when_not_enforced',
    ],
    notes: {
      rlqs_server: 'the cluster must be that of the control plane (ADS)',
      bucket_matchers: 'a request that lacks a part of the id of a bucket is not limited by it',
    },
  },
  [SETTINGS]: {
    acted: [
      'bucket_id_builder',
      'reporting_interval',
      'deny_response_settings',
      'no_assignment_behavior',
      'expired_assignment_behavior',
    ],
  },
  [`${SETTINGS}.BucketIdBuilder`]: { acted: ['bucket_id_builder'] },
  [`${SETTINGS}.BucketIdBuilder.ValueBuilder`]: { acted: ['string_value', 'custom_value'] },
  [`${SETTINGS}.NoAssignmentBehavior`]: { acted: ['fallback_rate_limit'] },
  [`${SETTINGS}.ExpiredAssignmentBehavior`]: {
    acted: ['expired_assignment_behavior_timeout', 'reuse_last_assignment'],
    refused: { fallback_rate_limit: 'leave it out for the behavior without an assignment' },
  },
  [`${SETTINGS}.ExpiredAssignmentBehavior.ReuseLastAssignment`]: { acted: [] },
  [`${SETTINGS}.DenyResponseSettings`]: {
    acted: ['http_status', 'http_body', 'response_headers_to_add'],
    notes: { response_headers_to_add: 'retry-after and ratelimit-reset say the seconds until there is a token' },
    refused: { grpc_status: 'gRPC clients are answered by the rules of their protocol' },
  },
  'envoy.type.v3.RateLimitStrategy': { acted: ['blanket_rule', 'requests_per_time_unit', 'token_bucket'] },
  'envoy.type.v3.RateLimitStrategy.RequestsPerTimeUnit': { acted: ['requests_per_time_unit', 'time_unit'] },
  [MATCHER]: { acted: ['matcher_list', 'on_no_match'], refused: { matcher_tree: 'use matcher_list' } },
  [`${MATCHER}.MatcherList`]: { acted: ['matchers'] },
  [`${MATCHER}.MatcherList.FieldMatcher`]: { acted: ['predicate', 'on_match'] },
  [`${MATCHER}.MatcherList.Predicate`]: {
    acted: ['single_predicate', 'and_matcher'],
    refused: { or_matcher: 'write a matcher for each', not_matcher: 'write a matcher before it for what is left out' },
  },
  [`${MATCHER}.MatcherList.Predicate.PredicateList`]: { acted: ['predicate'] },
  [`${MATCHER}.MatcherList.Predicate.SinglePredicate`]: {
    acted: ['input', 'value_match'],
    refused: { custom_match: 'use value_match' },
  },
  [`${MATCHER}.OnMatch`]: {
    acted: ['action'],
    refused: { matcher: 'nested matchers are not supported; use and_matcher' },
  },
  'xds.core.v3.TypedExtensionConfig': {
    acted: ['typed_config'],
    inert: { name: 'the type of the configuration decides' },
    anyOf: { typed_config: [SETTINGS, HEADER_INPUT] },
  },
  'xds.type.matcher.v3.StringMatcher': {
    acted: ['exact', 'prefix', 'suffix', 'contains', 'safe_regex', 'ignore_case'],
  },
  'xds.type.matcher.v3.RegexMatcher': {
    acted: ['regex'],
    inert: { google_re2: "the syntax is RE2's in any case" },
  },
  [HEADER_INPUT]: { acted: ['header_name'] },
  [CERTIFICATE_INPUT]: { acted: [] },
  [ADDRESS_INPUT]: { acted: [] },
  [CLAIM_INPUT]: { acted: ['filter', 'path'] },
  [`${CLAIM_INPUT}.PathSegment`]: { acted: ['key'] },
};
