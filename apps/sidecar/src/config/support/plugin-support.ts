// Support table: Istio's plugin configurations, which travel as TypedStruct.

import type { StructSupport } from './support-types.js';

/** Istio's `stats` plugin: which standard metrics are kept, with which labels. */
const STATS: StructSupport = {
  acted: {
    metrics: {
      list: { acted: { name: 'string', dimensions: 'stringMap', tags_to_remove: { list: 'string' }, drop: 'bool' } },
    },
    reporter: 'string',
    disable_host_header_fallback: 'bool',
  },
  inert: {
    debug: 'nothing is printed',
    stat_prefix: 'metrics have the prefix istio_',
    max_peer_cache_size: 'the number of remembered peers is fixed',
    tcp_reporting_duration: 'TCP metrics are counted as bytes move',
    rotation_interval: 'metrics are kept as long as the process runs',
    graceful_deletion_interval: 'metrics are kept as long as the process runs',
    metadata_mode: 'peers are known by x-envoy-peer-metadata',
  },
};

const EXCHANGE_METHODS = {
  list: {
    acted: {
      istio_headers: { acted: { skip_external_clusters: 'bool' } },
      workload_discovery: { acted: {} },
    },
  },
} as const;

/** Istio's metadata exchange: how peers learn each other's names. */
const PEER_METADATA: StructSupport = {
  acted: {
    downstream_discovery: EXCHANGE_METHODS,
    upstream_discovery: EXCHANGE_METHODS,
    downstream_propagation: EXCHANGE_METHODS,
    upstream_propagation: EXCHANGE_METHODS,
    additional_labels: { list: 'string' },
  },
  inert: { shared_with_upstream: 'the names are available to every filter' },
};

/** Istio's metadata exchange of TCP: under which ALPN peers introduce themselves. */
const TCP_EXCHANGE: StructSupport = {
  acted: { protocol: 'string' },
  inert: {
    enable_discovery: 'a client that does not introduce itself is unknown to metrics',
    additional_labels: 'the standard metrics have the standard labels',
  },
};

/** Of quota filters that come after it: answers to requests that they let through say what is left. */
const TOLD_LIMITS: StructSupport = { acted: { filters: { list: 'string' } } };

/** By the message name of the TypedStruct's type URL. */
export const STRUCT_SUPPORT: Readonly<Record<string, StructSupport>> = {
  'stats.PluginConfig': STATS,
  'io.istio.http.peer_metadata.Config': PEER_METADATA,
  'io.lateen.http.rate_limit_headers.Config': TOLD_LIMITS,
  'envoy.tcp.metadataexchange.config.MetadataExchange': TCP_EXCHANGE,
};
