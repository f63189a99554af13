// The response head of an upstream: as strict as the request's, because a response can be split or smuggled as well.
import {
  BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_UNTIL_CLOSE, HEADER_ENTRY_BYTES, HEADER_FLAGS, HEADER_FLAG_DROPPED, HEADER_KNOWN,
  HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET, LISTENER_FLAGS, LISTENER_PEER_FROM_RESPONSE,
  LISTENER_RESPONSE_LINES_LENGTH, MAX_HEAD_BYTES, METHOD_CONNECT, METHOD_HEAD, RESP_BODY, RESP_CONTENT_LENGTH,
  RESP_FLAGS, RESP_GRPC_STATUS, RESP_HEADERS, RESP_HEADER_COUNT, RESP_HEAD_LENGTH, RESP_HEAD_OFFSET,
  RESP_LINE_LENGTH, RESP_MINOR_VERSION, RESP_PEER_ID_LENGTH, RESP_PEER_ID_OFFSET, RESP_PEER_METADATA_LENGTH,
  RESP_PEER_METADATA_OFFSET, RESP_STATUS, RESPONSE_INFORMATIONAL, RESPONSE_KEEP_ALIVE, RESPONSE_NO_LENGTH,
  RESPONSE_TO_ENDED, RESPONSE_TO_UPGRADE, RESPONSE_UPGRADE,
} from '../../src/layout';
import {
  KNOWN_CONTENT_LENGTH, KNOWN_GRPC_STATUS, KNOWN_LAST_HOP_BY_HOP, KNOWN_PEER_METADATA, KNOWN_PEER_METADATA_ID,
  KNOWN_TRANSFER_ENCODING, KNOWN_UPGRADE,
} from '../../src/table-layout';
import { PARSE_ERROR_CONTENT_LENGTH, PARSE_ERROR_HEAD_TOO_LARGE, PARSE_ERROR_STATUS_LINE } from './parse-errors';
import { findControl, hasEmptyLine, parseDigits } from '../ascii';
import {
  checkFraming, connectionClose, connectionKeepAlive, contentLength, drop, headerCount, readConnections,
  readContentLength, readTransferEncoding, refuse, resetFraming, scanHeaders, transferCodings,
} from './head';

const HTTP_1: u64 = 0x312e312f50545448; // "HTTP/1.1", first byte lowest
const HTTP_0: u64 = 0x302e312f50545448;

/** See core-functions.ts. */
export function parseResponse(offset: i32, length: i32, scanned: i32, method: i32, context: i32, listener: i32): i32 {
  const end = offset + length;
  if (scanned > 0) {
    const from = offset + (scanned > 3 ? scanned - 3 : 0);
    if (!hasEmptyLine(from, end)) return needMore(length);
  }
  // "HTTP/1.1 200" and at least CRLF; a whole head cannot be shorter
  if (length < 14) return hasEmptyLine(offset, end) ? refuse(502, PARSE_ERROR_STATUS_LINE) : 0;
  const version = load<u64>(offset);
  if ((version != HTTP_1 && version != HTTP_0) || load<u8>(offset + 8) != 0x20) return refuse(502, PARSE_ERROR_STATUS_LINE);
  const minor = version == HTTP_1 ? 1 : 0;
  const status = <i32>parseDigits(offset + 9, 3);
  const after = <i32>load<u8>(offset + 12);
  if (status < 100 || (after != 0x20 && after != 0x0d)) return refuse(502, PARSE_ERROR_STATUS_LINE);
  const lineEnd = findControl(offset + 12, end);
  if (lineEnd + 1 >= end) return needMore(length);
  if (load<u16>(lineEnd) != 0x0a0d) return refuse(502, PARSE_ERROR_STATUS_LINE);
  const headEnd = scanHeaders(lineEnd + 2, end, RESP_HEADERS);
  if (headEnd < 0) return -502;
  if (headEnd == 0) return needMore(length);
  if (headEnd - offset > MAX_HEAD_BYTES) return refuse(502, PARSE_ERROR_HEAD_TOO_LARGE);

  store<i32>(RESP_HEAD_OFFSET, offset);
  store<i32>(RESP_HEAD_LENGTH, headEnd - offset);
  store<i32>(RESP_STATUS, status);
  store<i32>(RESP_MINOR_VERSION, minor);
  store<i32>(RESP_LINE_LENGTH, lineEnd + 2 - offset);
  store<i32>(RESP_HEADER_COUNT, headerCount);
  if (readHeaders(listener, minor) != 0) return -502;
  return setFraming(status, minor, method, context) != 0 ? -502 : headEnd - offset;
}

@inline
function needMore(length: i32): i32 {
  return length >= MAX_HEAD_BYTES ? refuse(502, PARSE_ERROR_HEAD_TOO_LARGE) : 0;
}

let upgradeEntry: i32 = 0;

function readHeaders(listener: i32, minor: i32): i32 {
  resetFraming();
  upgradeEntry = 0;
  store<i32>(RESP_PEER_ID_LENGTH, 0);
  store<i32>(RESP_PEER_METADATA_LENGTH, 0);
  store<i32>(RESP_GRPC_STATUS, -1);
  const options = listener == 0 ? 0 : load<i32>(listener + LISTENER_FLAGS);
  const ownPeerLines = listener != 0 && load<i32>(listener + LISTENER_RESPONSE_LINES_LENGTH) > 0;
  let result = readConnections(RESP_HEADERS);
  if (result != 0) return result;
  for (let i = 0, count = headerCount; i < count; i++) {
    const entry = RESP_HEADERS + i * HEADER_ENTRY_BYTES;
    const known = load<i32>(entry + HEADER_KNOWN);
    if (known == 0) continue;
    const value = load<i32>(entry + HEADER_VALUE_OFFSET);
    const length = load<i32>(entry + HEADER_VALUE_LENGTH);
    if (known == KNOWN_CONTENT_LENGTH) {
      result = readContentLength(entry);
      if (result != 0) return result;
    } else if (known > KNOWN_CONTENT_LENGTH && known <= KNOWN_LAST_HOP_BY_HOP) {
      drop(entry);
      if (known == KNOWN_UPGRADE) upgradeEntry = entry;
      if (known == KNOWN_TRANSFER_ENCODING) {
        result = readTransferEncoding(entry);
        if (result != 0) return result;
      }
    } else if (known == KNOWN_PEER_METADATA || known == KNOWN_PEER_METADATA_ID) {
      if ((options & LISTENER_PEER_FROM_RESPONSE) != 0) {
        const place = known == KNOWN_PEER_METADATA ? RESP_PEER_METADATA_OFFSET : RESP_PEER_ID_OFFSET;
        store<i32>(place, value);
        store<i32>(place + 4, length);
        drop(entry);
      } else if (ownPeerLines) {
        drop(entry);
      }
    } else if (known == KNOWN_GRPC_STATUS) {
      const code = parseDigits(value, length);
      if (code >= 0 && code <= 99) store<i32>(RESP_GRPC_STATUS, <i32>code);
    }
  }
  return checkFraming(minor);
}

/** Where the body ends (RFC 9112, 6.3), and whether the connection can be used again. 0 or a refusal. */
function setFraming(status: i32, minor: i32, method: i32, context: i32): i32 {
  let flags = 0;
  let body = BODY_NONE;
  const length = contentLength > 0 ? contentLength : 0;
  if (status == 101 || (method == METHOD_CONNECT && status >= 200 && status < 300)) {
    if (status == 101 && (context & RESPONSE_TO_UPGRADE) == 0) return refuse(502, PARSE_ERROR_STATUS_LINE);
    flags = RESPONSE_UPGRADE;
    dropLengths();
    if (upgradeEntry != 0) store<i32>(upgradeEntry + HEADER_FLAGS, load<i32>(upgradeEntry + HEADER_FLAGS) & ~HEADER_FLAG_DROPPED);
  } else if (status < 200) {
    flags = RESPONSE_INFORMATIONAL;
  } else {
    if (status == 204) {
      dropLengths();
    } else if (status != 304 && method != METHOD_HEAD) {
      body = transferCodings > 0 ? BODY_CHUNKED : contentLength < 0 ? BODY_UNTIL_CLOSE : length > 0 ? BODY_LENGTH : BODY_NONE;
      if ((context & RESPONSE_TO_ENDED) != 0) {
        if (contentLength > 0) return refuse(502, PARSE_ERROR_CONTENT_LENGTH);
        if (contentLength < 0) flags = RESPONSE_NO_LENGTH;
        body = BODY_NONE;
      }
    }
    if (body != BODY_UNTIL_CLOSE && !connectionClose && (minor == 1 || connectionKeepAlive)) flags |= RESPONSE_KEEP_ALIVE;
  }
  store<i32>(RESP_FLAGS, flags);
  store<i32>(RESP_BODY, body);
  store<f64>(RESP_CONTENT_LENGTH, length);
  return 0;
}

/** A 204 and a 101 have no Content-Length (RFC 9110, 8.6); what says otherwise is not passed on. */
function dropLengths(): void {
  for (let i = 0, count = headerCount; i < count; i++) {
    const entry = RESP_HEADERS + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) == KNOWN_CONTENT_LENGTH) drop(entry);
  }
}
