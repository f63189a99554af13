// Support table: active health checks of clusters.

import type { SupportTable } from './support-types.js';

export const HEALTH_SUPPORT: SupportTable = {
  'envoy.config.core.v3.HealthCheck': {
    acted: [
      'timeout',
      'interval',
      'initial_jitter',
      'interval_jitter',
      'interval_jitter_percent',
      'unhealthy_threshold',
      'healthy_threshold',
      'reuse_connection',
      'http_health_check',
      'tcp_health_check',
      'grpc_health_check',
      'no_traffic_interval',
      'no_traffic_healthy_interval',
      'unhealthy_interval',
      'unhealthy_edge_interval',
      'healthy_edge_interval',
      'always_log_health_check_failures',
      'always_log_health_check_success',
      'tls_options',
      'transport_socket_match_criteria',
    ],
    notes: {
      reuse_connection: 'a TCP check always makes a connection of its own',
      no_traffic_interval: 'until a request first asks for an endpoint, whether or not there is one',
      always_log_health_check_failures: 'in the log of the sidecar',
      always_log_health_check_success: 'in the log of the sidecar',
      initial_jitter: 'without it, more than 50 endpoints are first asked 50 at a time, 10 ms apart',
    },
    refused: {
      alt_port: 'use health_check_config.port_value of the endpoints',
      custom_health_check: 'use http_health_check, grpc_health_check or tcp_health_check',
      event_log_path: 'changes are in the log of the sidecar',
      event_logger: 'changes are in the log of the sidecar',
      event_service: 'changes are in the log of the sidecar',
    },
  },
  'envoy.config.core.v3.HealthCheck.HttpHealthCheck': {
    acted: [
      'host',
      'path',
      'method',
      'request_headers_to_add',
      'request_headers_to_remove',
      'expected_statuses',
      'retriable_statuses',
      'receive',
      'response_buffer_size',
    ],
    notes: { response_buffer_size: 'at most 1 MiB, also where it is 0' },
    only: { codec_client_type: ['HTTP1', 'HTTP2'] },
    refused: {
      send: 'checks have no body',
      service_name_matcher: 'answers name no service',
    },
  },
  'envoy.config.core.v3.HealthCheck.GrpcHealthCheck': { acted: ['service_name', 'authority', 'initial_metadata'] },
  'envoy.config.core.v3.HealthCheck.TcpHealthCheck': {
    acted: ['send', 'receive'],
    refused: { proxy_protocol_config: 'the transport socket of the cluster says whether there is such a header' },
  },
  'envoy.config.core.v3.HealthCheck.Payload': { acted: ['text', 'binary'] },
  'envoy.config.core.v3.HealthCheck.TlsOptions': { acted: ['alpn_protocols'] },
  'envoy.config.endpoint.v3.Endpoint.HealthCheckConfig': {
    acted: ['port_value', 'hostname', 'address', 'disable_active_health_check'],
  },
};
