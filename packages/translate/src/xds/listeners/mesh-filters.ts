// Build: the mesh's own filters, metadata exchange and statistics, for HTTP, for TCP and for clusters.

import { create, type JsonObject } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import {
  type Filter as ClusterFilter,
  FilterSchema as ClusterFilterSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/filter_pb.js';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { TypedStructSchema } from '@lateen/xds-proto/udpa/type/v1/typed_struct_pb.js';
import type { MetricOverride } from '../../resolve/telemetry.js';
import { PEER_EXCHANGE } from '../clusters/tls-context.js';

/** Which listener the filters are for. */
export type ListenerClass = 'sidecar-inbound' | 'sidecar-outbound' | 'gateway';

/** A plugin configuration. */
export function typedStruct(type: string, value: JsonObject): Any {
  return packAny(TypedStructSchema, create(TypedStructSchema, { typeUrl: `type.googleapis.com/${type}`, value }));
}

function metricConfig({ name, drop, dimensions, tagsToRemove }: MetricOverride): JsonObject {
  const config: JsonObject = { name };
  if (drop) config.drop = true;
  if (Object.keys(dimensions).length > 0) config.dimensions = { ...dimensions };
  if (tagsToRemove.length > 0) config.tags_to_remove = [...tagsToRemove];
  return config;
}

/** Which standard metrics are kept, with which labels. */
export function statsConfig(listenerClass: ListenerClass, overrides: readonly MetricOverride[]): Any {
  const value: JsonObject = {};
  // Inbound and at the edge the Host header is the caller's word and must not become a label.
  if (listenerClass !== 'sidecar-outbound') value.disable_host_header_fallback = true;
  if (overrides.length > 0) value.metrics = overrides.map(metricConfig);
  return typedStruct('stats.PluginConfig', value);
}

const EXCHANGE_NAME = 'istio.metadata_exchange';

function exchangeConfig(): Any {
  return typedStruct('envoy.tcp.metadataexchange.config.MetadataExchange', { protocol: PEER_EXCHANGE });
}

/** Peers of TCP tell each other who they are: on the side that accepts. */
export function tcpMetadataExchange(): Filter {
  return create(FilterSchema, { name: EXCHANGE_NAME, configType: { case: 'typedConfig', value: exchangeConfig() } });
}

/** The same on the side that connects. */
export function clusterMetadataExchange(): ClusterFilter {
  return create(ClusterFilterSchema, { name: EXCHANGE_NAME, typedConfig: exchangeConfig() });
}

/** Statistics as a network filter. */
export function tcpStats(listenerClass: ListenerClass, overrides: readonly MetricOverride[]): Filter {
  const value = statsConfig(listenerClass, overrides);
  return create(FilterSchema, { name: 'istio.stats', configType: { case: 'typedConfig', value } });
}
