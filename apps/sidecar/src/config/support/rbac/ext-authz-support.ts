// Support table: the filters that ask an authorizer outside of the proxy.

import type { SupportTable } from '../support-types.js';

const HTTP = 'envoy.extensions.filters.http.ext_authz.v3';
export const HTTP_EXT_AUTHZ = `${HTTP}.ExtAuthz`;
export const NETWORK_EXT_AUTHZ = 'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz';

const NO_CERTIFICATE = 'certificates of clients are not kept; the principal is told';
const NO_LABELS = 'labels are not told';

export const EXT_AUTHZ_SUPPORT: SupportTable = {
  [HTTP_EXT_AUTHZ]: {
    acted: [
      'grpc_service',
      'http_service',
      'failure_mode_allow',
      'failure_mode_allow_header_add',
      'with_request_body',
      'clear_route_cache',
      'status_on_error',
      'validate_mutations',
      'filter_enabled_metadata',
      'stat_prefix',
      'allowed_headers',
      'disallowed_headers',
      'include_tls_session',
      'encode_raw_headers',
      'enable_dynamic_metadata_ingestion',
      'charge_cluster_response_stats',
    ],
    only: { transport_api_version: ['V3'] },
    notes: {
      grpc_service:
        'the filter stands before that for tokens and before those for CORS, limits and faults; access rules that stand before it are decided before it asks',
      http_service: 'about CONNECT it cannot be asked, which counts as an error that denies',
      filter_enabled_metadata: 'of what filters for access rules (RBAC) noted, by one key, as a text or its presence',
      with_request_body: 'bodies that wait take 64 MiB of all requests together; beyond, a request is denied',
      validate_mutations:
        'without it, what cannot stand in a head is left out; Host, framing and headers of the connection are never changed',
      enable_dynamic_metadata_ingestion:
        'access logs show it (`%DYNAMIC_METADATA(envoy.filters.http.ext_authz:NAME)%`)',
    },
    refused: {
      metadata_context_namespaces: 'no metadata is told',
      typed_metadata_context_namespaces: 'no metadata is told',
      route_metadata_context_namespaces: 'no metadata is told',
      route_typed_metadata_context_namespaces: 'no metadata is told',
      filter_enabled: 'there is no runtime; use filter_enabled_metadata',
      deny_at_disable: 'there is no runtime',
      include_peer_certificate: NO_CERTIFICATE,
      bootstrap_metadata_labels_key: NO_LABELS,
      decoder_header_mutation_rules: 'use an authorizer that is trusted, with validate_mutations',
    },
  },
  [`${HTTP}.BufferSettings`]: {
    acted: ['max_request_bytes', 'allow_partial_message', 'pack_as_bytes'],
  },
  [`${HTTP}.HttpService`]: {
    acted: ['server_uri', 'path_prefix', 'authorization_request', 'authorization_response'],
  },
  'envoy.config.core.v3.HttpUri': {
    acted: ['cluster', 'timeout'],
    inert: { uri: 'the cluster says where it is' },
  },
  [`${HTTP}.AuthorizationRequest`]: { acted: ['allowed_headers', 'headers_to_add'] },
  [`${HTTP}.AuthorizationResponse`]: {
    acted: [
      'allowed_upstream_headers',
      'allowed_upstream_headers_to_append',
      'allowed_client_headers',
      'allowed_client_headers_on_success',
      'dynamic_metadata_from_headers',
    ],
  },
  'envoy.type.matcher.v3.ListStringMatcher': {
    acted: ['patterns'],
    notes: { patterns: 'exact, prefix, suffix and contains' },
  },
  [NETWORK_EXT_AUTHZ]: {
    acted: ['stat_prefix', 'grpc_service', 'failure_mode_allow', 'filter_enabled_metadata', 'include_tls_session'],
    only: { transport_api_version: ['V3'] },
    notes: { grpc_service: 'before a TCP proxy; asked before anybody is connected to, and before the first byte' },
    refused: { bootstrap_metadata_labels_key: NO_LABELS, include_peer_certificate: NO_CERTIFICATE },
  },
};
