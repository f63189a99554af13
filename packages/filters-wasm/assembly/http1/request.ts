// The request head: request line, target, headers; what the listener forbids is gone from the table before any decision.
import {
  BODY_CHUNKED, BODY_LENGTH, BODY_NONE, CONNECTION_FLAGS, CONNECTION_MUTUAL_TLS, FORWARD_CLIENT_CERT_ALWAYS_FORWARD_ONLY,
  FORWARD_CLIENT_CERT_APPEND_FORWARD, FORWARD_CLIENT_CERT_FORWARD_ONLY, HEADER_ENTRY_BYTES, HEADER_FLAGS,
  HEADER_FLAG_DROPPED, HEADER_HASH, HEADER_KNOWN, HEADER_LINE_OFFSET, HEADER_NAME_LENGTH, HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET,
  LISTENER_ACCEPT_HTTP_10, LISTENER_ALLOW_WEBSOCKET, LISTENER_EDGE, LISTENER_FLAGS, LISTENER_FORWARDED_PORT, LISTENER_FORWARD_CLIENT_CERT,
  LISTENER_PEER_FROM_REQUEST, LISTENER_PRESERVE_EXTERNAL_REQUEST_ID, LISTENER_REQUEST_LINES_LENGTH,
  LISTENER_TRUSTED_HOPS, LISTENER_USE_REMOTE_ADDRESS, MAX_HEAD_BYTES, METHOD_CONNECT, METHOD_GET, METHOD_OPTIONS,
  METHOD_OTHER, METHOD_TRACE, REQ_AUTHORITY_LENGTH, REQ_AUTHORITY_OFFSET, REQ_BODY, REQ_CONTENT_LENGTH, REQ_FLAGS,
  REQ_GRPC_TIMEOUT_MS, REQ_HEADERS, REQ_HEADER_COUNT, REQ_HEAD_LENGTH, REQ_HEAD_OFFSET, REQ_LINE_LENGTH, REQ_METHOD, REQ_METHOD_LENGTH,
  REQ_METHOD_OFFSET, REQ_MINOR_VERSION, REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH, REQ_PEER_ID_LENGTH,
  REQ_PEER_ID_OFFSET, REQ_PEER_METADATA_LENGTH, REQ_PEER_METADATA_OFFSET, REQ_REQUEST_ID_LENGTH,
  REQ_REQUEST_ID_OFFSET, REQ_TARGET_LENGTH, REQ_TARGET_OFFSET, REQUEST_ABSOLUTE_FORM, REQUEST_CONNECT,
  REQUEST_EXPECT_CONTINUE, REQUEST_GRPC, REQUEST_KEEP_ALIVE, REQUEST_TARGET_HTTPS, REQUEST_UPGRADE,
} from '../../src/layout';
import {
  KNOWN_CLIENT_CERT, KNOWN_CONTENT_LENGTH, KNOWN_CONTENT_TYPE, KNOWN_EXPECT, KNOWN_FORWARDED_PROTO, KNOWN_GRPC_TIMEOUT,
  KNOWN_HOST, KNOWN_LAST_HOP_BY_HOP, KNOWN_PEER_METADATA, KNOWN_PEER_METADATA_ID, KNOWN_REQUEST_ID,
  KNOWN_TRANSFER_ENCODING, KNOWN_UPGRADE, TEXT_CONTINUE, TEXT_FORWARDED_PORT, TEXT_GET, TEXT_WEBSOCKET,
} from '../../src/table-layout';
import {
  PARSE_ERROR_CONTENT_LENGTH, PARSE_ERROR_HEAD_TOO_LARGE, PARSE_ERROR_HOST, PARSE_ERROR_LINE_END, PARSE_ERROR_METHOD, PARSE_ERROR_REQUEST_LINE,
  PARSE_ERROR_TARGET, PARSE_ERROR_TRANSFER_ENCODING, PARSE_ERROR_VERSION,
} from './parse-errors';
import { equals, findControl, findNonToken, findTargetEnd, hasEmptyLine } from '../ascii';
import {
  checkFraming, connectionClose, connectionKeepAlive, connectionUpgrade, contentLength, drop, headerCount,
  readConnections, readContentLength, readTransferEncoding, refuse, resetFraming, scanHeaders, transferCodings,
} from './head';
import {
  X_ENVOY_RETRY_ON,
  X_ENVOY_RETRY_GRPC_ON,
  X_ENVOY_MAX_RETRIES,
  X_ENVOY_RETRIABLE_STATUS_CODES,
  X_ENVOY_RETRIABLE_HEADER_NAMES,
  X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS,
  X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS,
  X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE,
  X_ENVOY_UPSTREAM_ALT_STAT_NAME,
  X_ENVOY_UPSTREAM_STREAM_DURATION_MS,
  X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
  X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT,
  X_ENVOY_FORCE_TRACE,
  X_ENVOY_IP_TAGS,
  X_ENVOY_ORIGINAL_URL,
} from '../../src/http1/router-headers';
import { isGrpcType, readGrpcTimeout } from '../grpc/grpc-request';
import { isAuthority, isConnectTarget, readPath } from './target';
import { isText, textAt, textLength } from '../texts';

const HTTP_1: u64 = 0x312e312f50545448; // "HTTP/1.1", first byte lowest
const HTTP_0: u64 = 0x302e312f50545448;
const X_ENVOY: u64 = 0x2d796f766e652d78; // "x-envoy-"
/** Longer methods are refused. */
const MAX_METHOD_BYTES = 32;
/** Empty lines before a request line that are forgiven (RFC 9112, 2.2). */
const MAX_LEADING_LINES = 8;

let hostEntry: i32 = 0;

/** See core-functions.ts. */
export function parseRequest(offset: i32, length: i32, scanned: i32, listener: i32, connection: i32): i32 {
  const end = offset + length;
  if (scanned > 0) {
    const from = offset + (scanned > 3 ? scanned - 3 : 0);
    if (!hasEmptyLine(from, end)) return needMore(length);
  }
  let at = offset;
  for (let lines = 0; at < end && load<u8>(at) == 0x0d; lines++) {
    if (at + 1 >= end) return 0;
    if (load<u8>(at + 1) != 0x0a || lines == MAX_LEADING_LINES) return refuse(400, PARSE_ERROR_LINE_END);
    at += 2;
  }
  const start = at;

  const methodEnd = findNonToken(at, end);
  if (methodEnd - at > MAX_METHOD_BYTES) return refuse(400, PARSE_ERROR_METHOD);
  if (methodEnd >= end) return needMore(length);
  if (methodEnd == at || load<u8>(methodEnd) != 0x20) return refuse(400, PARSE_ERROR_METHOD);
  const target = methodEnd + 1;
  const targetEnd = findTargetEnd(target, end);
  if (targetEnd >= end) return needMore(length);
  if (targetEnd == target || load<u8>(targetEnd) != 0x20) return refuse(400, PARSE_ERROR_REQUEST_LINE);
  if (targetEnd + 11 > end) {
    // A line that ends before a version has room will never become one.
    const stop = findControl(targetEnd + 1, end);
    return stop < end && stop < targetEnd + 9 ? refuse(400, PARSE_ERROR_VERSION) : needMore(length);
  }
  const minor = versionAt(targetEnd + 1);
  if (minor < 0) return minor;
  if (load<u16>(targetEnd + 9) != 0x0a0d) return refuse(400, PARSE_ERROR_LINE_END);
  at = targetEnd + 11;

  const headEnd = scanHeaders(at, end, REQ_HEADERS);
  if (headEnd < 0) return headEnd;
  if (headEnd == 0) return needMore(length);
  if (headEnd - offset > MAX_HEAD_BYTES) return refuse(431, PARSE_ERROR_HEAD_TOO_LARGE);

  const method = methodOf(start, methodEnd - start);
  if (method == METHOD_OTHER && hasSmallLetter(start, methodEnd)) return refuse(400, PARSE_ERROR_METHOD);

  store<i32>(REQ_HEAD_OFFSET, start);
  store<i32>(REQ_HEAD_LENGTH, headEnd - offset);
  store<i32>(REQ_FLAGS, 0);
  store<i32>(REQ_METHOD, method);
  store<i32>(REQ_METHOD_OFFSET, start);
  store<i32>(REQ_METHOD_LENGTH, methodEnd - start);
  store<i32>(REQ_TARGET_OFFSET, target);
  store<i32>(REQ_TARGET_LENGTH, targetEnd - target);
  store<i32>(REQ_LINE_LENGTH, at - start);
  store<i32>(REQ_MINOR_VERSION, minor);
  store<i32>(REQ_HEADER_COUNT, headerCount);

  let result = readHeaders(listener, connection, minor);
  if (result != 0) return result;
  result = readTarget(target, targetEnd, listener);
  if (result != 0) return result;
  if (minor == 0 && listener != 0 && (load<i32>(listener + LISTENER_FLAGS) & LISTENER_ACCEPT_HTTP_10) == 0) {
    return refuse(426, PARSE_ERROR_VERSION);
  }
  return headEnd - offset;
}

@inline
function needMore(length: i32): i32 {
  return length >= MAX_HEAD_BYTES ? refuse(431, PARSE_ERROR_HEAD_TOO_LARGE) : 0;
}

function versionAt(at: i32): i32 {
  const version = load<u64>(at);
  if (version == HTTP_1) return 1;
  if (version == HTTP_0) return 0;
  const digits = load<u8>(at + 5) - 0x30 <= 9 && load<u8>(at + 7) - 0x30 <= 9 && load<u8>(at + 6) == 0x2e;
  if ((version & 0xffffffffff) == (HTTP_1 & 0xffffffffff) && digits) return refuse(505, PARSE_ERROR_VERSION);
  return refuse(400, PARSE_ERROR_VERSION);
}

/** Methods have none; some applications take `delete` for DELETE, which rules do not. */
function hasSmallLetter(at: i32, end: i32): bool {
  while (at < end && <u32>(load<u8>(at) - 0x61) > 25) at++;
  return at < end;
}

/** METHOD_*; methods are case-sensitive. The texts stand in the order of the ids. */
function methodOf(at: i32, length: i32): i32 {
  for (let method = METHOD_GET; method <= METHOD_TRACE; method++) {
    const text = TEXT_GET + method - METHOD_GET;
    if (textLength(text) == length && equals(at, textAt(text), length)) return method;
  }
  return METHOD_OTHER;
}

/** Framing, Host, and what the listener's options say about single headers. */
function readHeaders(listener: i32, connection: i32, minor: i32): i32 {
  resetFraming();
  hostEntry = 0;
  store<i32>(REQ_PEER_ID_LENGTH, 0);
  store<i32>(REQ_PEER_METADATA_LENGTH, 0);
  store<i32>(REQ_REQUEST_ID_LENGTH, 0);
  store<f64>(REQ_GRPC_TIMEOUT_MS, -1);
  let grpcTimeout = 0;
  const options = listener == 0 ? 0 : load<i32>(listener + LISTENER_FLAGS);
  let flags = 0;
  let upgrade = 0;
  let result = readConnections(REQ_HEADERS);
  if (result != 0) return result;

  for (let i = 0, count = headerCount; i < count; i++) {
    const entry = REQ_HEADERS + i * HEADER_ENTRY_BYTES;
    const known = load<i32>(entry + HEADER_KNOWN);
    if (known == 0) {
      if ((options & LISTENER_EDGE) != 0) {
        dropEnvoyHeader(entry);
        if ((options & LISTENER_FORWARDED_PORT) != 0) dropForwardedPort(entry, listener);
      } else {
        dropRouterHeader(entry);
      }
      continue;
    }
    if (known == KNOWN_HOST) {
      if (hostEntry != 0) return refuse(400, PARSE_ERROR_HOST);
      hostEntry = entry;
    } else if (known == KNOWN_CONTENT_LENGTH) {
      result = readContentLength(entry);
      if (result != 0) return result;
    } else if (known <= KNOWN_LAST_HOP_BY_HOP) {
      drop(entry);
      if (known == KNOWN_UPGRADE) {
        upgrade = entry;
      } else if (known == KNOWN_TRANSFER_ENCODING) {
        result = readTransferEncoding(entry);
        if (result != 0) return result;
      }
    } else if (known == KNOWN_EXPECT) {
      if (isText(load<i32>(entry + HEADER_VALUE_OFFSET), load<i32>(entry + HEADER_VALUE_LENGTH), TEXT_CONTINUE)) {
        // HTTP/1.0 clients cannot mean it (RFC 9110, 10.1.1); the request goes on as HTTP/1.1, so it must not cross.
        if (minor == 1) flags |= REQUEST_EXPECT_CONTINUE;
        drop(entry);
      }
    } else if (known == KNOWN_CONTENT_TYPE) {
      if (isGrpcType(load<i32>(entry + HEADER_VALUE_OFFSET), load<i32>(entry + HEADER_VALUE_LENGTH))) flags |= REQUEST_GRPC;
    } else if (known == KNOWN_GRPC_TIMEOUT) {
      grpcTimeout = entry;
    } else {
      applyOptions(entry, known, listener, options, connection);
    }
  }

  result = checkFraming(minor);
  if (result != 0) return result;
  if (load<i32>(REQ_METHOD) == METHOD_CONNECT) {
    // What follows is the tunnel's; a body has no meaning, and who took it for one would find another end of it.
    if (contentLength > 0) return refuse(400, PARSE_ERROR_CONTENT_LENGTH);
    if (transferCodings > 0) return refuse(501, PARSE_ERROR_TRANSFER_ENCODING);
    if (contentLength == 0) dropLengths();
  }
  if (connectionUpgrade && upgrade != 0 && minor == 1 && (options & LISTENER_ALLOW_WEBSOCKET) != 0 &&
      transferCodings == 0 && contentLength <= 0 && load<i32>(REQ_METHOD) == METHOD_GET &&
      isText(load<i32>(upgrade + HEADER_VALUE_OFFSET), load<i32>(upgrade + HEADER_VALUE_LENGTH), TEXT_WEBSOCKET)) {
    flags |= REQUEST_UPGRADE;
    store<i32>(upgrade + HEADER_FLAGS, load<i32>(upgrade + HEADER_FLAGS) & ~HEADER_FLAG_DROPPED);
  }
  if (!connectionClose && (minor == 1 || connectionKeepAlive)) flags |= REQUEST_KEEP_ALIVE;
  if (grpcTimeout != 0 && (flags & REQUEST_GRPC) != 0) {
    store<f64>(REQ_GRPC_TIMEOUT_MS, readGrpcTimeout(load<i32>(grpcTimeout + HEADER_VALUE_OFFSET), load<i32>(grpcTimeout + HEADER_VALUE_LENGTH)));
  }
  store<i32>(REQ_FLAGS, flags);
  store<i32>(REQ_BODY, transferCodings > 0 ? BODY_CHUNKED : contentLength > 0 ? BODY_LENGTH : BODY_NONE);
  store<f64>(REQ_CONTENT_LENGTH, contentLength > 0 ? contentLength : 0);
  return 0;
}

/** A CONNECT has no length, not even 0. */
function dropLengths(): void {
  for (let i = 0, count = headerCount; i < count; i++) {
    const entry = REQ_HEADERS + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) == KNOWN_CONTENT_LENGTH) drop(entry);
  }
}

/** x-envoy-* from outside the mesh. */
@inline
function dropEnvoyHeader(entry: i32): void {
  if (load<i32>(entry + HEADER_NAME_LENGTH) < 8) return;
  const first = load<u64>(load<i32>(entry + HEADER_LINE_OFFSET));
  // '-' (0x2d) has bit 5 set already, so folding changes letters alone.
  if ((first | 0x2020202020202020) == X_ENVOY) drop(entry);
}

/** The proxy says it itself, unless proxies before it are trusted. */
function dropForwardedPort(entry: i32, listener: i32): void {
  if (load<i32>(listener + LISTENER_TRUSTED_HOPS) > 0) return;
  if (isText(load<i32>(entry + HEADER_LINE_OFFSET), load<i32>(entry + HEADER_NAME_LENGTH), TEXT_FORWARDED_PORT)) drop(entry);
}

/** What tells a router how long to wait and when to try again: as in Envoy, not from callers that are not known as internal. */
@inline
function dropRouterHeader(entry: i32): void {
  if (load<i32>(entry + HEADER_NAME_LENGTH) < 15) return;
  const first = load<u64>(load<i32>(entry + HEADER_LINE_OFFSET));
  if ((first | 0x2020202020202020) == X_ENVOY && isRouterHeader(load<i32>(entry + HEADER_HASH))) drop(entry);
}

function isRouterHeader(hash: i32): bool {
  switch (hash) {
    case X_ENVOY_RETRY_ON:
    case X_ENVOY_RETRY_GRPC_ON:
    case X_ENVOY_MAX_RETRIES:
    case X_ENVOY_RETRIABLE_STATUS_CODES:
    case X_ENVOY_RETRIABLE_HEADER_NAMES:
    case X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS:
    case X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS:
    case X_ENVOY_UPSTREAM_RQ_TIMEOUT_ALT_RESPONSE:
    case X_ENVOY_UPSTREAM_ALT_STAT_NAME:
    case X_ENVOY_UPSTREAM_STREAM_DURATION_MS:
    case X_ENVOY_EXPECTED_RQ_TIMEOUT_MS:
    case X_ENVOY_HEDGE_ON_PER_TRY_TIMEOUT:
    case X_ENVOY_FORCE_TRACE:
    case X_ENVOY_IP_TAGS:
    case X_ENVOY_ORIGINAL_URL:
      return true;
    default:
      return false;
  }
}

function applyOptions(entry: i32, known: i32, listener: i32, options: i32, connection: i32): void {
  const edge = (options & LISTENER_EDGE) != 0;
  if (known == KNOWN_REQUEST_ID) {
    if (edge && (options & LISTENER_PRESERVE_EXTERNAL_REQUEST_ID) == 0) drop(entry);
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) == 0) {
      store<i32>(REQ_REQUEST_ID_OFFSET, load<i32>(entry + HEADER_VALUE_OFFSET));
      store<i32>(REQ_REQUEST_ID_LENGTH, load<i32>(entry + HEADER_VALUE_LENGTH));
    }
  } else if (known == KNOWN_FORWARDED_PROTO) {
    if ((options & LISTENER_USE_REMOTE_ADDRESS) != 0 && load<i32>(listener + LISTENER_TRUSTED_HOPS) == 0) drop(entry);
  } else if (known == KNOWN_CLIENT_CERT) {
    if (listener != 0 && !keepsClientCert(load<i32>(listener + LISTENER_FORWARD_CLIENT_CERT), connection)) drop(entry);
  } else if (known == KNOWN_PEER_METADATA || known == KNOWN_PEER_METADATA_ID) {
    if (!edge && (options & LISTENER_PEER_FROM_REQUEST) != 0) {
      const place = known == KNOWN_PEER_METADATA ? REQ_PEER_METADATA_OFFSET : REQ_PEER_ID_OFFSET;
      store<i32>(place, load<i32>(entry + HEADER_VALUE_OFFSET));
      store<i32>(place + 4, load<i32>(entry + HEADER_VALUE_LENGTH));
      drop(entry);
    } else if (edge || (listener != 0 && load<i32>(listener + LISTENER_REQUEST_LINES_LENGTH) > 0)) {
      drop(entry);
    }
  } else if (edge) {
    dropEnvoyHeader(entry);
  }
}

/** As Envoy: without a verified client certificate the header is only kept by ALWAYS_FORWARD_ONLY. */
function keepsClientCert(mode: i32, connection: i32): bool {
  if (mode == FORWARD_CLIENT_CERT_ALWAYS_FORWARD_ONLY) return true;
  if (connection == 0 || (load<i32>(connection + CONNECTION_FLAGS) & CONNECTION_MUTUAL_TLS) == 0) return false;
  return mode == FORWARD_CLIENT_CERT_FORWARD_ONLY || mode == FORWARD_CLIENT_CERT_APPEND_FORWARD;
}

/** The four forms of a target (RFC 9112, 3.2); sets path and authority. */
function readTarget(target: i32, end: i32, listener: i32): i32 {
  const method = load<i32>(REQ_METHOD);
  const first = <i32>load<u8>(target);
  if (method == METHOD_CONNECT) {
    if (!isConnectTarget(target, end - target)) return refuse(400, PARSE_ERROR_TARGET);
    setAuthority(target, end - target);
    store<i32>(REQ_FLAGS, load<i32>(REQ_FLAGS) | REQUEST_CONNECT);
    store<i32>(REQ_PATH_OFFSET, target);
    store<i32>(REQ_PATH_LENGTH, 0);
    store<i32>(REQ_PATH_ONLY_LENGTH, 0);
    return hostEntry == 0 || hostIsValid() ? 0 : refuse(400, PARSE_ERROR_HOST);
  }
  if (hostEntry == 0 || !hostIsValid()) return refuse(400, PARSE_ERROR_HOST);
  setAuthority(load<i32>(hostEntry + HEADER_VALUE_OFFSET), load<i32>(hostEntry + HEADER_VALUE_LENGTH));
  if (first == 0x2f) return readPath(target, end, listener);
  if (first == 0x2a) {
    if (end - target != 1 || method != METHOD_OPTIONS) return refuse(400, PARSE_ERROR_TARGET);
    store<i32>(REQ_PATH_OFFSET, target);
    store<i32>(REQ_PATH_LENGTH, 1);
    store<i32>(REQ_PATH_ONLY_LENGTH, 1);
    return 0;
  }
  return readAbsolute(target, end, listener);
}

function readAbsolute(target: i32, end: i32, listener: i32): i32 {
  if (end - target < 8) return refuse(400, PARSE_ERROR_TARGET);
  const scheme = load<u32>(target) | 0x20202020;
  if (scheme != 0x70747468) return refuse(400, PARSE_ERROR_TARGET); // "http"
  let at = target + 4;
  let flags = load<i32>(REQ_FLAGS) | REQUEST_ABSOLUTE_FORM;
  if ((load<u8>(at) | 0x20) == 0x73) {
    at++;
    flags |= REQUEST_TARGET_HTTPS;
  }
  if (load<u8>(at) != 0x3a || load<u16>(at + 1) != 0x2f2f) return refuse(400, PARSE_ERROR_TARGET);
  at += 3;
  const start = at;
  while (at < end) {
    const byte = <i32>load<u8>(at);
    if (byte == 0x2f || byte == 0x3f || byte == 0x23) break;
    at++;
  }
  if (!isAuthority(start, at - start)) return refuse(400, PARSE_ERROR_TARGET);
  setAuthority(start, at - start);
  store<i32>(REQ_FLAGS, flags);
  return readPath(at, end, listener);
}

@inline
function setAuthority(at: i32, length: i32): void {
  store<i32>(REQ_AUTHORITY_OFFSET, at);
  store<i32>(REQ_AUTHORITY_LENGTH, length);
}

@inline
function hostIsValid(): bool {
  return isAuthority(load<i32>(hostEntry + HEADER_VALUE_OFFSET), load<i32>(hostEntry + HEADER_VALUE_LENGTH));
}

/** The entry of the Host line, 0 where there is none. */
@inline
export function hostLine(): i32 {
  return hostEntry;
}
