// Exchange: what the proxy answers by itself, in Envoy's words.

import { type Core, PICK_NO_CLUSTER, POLICY_CLUSTER_NOT_FOUND_STATUS } from '@lateen/filters-wasm';
import { FLAG } from './response-flags.js';

/** An answer that no upstream gave. */
export interface LocalReply {
  readonly status: number;
  readonly flags: number;
  readonly body: string;
  /** RESPONSE_CODE_DETAILS. */
  readonly details: string;
  /** What gRPC is told, where it is not the code that belongs to the status. */
  readonly grpcStatus?: number;
}

const GRPC_DEADLINE_EXCEEDED = 4;

const BEFORE_HEADERS = 'upstream connect error or disconnect/reset before headers. ';

function reply(status: number, flags: number, body: string, details: string): LocalReply {
  return { status, flags, body, details };
}

function maxDuration(status: number): LocalReply {
  const answer = reply(status, 0, 'downstream duration timeout', 'max_duration_timeout');
  return { ...answer, grpcStatus: GRPC_DEADLINE_EXCEEDED };
}

export const ROUTE_NOT_FOUND = reply(404, FLAG.NR, '', 'route_not_found');
export const NO_HEALTHY_UPSTREAM = reply(503, FLAG.UH, 'no healthy upstream', 'no_healthy_upstream');
export const RESPONSE_TIMEOUT = reply(504, FLAG.UT, 'upstream request timeout', 'response_timeout');
export const PER_TRY_TIMEOUT = reply(504, FLAG.UT, 'upstream request timeout', 'upstream_per_try_timeout');
export const PER_TRY_IDLE = reply(504, FLAG.SI, 'stream timeout', 'upstream_per_try_idle_timeout');
export const STREAM_IDLE = reply(408, FLAG.SI, 'stream timeout', 'stream_idle_timeout');
export const UPSTREAM_IDLE = reply(504, FLAG.SI, 'stream timeout', 'stream_idle_timeout');
export const REQUEST_HEADER_TIMEOUT = reply(408, FLAG.DT, 'request header timeout', 'request_header_timeout');
export const REQUEST_TIMEOUT = reply(408, FLAG.DT, 'request timeout', 'request_overall_timeout');
/** The stream has taken its time: while the client was still sending, or after it had ended. */
export const MAX_DURATION_OF_REQUEST = maxDuration(408);
export const MAX_DURATION = maxDuration(504);
export const HEAD_TOO_LARGE = reply(431, FLAG.DPE, 'Request Header Fields Too Large', 'http1.headers_too_large');
export const UPGRADE_NOT_ENABLED = reply(403, 0, '', 'upgrade_failed');
export const BAD_CHUNK = reply(400, FLAG.DPE, 'Bad Request', 'http1.codec_error');
const NO_BASE64 = 'Bad gRPC-web request, invalid base64 data.';
export const BAD_BASE64 = reply(400, 0, NO_BASE64, 'grpc_base_64_decode_failed');
export const CUT_BASE64 = reply(400, 0, NO_BASE64, 'grpc_base_64_decode_failed_bad_size');
export const CORS_DETAILS = 'cors_response';
export const DIRECT_RESPONSE_DETAILS = 'direct_response';
export const VIA_UPSTREAM_DETAILS = 'via_upstream';

/** pick() gave no endpoint: none is healthy, or there is no such cluster; the policy (0 = none) may name the status then. */
export function notPicked(core: Core, policy: number, result: number): LocalReply {
  if (result !== PICK_NO_CLUSTER) return NO_HEALTHY_UPSTREAM;
  const configured = policy === 0 ? 0 : core.i32[(policy + POLICY_CLUSTER_NOT_FOUND_STATUS) >> 2]!;
  return reply(configured || 503, FLAG.NC, '', 'cluster_not_found');
}

/** The host that a request is for has no address, in Envoy's words; `why` is for the log. */
export function unresolvedHost(why: string): LocalReply {
  return reply(503, FLAG.DF, 'DNS resolution failure', `dns_resolution_failure{${why}}`);
}

/** Where a request is for is where it came from. */
export const FORWARD_LOOP = reply(508, 0, 'the request leads back to this proxy', 'forward_loop');

/** The codec refused the head; the connection is closed after the answer. */
export function refusedHead(status: number): LocalReply {
  switch (status) {
    case 426:
      return reply(426, FLAG.DPE, 'Upgrade Required', 'low_version');
    case 431:
      return reply(431, FLAG.DPE, 'Request Header Fields Too Large', 'http1.headers_too_large');
    case 501:
      return reply(501, FLAG.DPE, 'Not Implemented', 'http1.invalid_transfer_encoding');
    case 505:
      return reply(505, FLAG.DPE, 'HTTP Version Not Supported', 'http1.unsupported_version');
    default:
      return reply(400, FLAG.DPE, 'Bad Request', 'http1.codec_error');
  }
}

/** Why an attempt at an upstream ended without a response. */
export type UpstreamFailure =
  | 'connect'
  | 'connect-timeout'
  | 'overflow'
  | 'closed'
  | 'protocol'
  | 'tls'
  | 'timeout'
  /** A stream was reset by the upstream. */
  | 'reset'
  /** The upstream says that it has not looked at the request. */
  | 'refused';

const RESET_REASON: Readonly<Record<UpstreamFailure, readonly [status: number, flags: number, reason: string]>> = {
  connect: [503, FLAG.UF, 'remote connection failure'],
  tls: [503, FLAG.UF, 'remote connection failure'],
  'connect-timeout': [503, FLAG.UF, 'connection timeout'],
  overflow: [503, FLAG.UO, 'overflow'],
  closed: [503, FLAG.UC, 'connection termination'],
  reset: [503, FLAG.UR, 'remote reset'],
  refused: [503, FLAG.UR, 'remote refused stream reset'],
  timeout: [504, FLAG.UT, 'upstream per try timeout'],
  protocol: [502, FLAG.UPE, 'protocol error'],
};

/**
 * @param transportReason the system's or TLS's words, empty where there are none: for the log only, since they tell a client
 *   what is behind the proxy (Envoy keeps them out of the body since 1.38.1)
 */
export function upstreamReset(failure: UpstreamFailure, transportReason: string, retried: boolean): LocalReply {
  const [status, flags, reason] = RESET_REASON[failure];
  const inDetails = transportReason === '' ? '' : `|${transportReason.replaceAll(/\s/g, '_')}`;
  return reply(
    status,
    retried ? flags | FLAG.URX : flags,
    `${BEFORE_HEADERS}${retried ? 'retried and the latest ' : ''}reset reason: ${reason}`,
    `upstream_reset_before_response_started{${reason.replaceAll(' ', '_')}${inDetails}}`,
  );
}

/** The system's words for an error, as Envoy puts them in its transport failure reason. */
export function describeError(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ECONNREFUSED':
      return 'delayed connect error: Connection refused';
    case 'ECONNRESET':
    case 'EPIPE':
      return 'connection reset';
    case undefined:
      return error.message;
    default:
      return code.startsWith('ERR_SSL') ? `TLS_error: ${code}` : code;
  }
}
