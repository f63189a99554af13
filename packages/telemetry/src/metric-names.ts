// Every metric name and label that dashboards rely on (Istio's standard metrics and the control plane's own).

/** Istio's standard HTTP and TCP metrics; see https://istio.io/latest/docs/reference/config/metrics/. */
export const ISTIO_METRIC = {
  requestsTotal: 'istio_requests_total',
  requestDuration: 'istio_request_duration_milliseconds',
  requestBytes: 'istio_request_bytes',
  responseBytes: 'istio_response_bytes',
  requestMessages: 'istio_request_messages_total',
  responseMessages: 'istio_response_messages_total',
  tcpSentBytes: 'istio_tcp_sent_bytes_total',
  tcpReceivedBytes: 'istio_tcp_received_bytes_total',
  tcpOpened: 'istio_tcp_connections_opened_total',
  tcpClosed: 'istio_tcp_connections_closed_total',
} as const;

/** Labels of the standard metrics, in the order in which they are exported. */
export const ISTIO_LABELS = [
  'reporter',
  'source_workload',
  'source_canonical_service',
  'source_canonical_revision',
  'source_workload_namespace',
  'source_principal',
  'source_app',
  'source_version',
  'source_cluster',
  'destination_workload',
  'destination_workload_namespace',
  'destination_principal',
  'destination_app',
  'destination_version',
  'destination_service',
  'destination_canonical_service',
  'destination_canonical_revision',
  'destination_service_name',
  'destination_service_namespace',
  'destination_cluster',
  'request_protocol',
  'response_code',
  'grpc_response_status',
  'response_flags',
  'connection_security_policy',
] as const;
export type IstioLabel = (typeof ISTIO_LABELS)[number];

/** Upper bounds of the standard histograms' buckets (milliseconds or bytes), as Istio exports them. */
export const ISTIO_HISTOGRAM_BUCKETS = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
] as const;

export const PILOT_METRIC = {
  connectedProxies: 'pilot_xds',
  pushes: 'pilot_xds_pushes',
  pushTime: 'pilot_xds_push_time',
  convergenceTime: 'pilot_proxy_convergence_time',
  rejects: 'pilot_total_xds_rejects',
  services: 'pilot_services',
  conflictInboundListener: 'pilot_conflict_inbound_listener',
  conflictOutboundListener: 'pilot_conflict_outbound_listener_tcp_over_current_tcp',
} as const;

export const CITADEL_METRIC = {
  csrCount: 'citadel_server_csr_count',
  issued: 'citadel_server_success_cert_issuance_count',
  rootExpiry: 'citadel_server_root_cert_expiry_timestamp',
  rootSecondsLeft: 'citadel_server_root_cert_expiry_seconds',
  chainExpiry: 'citadel_server_cert_chain_expiry_timestamp',
  chainSecondsLeft: 'citadel_server_cert_chain_expiry_seconds',
  csrParsingErrors: 'citadel_server_csr_parsing_err_count',
  authenticationFailures: 'citadel_server_authentication_failure_count',
} as const;

export const GALLEY_METRIC = {
  validationPassed: 'galley_validation_passed',
  validationFailed: 'galley_validation_failed',
  injectionRequests: 'sidecar_injection_requests_total',
  injectionSuccess: 'sidecar_injection_success_total',
  injectionFailure: 'sidecar_injection_failure_total',
  injectionSkip: 'sidecar_injection_skip_total',
  webhookAnswers: 'lateen_galley_webhook_answers_total',
  rejectedResources: 'lateen_galley_rejected_resources',
  kindsSynced: 'lateen_galley_kind_synced',
  leader: 'lateen_galley_leader',
  statusWrites: 'lateen_galley_status_writes_total',
} as const;

export const AGENT_METRIC = {
  /** As Istio's agent has it, by `resource_name`. */
  certificateSecondsLeft: 'istio_agent_cert_expiry_seconds',
  fileFailures: 'istio_agent_num_file_secret_failures_total',
  certificates: 'lateen_agent_certificates_total',
  streams: 'lateen_agent_sds_streams',
  responses: 'lateen_agent_sds_responses_total',
  rejections: 'lateen_agent_sds_rejections_total',
} as const;
