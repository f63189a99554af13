// An HttpConnectionManager's fields as listener options; what is not supported is named.
import { Http1ProtocolOptionsSchema } from '@lateen/xds-proto/envoy/config/core/v3/protocol_pb.js';
import {
  HttpConnectionManager_ForwardClientCertDetails as ClientCert,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ListenerOptions } from '../listener-options.js';
import { type CompileProblem, ProblemList } from './problems.js';
import { refuseOtherFields } from './supported-fields.js';

export interface CompiledConnectionManager {
  readonly options: ListenerOptions;
  /** CONNECT may go through, unless the route says otherwise. */
  readonly allowConnect: boolean;
  readonly problems: readonly CompileProblem[];
}

/** Fields that the proxy reads itself (routes, filters, logs, timeouts, HTTP/2), or that change no HTTP/1 request. */
const READ_ELSEWHERE = `codec_type stat_prefix rds route_config http_filters access_log access_log_options tracing
  common_http_protocol_options http2_protocol_options stream_idle_timeout request_timeout request_headers_timeout
  drain_timeout delayed_close_timeout set_current_client_cert_details internal_address_config
  stream_error_on_invalid_http_message`;
const READ_HERE = `http_protocol_options server_name server_header_transformation max_request_headers_kb
  use_remote_address xff_num_trusted_hops skip_xff_append generate_request_id preserve_external_request_id
  forward_client_cert_details append_x_forwarded_port upgrade_configs normalize_path merge_slashes path_with_escaped_slashes_action`;

/** The head limit that the core has, as max_request_headers_kb counts. */
const MAX_HEADERS_KB = 60;

/**
 * Takes everything but `route_specifier`, `http_filters`, `access_log` and timeouts, which the proxy reads itself; the
 * peer fields of the options are left empty for the metadata-exchange filter to fill in. Requests that use the remote
 * address (`use_remote_address`, as gateways do) count as coming from outside the mesh.
 */
export function compileHttpConnectionManager(
  hcm: HttpConnectionManager,
  listenerName: string,
): CompiledConnectionManager {
  const problems = new ProblemList('HttpConnectionManager', listenerName);
  refuseOtherFields(problems, '', HttpConnectionManagerSchema, hcm, `${READ_ELSEWHERE} ${READ_HERE}`);
  const http1 = hcm.httpProtocolOptions;
  if (http1 !== undefined) {
    // Absolute targets are always taken; the header key format does not matter, because names are forwarded as they came.
    refuseOtherFields(
      problems,
      'http_protocol_options',
      Http1ProtocolOptionsSchema,
      http1,
      'allow_absolute_url accept_http_10 header_key_format',
    );
    if (http1.allowAbsoluteUrl === false)
      problems.add('http_protocol_options.allow_absolute_url', 'false is not supported');
  }
  if (hcm.maxRequestHeadersKb !== undefined && hcm.maxRequestHeadersKb !== MAX_HEADERS_KB) {
    problems.add('max_request_headers_kb', `is ${hcm.maxRequestHeadersKb}; only ${MAX_HEADERS_KB} is supported`);
  }
  const useRemoteAddress = hcm.useRemoteAddress ?? false;
  const upgrades = readUpgrades(problems, hcm);
  return {
    allowConnect: upgrades.connect,
    problems: problems.problems,
    options: {
      normalizePath: hcm.normalizePath ?? false,
      mergeSlashes: hcm.mergeSlashes,
      escapedSlashes: readEscapedSlashes(problems, hcm),
      edge: useRemoteAddress,
      useRemoteAddress,
      skipXffAppend: hcm.skipXffAppend,
      appendForwardedPort: hcm.appendXForwardedPort,
      xffNumTrustedHops: hcm.xffNumTrustedHops,
      generateRequestId: hcm.generateRequestId ?? true,
      preserveExternalRequestId: hcm.preserveExternalRequestId,
      serverHeader: readServerHeader(hcm.serverHeaderTransformation),
      serverName: hcm.serverName === '' ? 'envoy' : hcm.serverName,
      allowWebsocket: upgrades.websocket,
      acceptHttp10: http1?.acceptHttp10 ?? false,
      routerHeaders: true,
      forwardClientCert: readClientCert(hcm.forwardClientCertDetails),
      peerFromRequest: false,
      peerFromResponse: false,
      requestLines: [],
      responseLines: [],
    },
  };
}

function readEscapedSlashes(problems: ProblemList, hcm: HttpConnectionManager): ListenerOptions['escapedSlashes'] {
  switch (hcm.pathWithEscapedSlashesAction) {
    case EscapedSlashes.REJECT_REQUEST:
      return 'reject';
    case EscapedSlashes.UNESCAPE_AND_FORWARD:
      return 'unescape';
    case EscapedSlashes.UNESCAPE_AND_REDIRECT:
      problems.add('path_with_escaped_slashes_action', 'UNESCAPE_AND_REDIRECT is not supported');
      return 'reject';
    default:
      return 'keep';
  }
}

function readServerHeader(transformation: ServerHeader): ListenerOptions['serverHeader'] {
  if (transformation === ServerHeader.PASS_THROUGH) return 'pass-through';
  return transformation === ServerHeader.APPEND_IF_ABSENT ? 'append-if-absent' : 'overwrite';
}

function readClientCert(details: ClientCert): ListenerOptions['forwardClientCert'] {
  switch (details) {
    case ClientCert.FORWARD_ONLY:
      return 'forward-only';
    case ClientCert.APPEND_FORWARD:
      return 'append-forward';
    case ClientCert.SANITIZE_SET:
      return 'sanitize-set';
    case ClientCert.ALWAYS_FORWARD_ONLY:
      return 'always-forward-only';
    default:
      return 'sanitize';
  }
}

/** Whether WebSocket upgrades and CONNECT are allowed; no other upgrade is supported. */
function readUpgrades(problems: ProblemList, hcm: HttpConnectionManager): { websocket: boolean; connect: boolean } {
  const allowed = { websocket: false, connect: false };
  hcm.upgradeConfigs.forEach((config, index) => {
    const path = `upgrade_configs[${index}]`;
    if (config.filters.length > 0) problems.add(`${path}.filters`, 'is not supported');
    const type = config.upgradeType.toLowerCase();
    if (type === 'websocket' || type === 'connect') allowed[type] = config.enabled ?? true;
    else problems.add(`${path}.upgrade_type`, `"${config.upgradeType}" is not supported`);
  });
  return allowed;
}
