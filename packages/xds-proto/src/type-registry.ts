// The registry of every message that may stand in an Any or in an Envoy YAML/JSON file.

import {
  create,
  createRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageShape,
  type Registry,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { file_envoy_config_bootstrap_v3_bootstrap } from '../gen/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { file_envoy_config_cluster_v3_cluster } from '../gen/envoy/config/cluster/v3/cluster_pb.js';
import { file_envoy_config_core_v3_base } from '../gen/envoy/config/core/v3/base_pb.js';
import { file_envoy_config_endpoint_v3_endpoint } from '../gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { file_envoy_config_listener_v3_listener } from '../gen/envoy/config/listener/v3/listener_pb.js';
import { file_envoy_config_route_v3_route_components } from '../gen/envoy/config/route/v3/route_components_pb.js';
import { file_envoy_config_route_v3_route } from '../gen/envoy/config/route/v3/route_pb.js';
import { file_envoy_extensions_access_loggers_file_v3_file } from '../gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import { file_envoy_extensions_access_loggers_grpc_v3_als } from '../gen/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import { file_envoy_extensions_access_loggers_open_telemetry_v3_logs_service } from '../gen/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js';
import { file_envoy_extensions_access_loggers_stream_v3_stream } from '../gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { file_envoy_extensions_clusters_dynamic_forward_proxy_v3_cluster } from '../gen/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.js';
import { file_envoy_extensions_filters_http_cors_v3_cors } from '../gen/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { file_envoy_extensions_filters_http_dynamic_forward_proxy_v3_dynamic_forward_proxy } from '../gen/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.js';
import { file_envoy_extensions_filters_http_ext_authz_v3_ext_authz } from '../gen/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { file_envoy_extensions_filters_http_fault_v3_fault } from '../gen/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { file_envoy_extensions_filters_http_grpc_stats_v3_config } from '../gen/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { file_envoy_extensions_filters_http_grpc_web_v3_grpc_web } from '../gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js';
import { file_envoy_extensions_filters_http_jwt_authn_v3_config } from '../gen/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit } from '../gen/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { file_envoy_extensions_filters_http_rate_limit_quota_v3_rate_limit_quota } from '../gen/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import { file_envoy_extensions_filters_http_ratelimit_v3_rate_limit } from '../gen/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import { file_envoy_extensions_filters_http_rbac_v3_rbac } from '../gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_http_router_v3_router } from '../gen/envoy/extensions/filters/http/router/v3/router_pb.js';
import { file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector } from '../gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { file_envoy_extensions_filters_listener_original_dst_v3_original_dst } from '../gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { file_envoy_extensions_filters_listener_original_src_v3_original_src } from '../gen/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import { file_envoy_extensions_filters_listener_proxy_protocol_v3_proxy_protocol } from '../gen/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js';
import { file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector } from '../gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { file_envoy_extensions_filters_network_ext_authz_v3_ext_authz } from '../gen/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js';
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { file_envoy_extensions_filters_network_rbac_v3_rbac } from '../gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { file_envoy_extensions_filters_network_sni_dynamic_forward_proxy_v3_sni_dynamic_forward_proxy } from '../gen/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.js';
import { file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { file_envoy_extensions_load_balancing_policies_least_request_v3_least_request } from '../gen/envoy/extensions/load_balancing_policies/least_request/v3/least_request_pb.js';
import { file_envoy_extensions_load_balancing_policies_random_v3_random } from '../gen/envoy/extensions/load_balancing_policies/random/v3/random_pb.js';
import { file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin } from '../gen/envoy/extensions/load_balancing_policies/round_robin/v3/round_robin_pb.js';
import { file_envoy_extensions_matching_common_inputs_network_v3_dynamic_metadata_input } from '../gen/envoy/extensions/matching/common_inputs/network/v3/dynamic_metadata_input_pb.js';
import { file_envoy_extensions_matching_common_inputs_network_v3_network_inputs } from '../gen/envoy/extensions/matching/common_inputs/network/v3/network_inputs_pb.js';
import { file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs } from '../gen/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.js';
import { file_envoy_extensions_network_dns_resolver_cares_v3_cares_dns_resolver } from '../gen/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js';
import { file_envoy_extensions_network_dns_resolver_getaddrinfo_v3_getaddrinfo_dns_resolver } from '../gen/envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver_pb.js';
import { file_envoy_extensions_path_match_uri_template_v3_uri_template_match } from '../gen/envoy/extensions/path/match/uri_template/v3/uri_template_match_pb.js';
import { file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts } from '../gen/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts_pb.js';
import { file_envoy_extensions_retry_priority_previous_priorities_v3_previous_priorities_config } from '../gen/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config_pb.js';
import { file_envoy_extensions_transport_sockets_proxy_protocol_v3_upstream_proxy_protocol } from '../gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
import { file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer } from '../gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { file_envoy_extensions_transport_sockets_tls_v3_tls } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { file_envoy_extensions_upstreams_http_v3_http_protocol_options } from '../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { file_envoy_type_matcher_v3_http_inputs } from '../gen/envoy/type/matcher/v3/http_inputs_pb.js';
import { file_istio_networking_nds_v1_nds } from '../gen/istio/networking/nds/v1/nds_pb.js';
import { file_udpa_type_v1_typed_struct } from '../gen/udpa/type/v1/typed_struct_pb.js';
import { file_xds_type_v3_typed_struct } from '../gen/xds/type/v3/typed_struct_pb.js';

/** Every message of the generated roots and of what they import. */
export const xdsRegistry: Registry = createRegistry(
  file_envoy_config_bootstrap_v3_bootstrap,
  file_envoy_config_listener_v3_listener,
  file_envoy_config_cluster_v3_cluster,
  file_envoy_config_endpoint_v3_endpoint,
  file_envoy_config_route_v3_route,
  file_envoy_config_route_v3_route_components,
  file_envoy_config_core_v3_base,
  file_envoy_extensions_transport_sockets_tls_v3_tls,
  file_envoy_extensions_transport_sockets_tls_v3_secret,
  file_envoy_extensions_transport_sockets_raw_buffer_v3_raw_buffer,
  file_envoy_extensions_filters_listener_proxy_protocol_v3_proxy_protocol,
  file_envoy_extensions_filters_listener_tls_inspector_v3_tls_inspector,
  file_envoy_extensions_transport_sockets_proxy_protocol_v3_upstream_proxy_protocol,
  file_envoy_extensions_filters_listener_http_inspector_v3_http_inspector,
  file_envoy_extensions_filters_listener_original_dst_v3_original_dst,
  file_envoy_extensions_filters_listener_original_src_v3_original_src,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_extensions_filters_network_tcp_proxy_v3_tcp_proxy,
  file_envoy_extensions_filters_network_ext_authz_v3_ext_authz,
  file_envoy_extensions_filters_network_rbac_v3_rbac,
  file_envoy_extensions_filters_network_sni_dynamic_forward_proxy_v3_sni_dynamic_forward_proxy,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_http_local_ratelimit_v3_local_rate_limit,
  file_envoy_extensions_filters_http_rate_limit_quota_v3_rate_limit_quota,
  file_envoy_extensions_filters_http_ratelimit_v3_rate_limit,
  file_envoy_extensions_matching_common_inputs_network_v3_dynamic_metadata_input,
  file_envoy_extensions_matching_common_inputs_network_v3_network_inputs,
  file_envoy_extensions_matching_common_inputs_ssl_v3_ssl_inputs,
  file_envoy_type_matcher_v3_http_inputs,
  file_envoy_extensions_filters_http_ext_authz_v3_ext_authz,
  file_envoy_extensions_filters_http_rbac_v3_rbac,
  file_envoy_extensions_filters_http_jwt_authn_v3_config,
  file_envoy_extensions_filters_http_fault_v3_fault,
  file_envoy_extensions_filters_http_dynamic_forward_proxy_v3_dynamic_forward_proxy,
  file_envoy_extensions_clusters_dynamic_forward_proxy_v3_cluster,
  file_envoy_extensions_filters_http_cors_v3_cors,
  file_envoy_extensions_filters_http_grpc_stats_v3_config,
  file_envoy_extensions_filters_http_grpc_web_v3_grpc_web,
  file_envoy_extensions_access_loggers_file_v3_file,
  file_envoy_extensions_access_loggers_grpc_v3_als,
  file_envoy_extensions_access_loggers_open_telemetry_v3_logs_service,
  file_envoy_extensions_access_loggers_stream_v3_stream,
  file_envoy_extensions_upstreams_http_v3_http_protocol_options,
  file_envoy_extensions_load_balancing_policies_round_robin_v3_round_robin,
  file_envoy_extensions_load_balancing_policies_least_request_v3_least_request,
  file_envoy_extensions_load_balancing_policies_random_v3_random,
  file_envoy_extensions_network_dns_resolver_cares_v3_cares_dns_resolver,
  file_envoy_extensions_network_dns_resolver_getaddrinfo_v3_getaddrinfo_dns_resolver,
  file_envoy_extensions_path_match_uri_template_v3_uri_template_match,
  file_envoy_extensions_retry_host_previous_hosts_v3_previous_hosts,
  file_envoy_extensions_retry_priority_previous_priorities_v3_previous_priorities_config,
  file_udpa_type_v1_typed_struct,
  file_xds_type_v3_typed_struct,
  file_istio_networking_nds_v1_nds,
);

/** Packs a message in an Any with its `type.googleapis.com/` type URL. */
export function packAny<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): Any {
  return create(AnySchema, {
    typeUrl: `type.googleapis.com/${schema.typeName}`,
    value: toBinary(schema, message),
  });
}

/** Thrown when an Any holds another type than expected, or bytes that do not decode. */
export class AnyDecodeError extends Error {
  constructor(
    readonly typeUrl: string,
    reason: string,
  ) {
    super(`cannot decode ${typeUrl || '(empty type URL)'}: ${reason}`);
    this.name = 'AnyDecodeError';
  }
}

/** True when the Any holds a message of this type. */
export function anyIs(any: Any, schema: DescMessage): boolean {
  return any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1) === schema.typeName;
}

/** Decodes an Any that must hold `schema`. @throws AnyDecodeError */
export function unpackAny<Desc extends DescMessage>(any: Any, schema: Desc): MessageShape<Desc> {
  if (!anyIs(any, schema)) throw new AnyDecodeError(any.typeUrl, `expected ${schema.typeName}`);
  try {
    return fromBinary(schema, any.value);
  } catch (error) {
    throw new AnyDecodeError(any.typeUrl, (error as Error).message);
  }
}

/**
 * Reads a message from Envoy's JSON form (also YAML, once parsed): snake_case and camelCase field names, `@type` in Any.
 * @throws Error naming the field that is unknown or of the wrong type
 */
export function fromEnvoyJson<Desc extends DescMessage>(schema: Desc, json: unknown): MessageShape<Desc> {
  return fromJson(schema, json as JsonValue, { registry: xdsRegistry, ignoreUnknownFields: false });
}

/** Writes a message in Envoy's JSON form, with snake_case field names, Any contents expanded. */
export function toEnvoyJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message, { registry: xdsRegistry, useProtoFieldName: true });
}
