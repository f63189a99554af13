// Benchmark: an audit log as Pilot asks for it, for proxies that run without Pilot.

/** As in packages/translate: the members of a record of a request. */
export const AUDIT_FORMAT: Readonly<Record<string, string>> = {
  type: 'request',
  direction: 'inbound',
  time: '%START_TIME%',
  principal: '%DOWNSTREAM_PEER_URI_SAN%',
  source: '%DOWNSTREAM_REMOTE_ADDRESS%',
  destination: '%DOWNSTREAM_LOCAL_ADDRESS%',
  server_name: '%REQUESTED_SERVER_NAME%',
  method: '%REQ(:METHOD):64%',
  host: '%REQ(:AUTHORITY):256%',
  path: '%REQ(:PATH):1024%',
  original_path: '%REQ(X-ENVOY-ORIGINAL-PATH):1024%',
  protocol: '%PROTOCOL%',
  issuer: '%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:iss):256%',
  subject: '%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub):256%',
  policy: '%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%',
  dry_run_deny: '%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_deny_shadow_engine_result)%',
  dry_run_deny_policy: '%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_deny_shadow_effective_policy_id)%',
  dry_run_allow: '%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_allow_shadow_engine_result)%',
  dry_run_allow_policy: '%DYNAMIC_METADATA(envoy.filters.http.rbac:istio_dry_run_allow_shadow_effective_policy_id)%',
  status: '%RESPONSE_CODE%',
  grpc_status: '%GRPC_STATUS_NUMBER%',
  flags: '%RESPONSE_FLAGS%',
  details: '%RESPONSE_CODE_DETAILS%',
  termination: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration_ms: '%DURATION%',
  request_id: '%REQ(X-REQUEST-ID):64%',
  traceparent: '%REQ(TRACEPARENT):64%',
  b3: '%REQ(X-B3-TRACEID?B3):64%',
  upstream: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  route: '%ROUTE_NAME%',
};

/** An access logger that a Lateen sidecar chains. */
export function auditLogger(path: string): object {
  return {
    name: 'lateen.audit',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path,
      log_format: { json_format: AUDIT_FORMAT },
    },
  };
}
