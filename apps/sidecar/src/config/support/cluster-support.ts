// Support table: clusters, endpoints and load balancing.

import { HEALTH_SUPPORT } from './health-support.js';
import { BUCKET_ID_INPUTS } from './limits/rate-limit-support.js';
import { URI_TEMPLATE } from './rbac/rbac-support.js';
import type { SupportTable } from './support-types.js';

const SLOW_START: SupportTable[string] = {
  acted: ['slow_start_window', 'aggression', 'min_weight_percent'],
  notes: { slow_start_window: 'the share of an endpoint grows in 200 steps, or each second' },
};

export const CLUSTER_SUPPORT: SupportTable = {
  ...HEALTH_SUPPORT,
  'envoy.config.cluster.v3.Cluster': {
    acted: [
      'name',
      'alt_stat_name',
      'cluster_type',
      'eds_cluster_config',
      'connect_timeout',
      'load_assignment',
      'circuit_breakers',
      'max_requests_per_connection',
      'common_http_protocol_options',
      'transport_socket',
      'transport_socket_matches',
      'metadata',
      'dns_refresh_rate',
      'dns_failure_refresh_rate',
      'respect_dns_ttl',
      'dns_lookup_family',
      'typed_dns_resolver_config',
      'wait_for_warm_on_init',
      'least_request_lb_config',
      'round_robin_lb_config',
      'ring_hash_lb_config',
      'maglev_lb_config',
      'common_lb_config',
      'outlier_detection',
      'health_checks',
      'load_balancing_policy',
      'typed_extension_protocol_options',
      'filters',
      'upstream_connection_options',
      'upstream_bind_config',
      'original_dst_lb_config',
      'cleanup_interval',
    ],
    inert: {
      per_connection_buffer_limit_bytes: 'the buffers of a connection are bounded by the process',
      http_protocol_options: 'upstream connections speak HTTP/1.1 with the header names as they came',
      ignore_health_on_host_removal:
        'an endpoint that is removed is not used any more, also where it passes its checks',
      track_cluster_stats: 'statistics are always kept',
      track_timeout_budgets: 'statistics are always kept',
    },
    notes: {
      cleanup_interval: 'of type ORIGINAL_DST: a destination that nobody uses is forgotten',
      wait_for_warm_on_init:
        'for clusters of DNS names; the start waits 5 s for static ones, and goes on without those that take longer',
      dns_failure_refresh_rate: 'doubles from the first to the second, with jitter',
      respect_dns_ttl: 'names of the hosts file have none',
    },
    only: {
      type: ['STATIC', 'STRICT_DNS', 'LOGICAL_DNS', 'EDS', 'ORIGINAL_DST'],
      use_tcp_for_dns_lookups: ['false'],
      close_connections_on_host_health_failure: ['false'],
      lb_policy: [
        'ROUND_ROBIN',
        'LEAST_REQUEST',
        'RANDOM',
        'RING_HASH',
        'MAGLEV',
        'CLUSTER_PROVIDED',
        'LOAD_BALANCING_POLICY_CONFIG',
      ],
    },
    refused: {
      lb_subset_config: 'send a cluster for each subset, as Istio does',
      dns_resolvers: 'use typed_dns_resolver_config',
      dns_resolution_config: 'use typed_dns_resolver_config',
    },
    anyOf: {
      typed_extension_protocol_options: ['envoy.extensions.upstreams.http.v3.HttpProtocolOptions'],
    },
  },
  'envoy.config.cluster.v3.Cluster.OriginalDstLbConfig': {
    acted: ['use_http_header', 'http_header_name', 'upstream_port_override'],
    refused: { metadata_key: 'filters do not say where requests go; use use_http_header' },
  },
  'envoy.config.core.v3.BindConfig': {
    acted: ['source_address', 'extra_source_addresses'],
    notes: {
      source_address: 'its port must be 0: one is chosen for each connection, together with its destination',
      extra_source_addresses: 'the first of the family of the endpoint is used',
    },
    only: { freebind: ['false'] },
    refused: {
      socket_options: 'options of sockets are not set',
      additional_source_addresses: 'use extra_source_addresses',
      local_address_selector: 'the first address of the family of the endpoint is used',
    },
  },
  'envoy.config.core.v3.ExtraSourceAddress': {
    acted: ['address'],
    refused: { socket_options: 'options of sockets are not set' },
  },
  'envoy.config.cluster.v3.Cluster.CustomClusterType': {
    acted: ['typed_config'],
    inert: { name: 'the type of the configuration decides' },
    anyOf: { typed_config: ['envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig'] },
  },
  'envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig': {
    acted: ['dns_cache_config'],
    inert: { allow_insecure_cluster_options: 'it is for TLS' },
    refused: {
      sub_clusters_config: 'hosts are endpoints of one cluster',
      allow_coalesced_connections: 'each host has connections of its own',
    },
  },
  'envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig': {
    acted: [
      'dns_lookup_family',
      'dns_refresh_rate',
      'dns_failure_refresh_rate',
      'host_ttl',
      'max_hosts',
      'typed_dns_resolver_config',
    ],
    inert: {
      name: 'each cluster has a cache of its own',
      dns_min_refresh_rate: 'a host is resolved again when it is called after its time',
      dns_query_timeout: 'the route’s time limit counts',
      dns_cache_circuit_breaker: 'requests for one host wait for one query',
    },
    notes: {
      dns_refresh_rate: 'for answers without a time to live, as of the hosts file',
      dns_failure_refresh_rate:
        'doubles from the first to the second, without jitter; asked for again when it is called',
    },
    only: { use_tcp_for_dns_lookups: ['false'] },
    refused: {
      dns_resolution_config: 'use typed_dns_resolver_config',
      preresolve_hostnames: 'a host is resolved when it is first called',
      key_value_config: 'nothing is kept over a restart',
    },
  },
  'envoy.config.cluster.v3.Filter': {
    acted: ['typed_config'],
    inert: { name: 'the type of the configuration decides' },
    refused: { config_discovery: 'configurations of filters are not fetched' },
    anyOf: { typed_config: ['udpa.type.v1.TypedStruct', 'xds.type.v3.TypedStruct'] },
  },
  'envoy.config.cluster.v3.Cluster.EdsClusterConfig': { acted: ['eds_config', 'service_name'] },
  'envoy.config.cluster.v3.Cluster.TransportSocketMatch': { acted: ['name', 'match', 'transport_socket'] },
  'envoy.config.cluster.v3.Cluster.LeastRequestLbConfig': { acted: ['choice_count', 'slow_start_config'] },
  'envoy.config.cluster.v3.Cluster.RoundRobinLbConfig': { acted: ['slow_start_config'] },
  'envoy.config.cluster.v3.Cluster.SlowStartConfig': SLOW_START,
  'envoy.config.core.v3.RuntimeDouble': {
    acted: ['default_value'],
    inert: { runtime_key: 'there is no runtime' },
  },
  'envoy.config.cluster.v3.Cluster.RingHashLbConfig': {
    acted: ['minimum_ring_size', 'maximum_ring_size'],
    notes: {
      minimum_ring_size: '262144 where it is more',
      maximum_ring_size: '262144 where it is more or absent',
    },
    only: { hash_function: ['XX_HASH'] },
  },
  'envoy.config.cluster.v3.Cluster.MaglevLbConfig': { acted: ['table_size'] },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig': {
    acted: ['healthy_panic_threshold', 'locality_weighted_lb_config', 'ignore_new_hosts_until_first_hc'],
    inert: { update_merge_window: 'updates of endpoints take effect at once' },
    notes: {
      healthy_panic_threshold: 'of endpoints that EDS does not say to be unhealthy; those are never used',
    },
  },
  'envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig': { acted: [] },
  'envoy.config.cluster.v3.OutlierDetection': {
    acted: [
      'consecutive_5xx',
      'enforcing_consecutive_5xx',
      'consecutive_gateway_failure',
      'enforcing_consecutive_gateway_failure',
      'split_external_local_origin_errors',
      'consecutive_local_origin_failure',
      'enforcing_consecutive_local_origin_failure',
      'interval',
      'base_ejection_time',
      'max_ejection_time',
      'max_ejection_time_jitter',
      'max_ejection_percent',
      'always_eject_one_host',
      'enforcing_success_rate',
      'enforcing_local_origin_success_rate',
      'successful_active_health_check_uneject_host',
    ],
    inert: {
      success_rate_minimum_hosts: 'success rates are not compared',
      success_rate_request_volume: 'success rates are not compared',
      success_rate_stdev_factor: 'success rates are not compared',
      failure_percentage_threshold: 'failures are not compared',
      failure_percentage_minimum_hosts: 'failures are not compared',
      failure_percentage_request_volume: 'failures are not compared',
    },
    notes: {
      enforcing_success_rate: 'must be 0: success rates are not compared',
      enforcing_local_origin_success_rate: 'must be 0 with split_external_local_origin_errors',
    },
    refused: {
      enforcing_failure_percentage: 'count errors in a row',
      enforcing_failure_percentage_local_origin: 'count errors in a row',
      monitors: 'count errors in a row',
    },
  },
  'envoy.config.cluster.v3.LoadBalancingPolicy': { acted: ['policies'] },
  'envoy.config.cluster.v3.LoadBalancingPolicy.Policy': { acted: ['typed_extension_config'] },
  'envoy.config.core.v3.TypedExtensionConfig': {
    acted: ['typed_config'],
    inert: { name: 'the type of the configuration decides' },
    anyOf: {
      typed_config: [
        'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin',
        'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest',
        'envoy.extensions.load_balancing_policies.random.v3.Random',
        'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
        'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig',
        ...BUCKET_ID_INPUTS,
        URI_TEMPLATE,
      ],
    },
  },
  'envoy.config.cluster.v3.Cluster.RefreshRate': { acted: ['base_interval', 'max_interval'] },
  'envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig': {
    acted: ['resolvers', 'dns_resolver_options'],
    inert: { udp_max_queries: 'sockets are the resolver library’s matter' },
    only: { use_resolvers_as_fallback: ['false'], filter_unroutable_families: ['false'] },
  },
  'envoy.config.core.v3.DnsResolverOptions': {
    acted: ['no_default_search_domain'],
    only: { use_tcp_for_dns_lookups: ['false'] },
  },
  'envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig': { acted: [] },
  'envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin': { acted: ['slow_start_config'] },
  'envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest': {
    acted: ['choice_count', 'slow_start_config'],
  },
  'envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig': SLOW_START,
  'envoy.extensions.load_balancing_policies.random.v3.Random': { acted: [] },
  'envoy.config.cluster.v3.UpstreamConnectionOptions': { acted: ['tcp_keepalive'] },
  'envoy.config.core.v3.TcpKeepalive': {
    acted: ['keepalive_time'],
    inert: {
      keepalive_probes: 'Node probes ten times',
      keepalive_interval: 'Node probes once a second',
    },
  },
  'envoy.config.cluster.v3.CircuitBreakers': { acted: ['thresholds'] },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds': {
    acted: ['priority', 'max_connections', 'max_pending_requests', 'max_requests', 'max_retries', 'retry_budget'],
    inert: { track_remaining: 'the remaining room is not exported' },
    // Routes of high priority are refused, so their thresholds never apply.
  },
  'envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget': {
    acted: ['budget_percent', 'min_retry_concurrency'],
  },
  'envoy.config.core.v3.Metadata': {
    acted: ['filter_metadata'],
    inert: { typed_filter_metadata: 'no decision depends on it' },
  },
  'envoy.config.endpoint.v3.ClusterLoadAssignment': { acted: ['cluster_name', 'endpoints', 'policy'] },
  'envoy.config.endpoint.v3.ClusterLoadAssignment.Policy': {
    acted: ['overprovisioning_factor'],
    inert: {
      endpoint_stale_after: 'endpoints stay until the control plane changes them',
    },
    refused: { drop_overloads: 'dropping by category is not supported' },
  },
  'envoy.config.endpoint.v3.LocalityLbEndpoints': {
    acted: ['locality', 'lb_endpoints', 'load_balancing_weight', 'priority'],
    inert: { metadata: 'no decision depends on the metadata of a locality' },
  },
  'envoy.config.endpoint.v3.LbEndpoint': {
    acted: ['endpoint', 'health_status', 'metadata', 'load_balancing_weight'],
  },
  'envoy.config.endpoint.v3.Endpoint': {
    acted: ['address', 'hostname', 'health_check_config'],
  },
  'envoy.config.core.v3.Locality': { acted: ['region', 'zone', 'sub_zone'] },
  'envoy.config.core.v3.ConfigSource': {
    acted: ['ads', 'path', 'path_config_source', 'api_config_source', 'initial_fetch_timeout'],
    notes: {
      path: 'the older form of `path_config_source`',
      api_config_source: 'only for the own identity: a stream of its own is not supported otherwise',
    },
    only: { resource_api_version: ['V3'] },
    refused: {
      self: 'use ads',
    },
  },
  'envoy.config.core.v3.AggregatedConfigSource': { acted: [] },
  'envoy.config.core.v3.PathConfigSource': { acted: ['path', 'watched_directory'] },
  'envoy.config.core.v3.WatchedDirectory': { acted: ['path'] },
  'envoy.config.core.v3.ApiConfigSource': {
    acted: ['grpc_services'],
    inert: {
      set_node_on_first_message_only: 'the node is only sent with the first message of a stream',
      request_timeout: 'this is for REST',
      refresh_delay: 'this is for REST',
    },
    only: {
      api_type: ['GRPC', 'DELTA_GRPC', 'AGGREGATED_GRPC', 'AGGREGATED_DELTA_GRPC'],
      transport_api_version: ['V3'],
    },
  },
  'envoy.config.core.v3.GrpcService': {
    acted: ['envoy_grpc', 'initial_metadata', 'timeout'],
    notes: {
      timeout: 'of authorizers; a discovery stream has no time limit, a rate limit service has that of its filter',
    },
    refused: { google_grpc: 'use envoy_grpc with the name of a static cluster' },
  },
  'envoy.config.core.v3.GrpcService.EnvoyGrpc': {
    acted: ['cluster_name', 'authority'],
    inert: { skip_envoy_headers: 'no such headers are sent' },
  },
};
