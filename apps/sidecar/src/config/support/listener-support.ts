// Support table: listeners, filter chains, the HTTP connection manager and its filters.

import { RATE_LIMIT_SERVICE } from './limits/limit-service-support.js';
import { LOCAL_RATE_LIMIT, RATE_LIMIT_QUOTA } from './limits/rate-limit-support.js';
import { HTTP_EXT_AUTHZ, NETWORK_EXT_AUTHZ } from './rbac/ext-authz-support.js';
import { HTTP_RBAC, NETWORK_RBAC } from './rbac/rbac-support.js';
import { CORS_FILTER, HTTP_FAULT } from './route-filter-support.js';
import { UPGRADE_TYPES } from './route-support.js';
import type { SupportTable } from './support-types.js';
import { JWT_AUTHN } from './tokens/jwt-support.js';

const HCM = 'envoy.extensions.filters.network.http_connection_manager.v3';
const TCP = 'envoy.extensions.filters.network.tcp_proxy.v3';
const SNI_FORWARD_PROXY = 'envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig';
const FORWARD_PROXY = 'envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig';
/** How the mesh's own filters travel. */
const TYPED_STRUCT = ['udpa.type.v1.TypedStruct', 'xds.type.v3.TypedStruct'] as const;

/** Types of HTTP filters that are acted on or that change nothing for a request. Any other is refused by name. */
export const HTTP_FILTER_TYPES = [
  'envoy.extensions.filters.http.router.v3.Router',
  'udpa.type.v1.TypedStruct',
  'xds.type.v3.TypedStruct',
  'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig',
  'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb',
  CORS_FILTER,
  FORWARD_PROXY,
  HTTP_EXT_AUTHZ,
  HTTP_FAULT,
  HTTP_RBAC,
  JWT_AUTHN,
  LOCAL_RATE_LIMIT,
  RATE_LIMIT_QUOTA,
  RATE_LIMIT_SERVICE,
] as const;

export const LISTENER_SUPPORT: SupportTable = {
  'envoy.config.listener.v3.Listener': {
    acted: [
      'name',
      'address',
      'additional_addresses',
      'filter_chains',
      'default_filter_chain',
      'listener_filters',
      'listener_filters_timeout',
      'continue_on_listener_filters_timeout',
      // For retries; the other buffers of a connection are bounded by the process.
      'per_connection_buffer_limit_bytes',
      'traffic_direction',
      'bind_to_port',
      'use_original_dst',
      'transparent',
    ],
    notes: {
      bind_to_port: 'false: it takes the connections to its address that a listener with `use_original_dst` hands over',
      use_original_dst: 'on Linux; a connection that was opened to the listener itself is reset',
      transparent:
        'needs CAP_NET_ADMIN or CAP_NET_RAW; where nothing was redirected (TPROXY) the local address is the original destination',
    },
    inert: {
      stat_prefix: 'statistics carry the name of the listener',
      metadata: 'nothing reads the metadata of a listener',
      drain_type: 'changed filter chains always drain',
      enable_reuse_port: 'the processes of a sidecar share one socket',
      reuse_port: 'the processes of a sidecar share one socket',
      tcp_backlog_size: 'the system limit of the accept queue is used',
      max_connections_to_accept_per_socket_event: 'accepting is done by the event loop',
      connection_balance_config: 'of the processes of a sidecar one that is free takes a connection',
      ignore_global_conn_limit: 'there is no limit over all listeners',
      bypass_overload_manager: 'there is no overload manager',
    },
    only: { freebind: ['false'] },
    refused: {
      filter_chain_matcher: 'use filter_chain_match of the chains',
      udp_listener_config: 'only TCP is proxied',
      api_listener: 'this is for proxyless gRPC clients',
      access_log: 'use access_log of the HTTP connection manager or of the TCP proxy',
    },
  },
  'envoy.config.listener.v3.AdditionalAddress': { acted: ['address'] },
  'envoy.config.core.v3.Address': {
    acted: ['socket_address', 'pipe'],
    refused: { envoy_internal_address: 'there are no internal listeners' },
  },
  // Of endpoints; where something is listened on, validation refuses it.
  'envoy.config.core.v3.Pipe': { acted: ['path'], inert: { mode: 'it is of sockets that are listened on' } },
  'envoy.config.core.v3.SocketAddress': {
    acted: ['address', 'port_value', 'ipv4_compat'],
    notes: { ipv4_compat: 'without it a `::` listener takes IPv6 alone, as in Envoy' },
    only: { protocol: ['TCP'] },
    refused: { named_port: 'use port_value', resolver_name: 'names are resolved by the system' },
  },
  'envoy.config.listener.v3.FilterChain': {
    acted: ['filter_chain_match', 'filters', 'transport_socket', 'name'],
    inert: { metadata: 'nothing reads the metadata of a filter chain' },
  },
  'envoy.config.listener.v3.FilterChainMatch': {
    acted: ['destination_port', 'prefix_ranges', 'transport_protocol', 'application_protocols', 'server_names'],
  },
  'envoy.config.core.v3.CidrRange': { acted: ['address_prefix', 'prefix_len'] },
  'envoy.config.listener.v3.ListenerFilter': {
    acted: ['typed_config', 'filter_disabled'],
    notes: { filter_disabled: 'of the two inspectors; TLS is looked for wherever HTTP is' },
    inert: { name: 'the type of the configuration decides' },
    anyOf: {
      typed_config: [
        'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
        'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector',
        'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol',
        'envoy.extensions.filters.listener.original_dst.v3.OriginalDst',
      ],
    },
  },
  'envoy.config.listener.v3.ListenerFilterChainMatchPredicate': {
    acted: ['or_match', 'and_match', 'not_match', 'any_match', 'destination_port_range'],
  },
  'envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet': { acted: ['rules'] },
  'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector': {
    acted: [],
    inert: { initial_read_buffer_size: 'the whole ClientHello is read, up to 16 KiB' },
    only: { enable_ja3_fingerprinting: ['false'] },
  },
  'envoy.extensions.filters.listener.http_inspector.v3.HttpInspector': { acted: [] },
  'envoy.extensions.filters.listener.original_dst.v3.OriginalDst': { acted: [] },
  'envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol': {
    acted: ['allow_requests_without_proxy_protocol', 'disallowed_versions'],
    inert: {
      stat_prefix: 'statistics carry the name of the listener',
      pass_through_tlvs: 'values behind the addresses are skipped',
    },
    refused: { rules: 'values behind the addresses are skipped' },
  },
  'envoy.config.listener.v3.Filter': {
    acted: ['typed_config'],
    inert: { name: 'the type of the configuration decides' },
    anyOf: {
      typed_config: [
        `${HCM}.HttpConnectionManager`,
        `${TCP}.TcpProxy`,
        NETWORK_RBAC,
        NETWORK_EXT_AUTHZ,
        SNI_FORWARD_PROXY,
        ...TYPED_STRUCT,
      ],
    },
  },
  [SNI_FORWARD_PROXY]: {
    acted: ['port_value'],
    inert: { dns_cache_config: 'the cache is that of the cluster' },
  },
  [`${TCP}.TcpProxy`]: {
    acted: [
      'cluster',
      'weighted_clusters',
      'idle_timeout',
      'max_downstream_connection_duration',
      'max_connect_attempts',
      'tunneling_config',
      'hash_policy',
      'access_log',
    ],
    inert: { stat_prefix: 'statistics carry the names of listener and cluster' },
    refused: {
      on_demand: 'clusters are not fetched on demand',
      metadata_match: 'send a cluster for each subset, as Istio does',
      downstream_idle_timeout: 'use idle_timeout, which is for both directions',
      upstream_idle_timeout: 'use idle_timeout, which is for both directions',
      access_log_flush_interval: 'a line is written when a connection ends',
      flush_access_log_on_connected: 'a line is written when a connection ends',
      access_log_options: 'a line is written when a connection ends',
    },
  },
  [`${TCP}.TcpProxy.TunnelingConfig`]: {
    acted: ['hostname', 'use_post', 'post_path', 'headers_to_add'],
    inert: {
      propagate_response_headers: 'nothing reads them',
      propagate_response_trailers: 'nothing reads them',
    },
    notes: {
      hostname: 'HOST:PORT as it is; operators of access logs are refused',
      headers_to_add: 'values as they are; operators of access logs are refused',
    },
  },
  [`${TCP}.TcpProxy.WeightedCluster`]: { acted: ['clusters'] },
  'envoy.type.v3.HashPolicy': {
    acted: ['source_ip'],
    refused: { filter_state: 'filters keep no state for a connection' },
  },
  'envoy.type.v3.HashPolicy.SourceIp': { acted: [] },
  [`${TCP}.TcpProxy.WeightedCluster.ClusterWeight`]: {
    acted: ['name', 'weight'],
    refused: { metadata_match: 'send a cluster for each subset, as Istio does' },
  },
  'envoy.config.core.v3.TransportSocket': {
    acted: ['typed_config'],
    inert: { name: 'the type of the configuration decides' },
    anyOf: {
      typed_config: [
        'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
        'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
      ],
    },
  },
  'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer': { acted: [] },
  'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport': {
    acted: ['config', 'transport_socket'],
  },
  'envoy.config.core.v3.ProxyProtocolConfig': {
    acted: ['version'],
    inert: { pass_through_tlvs: 'values behind the addresses are skipped' },
  },
  [`${HCM}.HttpConnectionManager`]: {
    acted: [
      'rds',
      'route_config',
      'http_filters',
      'common_http_protocol_options',
      'http_protocol_options',
      'server_name',
      'server_header_transformation',
      'stream_idle_timeout',
      'request_timeout',
      'request_headers_timeout',
      'delayed_close_timeout',
      'access_log',
      'internal_address_config',
      'use_remote_address',
      'xff_num_trusted_hops',
      'append_x_forwarded_port',
      'skip_xff_append',
      'generate_request_id',
      'preserve_external_request_id',
      'forward_client_cert_details',
      'set_current_client_cert_details',
      'normalize_path',
      'merge_slashes',
      'upgrade_configs',
      'http2_protocol_options',
      'stream_error_on_invalid_http_message',
    ],
    inert: {
      stat_prefix: 'statistics carry the name of the listener',
      access_log_options: 'a line is written when an exchange ends',
      drain_timeout: 'draining has the time limit of the process',
      tracing: 'no spans are made yet',
    },
    only: {
      codec_type: ['AUTO', 'HTTP1', 'HTTP2'],
      // What the parser holds.
      max_request_headers_kb: ['60'],
      path_with_escaped_slashes_action: [
        'IMPLEMENTATION_SPECIFIC_DEFAULT',
        'KEEP_UNCHANGED',
        'REJECT_REQUEST',
        'UNESCAPE_AND_FORWARD',
      ],
    },
    refused: {
      scoped_routes: 'use rds or route_config',
      proxy_100_continue: '100-continue is always proxied; leave it out',
      strip_matching_host_port: 'the host is forwarded as it came; matching ignores the port',
      strip_any_host_port: 'the host is forwarded as it came; matching ignores the port',
      strip_trailing_host_dot: 'the host is forwarded as it came',
      via: 'no Via header is written',
      local_reply_config: "local replies have Envoy's standard texts",
      original_ip_detection_extensions: 'use xff_num_trusted_hops',
    },
  },
  [`${HCM}.HttpConnectionManager.UpgradeConfig`]: {
    acted: ['enabled'],
    only: { upgrade_type: UPGRADE_TYPES },
  },
  [`${HCM}.Rds`]: { acted: ['config_source', 'route_config_name'] },
  [`${HCM}.HttpFilter`]: {
    acted: ['name', 'typed_config', 'disabled'],
    inert: { is_optional: 'a filter that is not supported is refused even where it is optional' },
    anyOf: { typed_config: HTTP_FILTER_TYPES },
  },
  [`${HCM}.HttpConnectionManager.InternalAddressConfig`]: {
    acted: [],
    inert: { unix_sockets: 'requests do not come by such sockets' },
    refused: {
      cidr_ranges: 'every caller counts as external: what it says by x-envoy-retry-on and the like is removed',
    },
  },
  [`${HCM}.HttpConnectionManager.SetCurrentClientCertDetails`]: {
    acted: ['subject', 'cert', 'chain', 'uri', 'dns'],
  },
  'envoy.extensions.filters.http.router.v3.Router': {
    acted: ['suppress_envoy_headers'],
    inert: {
      dynamic_stats: 'statistics are always kept',
      start_child_span: 'no spans are made yet',
      suppress_grpc_request_failure_code_stats: 'these statistics are not kept',
      upstream_log_options: 'there is no upstream log',
    },
  },
  // Requests wait for DNS at the cluster itself, with or without the filter.
  [FORWARD_PROXY]: {
    acted: [],
    inert: { dns_cache_config: 'the cluster has it too' },
    refused: {
      sub_cluster_config: 'hosts are endpoints of one cluster',
      save_upstream_address: 'there is no filter state',
    },
  },
  'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig': {
    acted: ['emit_filter_state'],
    inert: {
      individual_method_stats_allowlist: 'statistics by method are not kept',
      stats_for_all_methods: 'statistics by method are not kept',
      enable_upstream_stats: 'statistics by method are not kept',
      replace_dots_in_grpc_service_name: 'statistics by method are not kept',
    },
  },
  'envoy.extensions.filters.http.grpc_web.v3.GrpcWeb': { acted: [] },
  [CORS_FILTER]: { acted: [] },
  'envoy.config.core.v3.HttpProtocolOptions': {
    acted: ['idle_timeout', 'max_requests_per_connection', 'max_connection_duration'],
    // Envoy's default, and what the parser holds.
    only: { headers_with_underscores_action: ['ALLOW'], max_headers_count: ['100'] },
    refused: { max_stream_duration: 'use max_stream_duration of the route' },
  },
  'envoy.config.core.v3.Http1ProtocolOptions': {
    acted: ['accept_http_10'],
    inert: { header_key_format: 'header names are forwarded as they came' },
    only: { allow_absolute_url: ['true'] },
    refused: { allow_chunked_length: 'Content-Length with Transfer-Encoding is request smuggling' },
  },
  'envoy.config.core.v3.DataSource': {
    acted: ['filename', 'inline_bytes', 'inline_string', 'environment_variable'],
  },
};
