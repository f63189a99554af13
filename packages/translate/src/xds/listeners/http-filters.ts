// Build: the HTTP filters of a connection manager, in Istio's order.

import { create, type JsonObject } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { RouterSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema } from '@lateen/xds-proto/udpa/type/v1/typed_struct_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { MetricOverride } from '../../resolve/telemetry.js';

/** Which listener the filters are for. */
export type ListenerClass = 'sidecar-inbound' | 'sidecar-outbound' | 'gateway';

function typedStruct(name: string, type: string, value: JsonObject): HttpFilter {
  const message = create(TypedStructSchema, { typeUrl: `type.googleapis.com/${type}`, value });
  return create(HttpFilterSchema, {
    name,
    configType: { case: 'typedConfig', value: packAny(TypedStructSchema, message) },
  });
}

/** Tells peers who they talk to by the `x-envoy-peer-metadata` headers, and learns it from them or from the endpoint. */
function metadataExchange(listenerClass: ListenerClass): HttpFilter {
  const discovery: JsonObject[] = [{ istio_headers: {} }, { workload_discovery: {} }];
  const propagation = [{ istio_headers: {} }];
  const value: JsonObject =
    listenerClass === 'sidecar-inbound'
      ? { downstream_discovery: discovery, downstream_propagation: propagation }
      : { upstream_discovery: discovery, upstream_propagation: propagation };
  return typedStruct('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config', value);
}

function metricConfig({ name, drop, dimensions, tagsToRemove }: MetricOverride): JsonObject {
  const config: JsonObject = { name };
  if (drop) config.drop = true;
  if (Object.keys(dimensions).length > 0) config.dimensions = { ...dimensions };
  if (tagsToRemove.length > 0) config.tags_to_remove = [...tagsToRemove];
  return config;
}

function stats(listenerClass: ListenerClass, overrides: readonly MetricOverride[]): HttpFilter {
  const value: JsonObject = {};
  // Inbound and at the edge the Host header is the caller's word and must not become a label.
  if (listenerClass !== 'sidecar-outbound') value.disable_host_header_fallback = true;
  if (overrides.length > 0) value.metrics = overrides.map(metricConfig);
  return typedStruct('istio.stats', 'stats.PluginConfig', value);
}

function router(): HttpFilter {
  return create(HttpFilterSchema, {
    name: 'envoy.filters.http.router',
    configType: { case: 'typedConfig', value: packAny(RouterSchema, create(RouterSchema)) },
  });
}

/** The filters of a listener class, in order. A stock Envoy gets none of `istio.*`: it would refuse them. */
export function buildHttpFilters(
  scope: ClientScope,
  listenerClass: ListenerClass,
  understandsIstioFilters: boolean,
): HttpFilter[] {
  if (!understandsIstioFilters) return [router()];
  const overrides = scope.metrics[listenerClass === 'sidecar-inbound' ? 'SERVER' : 'CLIENT'];
  return [
    metadataExchange(listenerClass),
    ...(overrides === undefined ? [] : [stats(listenerClass, overrides)]),
    router(),
  ];
}
