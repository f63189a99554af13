// Support table: the bootstrap file, and the clusters that are only there to reach the control plane.

import { CLUSTER_SUPPORT } from './cluster-support.js';
import type { SupportTable } from './support-types.js';

export const BOOTSTRAP_SUPPORT: SupportTable = {
  'envoy.config.bootstrap.v3.Bootstrap': {
    acted: ['node', 'admin', 'static_resources', 'dynamic_resources', 'typed_dns_resolver_config', 'layered_runtime'],
    inert: {
      stats_config: 'metrics have the names and labels of Istio',
      stats_flush_interval: 'metrics are read when they are scraped',
      watchdogs: 'there is no watchdog thread',
      watchdog: 'there is no watchdog thread',
      application_log_config: 'the log format is set by flags',
      default_regex_engine: 'the syntax is RE2',
      header_prefix: 'the prefix is x-envoy',
    },
    only: { use_tcp_for_dns_lookups: ['false'] },
    refused: {
      dns_resolution_config: 'use typed_dns_resolver_config',
      stats_sinks: 'metrics are scraped at /stats/prometheus',
      overload_manager: 'memory is bounded by fixed limits',
      tracing: 'no spans are made yet',
      hds_config: 'there are no active health checks yet',
      cluster_manager: 'there is nothing to set: no local cluster, no event log of ejections',
      flags_path: 'use the flags of the program',
      bootstrap_extensions: 'there are no extensions of the process',
      fatal_actions: 'there are no extensions of the process',
      xds_config_tracker_extension: 'there are no extensions of the process',
      xds_delegate_extension: 'there are no extensions of the process',
      config_sources: 'use ads_config, or path_config_source where the resource is referred to',
      default_config_source: 'name the source where the resource is referred to',
      inline_headers: 'every header is kept as it came',
      certificate_provider_instances: 'use SDS, or files',
    },
  },
  'envoy.config.bootstrap.v3.Admin': {
    acted: ['address'],
    inert: {
      access_log: 'calls of the admin API are not logged',
      access_log_path: 'calls of the admin API are not logged',
      profile_path: 'there is no profiler',
      ignore_global_conn_limit: 'there is no limit over all listeners',
    },
  },
  'envoy.config.bootstrap.v3.LayeredRuntime': { acted: ['layers'] },
  'envoy.config.bootstrap.v3.RuntimeLayer': {
    // Connection limits; what else may stand there is read in runtime.ts.
    acted: ['name', 'static_layer'],
    inert: { admin_layer: 'nothing can be changed by the admin API' },
    refused: { disk_layer: 'use a static layer', rtds_layer: 'use a static layer' },
  },
  'envoy.config.bootstrap.v3.Bootstrap.StaticResources': { acted: ['listeners', 'clusters', 'secrets'] },
  'envoy.config.bootstrap.v3.Bootstrap.DynamicResources': { acted: ['lds_config', 'cds_config', 'ads_config'] },
  'envoy.config.core.v3.Node': {
    acted: ['id', 'cluster', 'metadata', 'locality'],
    inert: {
      user_agent_name: 'sent to the control plane as it is',
      user_agent_version: 'sent to the control plane as it is',
      user_agent_build_version: 'sent to the control plane as it is',
      client_features: 'sent to the control plane as it is',
      extensions: 'sent to the control plane as it is',
    },
  },
};

/** Fields of a cluster that is dialled with gRPC by the control side, not by the data path. */
export const CONTROL_PLANE_CLUSTER_SUPPORT: SupportTable = {
  'envoy.config.cluster.v3.Cluster': {
    acted: ['name', 'connect_timeout', 'load_assignment', 'transport_socket', 'upstream_connection_options'],
    inert: {
      ...CLUSTER_SUPPORT['envoy.config.cluster.v3.Cluster']?.inert,
      lb_policy: 'the first address that answers is used',
      http2_protocol_options: 'gRPC always speaks HTTP/2',
      typed_extension_protocol_options: 'gRPC always speaks HTTP/2',
      circuit_breakers: 'there is one stream to the control plane',
      max_requests_per_connection: 'there is one stream to the control plane',
      metadata: 'no decision depends on it',
    },
    only: { type: ['STATIC', 'STRICT_DNS', 'LOGICAL_DNS'] },
  },
  'envoy.config.cluster.v3.UpstreamConnectionOptions': {
    acted: [],
    inert: { tcp_keepalive: 'HTTP/2 pings notice a dead peer' },
  },
};
