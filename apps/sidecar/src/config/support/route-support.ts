// Support table: route configurations, virtual hosts, routes, matches and retry policies.

import { PER_FILTER_TYPES } from './route-filter-support.js';
import type { SupportTable } from './support-types.js';
import { CLAIM_MATCH_SUPPORT } from './tokens/jwt-support.js';

const HEADER_MUTATIONS = [
  'request_headers_to_add',
  'request_headers_to_remove',
  'response_headers_to_add',
  'response_headers_to_remove',
] as const;
/** What else Envoy upgrades to is not supported. The type is compared without regard to case. */
export const UPGRADE_TYPES = ['websocket', 'WebSocket', 'WEBSOCKET', 'CONNECT', 'Connect', 'connect'] as const;
const NO_METADATA = 'no decision depends on the metadata of a route';
const USE_CORS_FILTER = 'use typed_per_filter_config with a CorsPolicy of the CORS filter';

export const ROUTE_SUPPORT: SupportTable = {
  'envoy.config.route.v3.RouteConfiguration': {
    acted: [
      'name',
      'virtual_hosts',
      ...HEADER_MUTATIONS,
      'most_specific_header_mutations_wins',
      'ignore_port_in_host_matching',
    ],
    notes: {
      ignore_port_in_host_matching:
        'hosts are always matched with and without their port, but for CONNECT: without this its port counts, as in Envoy',
    },
    inert: {
      validate_clusters: 'acted on in a bootstrap file; over xDS a missing cluster is answered with 503 NC',
      max_direct_response_body_size_bytes: 'the body is in the configuration already',
    },
    only: { ignore_path_parameters_in_path_matching: ['false'] },
  },
  'envoy.config.route.v3.VirtualHost': {
    acted: [
      'name',
      'domains',
      'routes',
      ...HEADER_MUTATIONS,
      'include_request_attempt_count',
      'include_attempt_count_in_response',
      'retry_policy',
      'typed_per_filter_config',
      'per_request_buffer_limit_bytes',
      'rate_limits',
    ],
    anyOf: { typed_per_filter_config: PER_FILTER_TYPES },
    inert: { metadata: NO_METADATA, virtual_clusters: 'statistics are kept by cluster and by peer' },
    only: { require_tls: ['NONE', 'ALL'] },
    refused: { cors: USE_CORS_FILTER },
  },
  'envoy.config.route.v3.Route': {
    acted: [
      'name',
      'match',
      'route',
      'redirect',
      'direct_response',
      'typed_per_filter_config',
      'stat_prefix',
      ...HEADER_MUTATIONS,
      'per_request_buffer_limit_bytes',
    ],
    anyOf: { typed_per_filter_config: PER_FILTER_TYPES },
    inert: {
      metadata: 'only rate limit actions read the metadata of a route',
      decorator: 'no spans are made yet',
    },
  },
  'envoy.config.route.v3.RouteMatch': {
    acted: [
      'prefix',
      'path',
      'path_separated_prefix',
      'safe_regex',
      'connect_matcher',
      'case_sensitive',
      'runtime_fraction',
      'headers',
      'query_parameters',
      'dynamic_metadata',
    ],
  },
  ...CLAIM_MATCH_SUPPORT,
  'envoy.type.matcher.v3.RegexMatcher': {
    acted: ['regex'],
    inert: { google_re2: 'expressions always have the syntax of RE2; their size has limits of its own' },
  },
  'envoy.type.matcher.v3.RegexMatchAndSubstitute': { acted: ['pattern', 'substitution'] },
  'envoy.config.route.v3.RouteMatch.ConnectMatcher': { acted: [] },
  'envoy.config.core.v3.RuntimeFractionalPercent': {
    acted: ['default_value'],
    inert: { runtime_key: 'there is no runtime' },
  },
  'envoy.type.v3.FractionalPercent': { acted: ['numerator', 'denominator'] },
  'envoy.config.route.v3.HeaderMatcher': {
    acted: [
      'name',
      'exact_match',
      'safe_regex_match',
      'prefix_match',
      'suffix_match',
      'contains_match',
      'present_match',
      'string_match',
      'range_match',
      'invert_match',
      'treat_missing_header_as_empty',
    ],
  },
  'envoy.config.route.v3.QueryParameterMatcher': { acted: ['name', 'string_match', 'present_match'] },
  'envoy.type.matcher.v3.StringMatcher': {
    acted: ['exact', 'prefix', 'suffix', 'contains', 'safe_regex', 'ignore_case'],
  },
  'envoy.type.v3.Int64Range': { acted: ['start', 'end'] },
  'envoy.type.v3.Int32Range': { acted: ['start', 'end'] },
  'envoy.config.route.v3.RouteAction': {
    acted: [
      'cluster',
      'weighted_clusters',
      'cluster_not_found_response_code',
      'prefix_rewrite',
      'regex_rewrite',
      'host_rewrite_literal',
      'host_rewrite_header',
      'append_x_forwarded_host',
      'timeout',
      'idle_timeout',
      'retry_policy',
      'max_stream_duration',
      'max_grpc_timeout',
      'hash_policy',
      'upgrade_configs',
      'request_mirror_policies',
      'rate_limits',
      'include_vh_rate_limits',
    ],
    notes: { max_grpc_timeout: 'a retry tells the upstream the time of the first attempt, not what is left of it' },
    only: { priority: ['DEFAULT'] },
    refused: {
      cluster_header: 'use cluster or weighted_clusters',
      cors: USE_CORS_FILTER,
    },
  },
  'envoy.config.route.v3.RouteAction.UpgradeConfig': {
    acted: ['enabled', 'connect_config'],
    only: { upgrade_type: UPGRADE_TYPES },
  },
  'envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig': { acted: ['proxy_protocol_config', 'allow_post'] },
  'envoy.config.route.v3.RouteAction.RequestMirrorPolicy': {
    acted: ['cluster', 'runtime_fraction', 'disable_shadow_host_suffix_append'],
    inert: { trace_sampled: 'no spans are made yet' },
    refused: { cluster_header: 'use cluster' },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy': {
    acted: ['header', 'cookie', 'connection_properties', 'query_parameter', 'terminal'],
    notes: { header: 'as the client sent it: what the route adds or changes is not seen' },
    refused: { filter_state: 'use header, cookie, connection_properties or query_parameter' },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.Header': {
    acted: ['header_name'],
    refused: { regex_rewrite: 'the value is hashed as it is' },
  },
  'envoy.config.route.v3.RouteAction.HashPolicy.Cookie': { acted: ['name', 'ttl', 'path', 'attributes'] },
  'envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute': { acted: ['name', 'value'] },
  'envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties': { acted: ['source_ip'] },
  'envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter': { acted: ['name'] },
  'envoy.config.route.v3.RouteAction.MaxStreamDuration': {
    acted: ['max_stream_duration', 'grpc_timeout_header_max', 'grpc_timeout_header_offset'],
  },
  'envoy.config.route.v3.WeightedCluster': { acted: ['clusters', 'total_weight'] },
  'envoy.config.route.v3.WeightedCluster.ClusterWeight': {
    acted: ['name', 'weight', ...HEADER_MUTATIONS, 'host_rewrite_literal'],
  },
  'envoy.config.core.v3.HeaderValueOption': { acted: ['header', 'append', 'append_action', 'keep_empty_value'] },
  'envoy.config.core.v3.HeaderValue': { acted: ['key', 'value', 'raw_value'] },
  'envoy.config.route.v3.RedirectAction': {
    acted: [
      'https_redirect',
      'scheme_redirect',
      'host_redirect',
      'port_redirect',
      'path_redirect',
      'prefix_rewrite',
      'regex_rewrite',
      'response_code',
      'strip_query',
    ],
  },
  'envoy.config.route.v3.DirectResponseAction': { acted: ['status', 'body'] },
  'envoy.config.route.v3.RetryPolicy': {
    acted: [
      'retry_on',
      'num_retries',
      'per_try_timeout',
      'per_try_idle_timeout',
      'retry_host_predicate',
      'retry_priority',
      'host_selection_retry_max_attempts',
      'retriable_status_codes',
      'retry_back_off',
      'retriable_headers',
      'retriable_request_headers',
      'rate_limited_retry_back_off',
    ],
  },
  'envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff': { acted: ['reset_headers', 'max_interval'] },
  'envoy.config.route.v3.RetryPolicy.ResetHeader': { acted: ['name', 'format'] },
  'envoy.config.route.v3.RetryPolicy.RetryBackOff': { acted: ['base_interval', 'max_interval'] },
  'envoy.config.route.v3.RetryPolicy.RetryHostPredicate': {
    acted: ['typed_config'],
    only: { name: ['envoy.retry_host_predicates.previous_hosts'] },
    anyOf: { typed_config: ['envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate'] },
  },
  'envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate': { acted: [] },
  'envoy.config.route.v3.RetryPolicy.RetryPriority': {
    acted: ['typed_config'],
    only: { name: ['envoy.retry_priorities.previous_priorities'] },
    anyOf: { typed_config: ['envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig'] },
  },
  'envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig': { acted: ['update_frequency'] },
};
