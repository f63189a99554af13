// HTTP/2: decoded fields become a head in HTTP/1.1 form, by the rules of RFC 9113, 8.2 and 8.3. Nothing that gets here can
// hold a line end, and a method or a path no space: the head has the lines that the fields are, and no other.
import { MAX_HEADERS, MAX_HEAD_BYTES, RESP_GRPC_STATUS } from '../../src/layout';
import {
  H2_ALLOW_PROTOCOL, H2_COOKIE_SCRATCH, H2_COOKIE_SCRATCH_BYTES, H2_DECODED_FLAGS, H2_DECODED_HTTPS,
  H2_DECODED_PROTOCOL, H2_END_STREAM, H2_ERROR_MALFORMED, H2_ERROR_TOO_LARGE, H2_FIELD_AUTHORITY, H2_FIELD_BAD_NAME,
  H2_FIELD_BAD_VALUE, H2_FIELD_CONTENT_LENGTH, H2_FIELD_COOKIE, H2_FIELD_HOST, H2_FIELD_METHOD, H2_FIELD_PATH,
  H2_FIELD_PROTOCOL, H2_FIELD_PSEUDO, H2_FIELD_REGULAR, H2_FIELD_SCHEME, H2_FIELD_STATUS, H2_FIELD_TE,
  H2_FIELD_UNKNOWN_PSEUDO, H2_REQUEST, H2_SCRATCH, H2_SCRATCH_BYTES, H2_TRAILERS, H2_UPGRADE,
} from '../../src/http2/h2-layout';
import {
  KNOWN_GRPC_STATUS, KNOWN_HOST, KNOWN_UPGRADE, TEXT_CHUNKED_LINE, TEXT_CONNECT, TEXT_CONNECTION_UPGRADE_LINE, TEXT_GET,
  TEXT_HTTPS, TEXT_OPTIONS, TEXT_TRAILERS, TEXT_VERSION, TEXT_VERSION_LINE_END, TEXT_WEBSOCKET,
} from '../../src/table-layout';
import { equals, equalsIgnoreCase, findByte, findNonToken, findTargetEnd, parseDigits } from '../ascii';
import { isText, putBytes, putColon, putCrlf, putText, textAt, textLength } from '../texts';

/** Room at the end of the head for what is added to it, and for wide stores. */
const TAIL_BYTES = 128;
/** Longer ones are refused as HTTP/1.1's are. */
const MAX_METHOD_BYTES = 32;

let kind: i32 = 0;
let start: i32 = 0;
let cursor: i32 = 0;
let limit: i32 = 0;
let lines: i32 = 0;
/** The verdict so far: 0, or H2_ERROR_*. */
let verdict: i32 = 0;
/** Pseudo-header fields have ended. */
let begun: bool = false;
let scratch: i32 = 0;
/** End of the crumbs; 0 = none yet. */
let cookieEnd: i32 = 0;
let contentLength: f64 = -1;
let hostSeen: bool = false;
/** A body of unknown length follows unless a content-length says otherwise. */
let bodyFollows: bool = false;

let methodAt: i32 = 0;
let methodLength: i32 = -1;
let schemeAt: i32 = 0;
let schemeLength: i32 = -1;
let authorityAt: i32 = 0;
let authorityLength: i32 = -1;
let pathAt: i32 = 0;
let pathLength: i32 = -1;
let protocolAt: i32 = 0;
let protocolLength: i32 = -1;
let statusAt: i32 = 0;
let statusLength: i32 = -1;

/** Starts a head at `out`. */
export function beginHead(wanted: i32, out: i32, capacity: i32): void {
  kind = wanted;
  start = out;
  cursor = out;
  limit = out + (capacity < MAX_HEAD_BYTES ? capacity : MAX_HEAD_BYTES) - TAIL_BYTES;
  lines = 0;
  verdict = 0;
  begun = (wanted & H2_TRAILERS) != 0;
  scratch = H2_SCRATCH;
  cookieEnd = 0;
  contentLength = -1;
  hostSeen = false;
  bodyFollows = false;
  methodLength = -1;
  schemeLength = -1;
  authorityLength = -1;
  pathLength = -1;
  protocolLength = -1;
  statusLength = -1;
  store<i32>(H2_DECODED_FLAGS, 0);
}

/** Whether fields still matter; otherwise only the tables do. */
@inline
export function wantsMore(): bool {
  return verdict == 0;
}

@inline
function fail(error: i32): void {
  // Malformed is the graver one.
  if (verdict != H2_ERROR_MALFORMED) verdict = error;
}

/** Where to decode a literal line: in its place in the head where it surely fits, else in the scratch. */
export function lineRoom(nameLength: i32, encodedLength: i32): i32 {
  const most = nameLength + ((encodedLength * 13) >> 3) + 64;
  return begun && verdict == 0 && cursor + most <= limit ? cursor : scratch;
}

/** A field of a table. */
export function acceptField(line: i32, nameLength: i32, valueLength: i32, field: i32): void {
  if (verdict != 0) return;
  if (field == H2_FIELD_REGULAR && begun) {
    const length = nameLength + valueLength + 4;
    if (cursor + length > limit || ++lines > MAX_HEADERS) return fail(H2_ERROR_TOO_LARGE);
    cursor = putBytes(cursor, line, length);
    return;
  }
  // The table may move before the head is written.
  if (field >= H2_FIELD_PSEUDO && field < H2_FIELD_UNKNOWN_PSEUDO) {
    putBytes(scratch, line, nameLength + valueLength + 4);
    line = scratch;
  }
  special(line, nameLength, valueLength, field);
}

/** A field whose line was decoded to `lineRoom`. */
export function acceptLine(line: i32, nameLength: i32, valueLength: i32, field: i32): void {
  if (verdict != 0) return;
  if (field == H2_FIELD_REGULAR && line == cursor) {
    if (++lines > MAX_HEADERS) return fail(H2_ERROR_TOO_LARGE);
    cursor += nameLength + valueLength + 4;
    return;
  }
  special(line, nameLength, valueLength, field);
}

function special(line: i32, nameLength: i32, valueLength: i32, field: i32): void {
  if ((field & (H2_FIELD_BAD_NAME | H2_FIELD_BAD_VALUE)) != 0) return fail(H2_ERROR_MALFORMED);
  const value = line + nameLength + 2;
  if (field >= H2_FIELD_PSEUDO) return begun ? fail(H2_ERROR_MALFORMED) : pseudo(value, valueLength, field);
  if (!begun) beginLines();
  if (verdict != 0) return;
  if ((kind & H2_TRAILERS) != 0 && field != H2_FIELD_REGULAR) {
    // Fields of framing and routing cannot come late.
    return fail(H2_ERROR_MALFORMED);
  }
  switch (field) {
    case H2_FIELD_REGULAR:
      return putLine(line, nameLength + valueLength + 4);
    case H2_FIELD_COOKIE:
      return crumb(value, valueLength);
    case H2_FIELD_HOST:
      return host(line, value, valueLength);
    case H2_FIELD_CONTENT_LENGTH: {
      const length = parseDigits(value, valueLength);
      if (length < 0 || (contentLength >= 0 && contentLength != length)) return fail(H2_ERROR_MALFORMED);
      if (contentLength < 0) putLine(line, nameLength + valueLength + 4);
      contentLength = length;
      return;
    }
    case H2_FIELD_TE:
      return isText(value, valueLength, TEXT_TRAILERS) ? putLine(line, nameLength + valueLength + 4) : fail(H2_ERROR_MALFORMED);
    default:
      return fail(H2_ERROR_MALFORMED); // H2_FIELD_FORBIDDEN
  }
}

/** Writes a line that may already be at the cursor. */
function putLine(line: i32, length: i32): void {
  if (cursor + length > limit || ++lines > MAX_HEADERS) return fail(H2_ERROR_TOO_LARGE);
  if (line != cursor) putBytes(cursor, line, length);
  cursor += length;
}

/** Keeps the value of a pseudo-header field, which is in the scratch. */
function pseudo(value: i32, length: i32, field: i32): void {
  const request = (kind & H2_REQUEST) != 0;
  if (request == (field == H2_FIELD_STATUS) || field == H2_FIELD_UNKNOWN_PSEUDO || length == 0) return fail(H2_ERROR_MALFORMED);
  if (length > MAX_HEAD_BYTES) return fail(H2_ERROR_TOO_LARGE);
  let seen = 0;
  switch (field) {
    case H2_FIELD_METHOD:
      seen = methodLength;
      methodAt = value;
      methodLength = length;
      break;
    case H2_FIELD_SCHEME:
      seen = schemeLength;
      schemeAt = value;
      schemeLength = length;
      break;
    case H2_FIELD_AUTHORITY:
      seen = authorityLength;
      authorityAt = value;
      authorityLength = length;
      break;
    case H2_FIELD_PATH:
      seen = pathLength;
      pathAt = value;
      pathLength = length;
      break;
    case H2_FIELD_PROTOCOL:
      seen = protocolLength;
      protocolAt = value;
      protocolLength = length;
      break;
    default:
      seen = statusLength;
      statusAt = value;
      statusLength = length;
  }
  if (seen >= 0) return fail(H2_ERROR_MALFORMED);
  // Keeps it from the lines that are decoded next; what is in the scratch is bounded by the block and six table entries.
  scratch = value + length + 16;
}

/** Writes the first line and the Host, once the pseudo-header fields have ended. */
function beginLines(): void {
  begun = true;
  if ((kind & H2_REQUEST) != 0) requestLine();
  else statusLine();
}

function requestLine(): void {
  if (methodLength < 0 || findNonToken(methodAt, methodAt + methodLength) != methodAt + methodLength) return fail(H2_ERROR_MALFORMED);
  const connect = isMethod(TEXT_CONNECT);
  const tunnel = connect && protocolLength < 0;
  if (tunnel) {
    if (schemeLength >= 0 || pathLength >= 0 || authorityLength < 0) return fail(H2_ERROR_MALFORMED);
  } else {
    if (protocolLength >= 0 && !upgrades(connect)) return fail(H2_ERROR_MALFORMED);
    if (!hasSchemeAndPath()) return fail(H2_ERROR_MALFORMED);
  }
  if (authorityLength > 0 && findTargetEnd(authorityAt, authorityAt + authorityLength) != authorityAt + authorityLength) {
    return fail(H2_ERROR_MALFORMED);
  }
  const target = tunnel ? authorityAt : pathAt;
  const targetLength = tunnel ? authorityLength : pathLength;
  const needed = methodLength + targetLength + 13 + (authorityLength < 0 ? 0 : authorityLength + 8) + protocolLength + 64;
  if (cursor + needed > limit) return fail(H2_ERROR_TOO_LARGE);
  let at = protocolLength >= 0 ? putText(cursor, TEXT_GET) : putBytes(cursor, methodAt, methodLength);
  store<u8>(at++, 0x20);
  at = putText(putBytes(at, target, targetLength), TEXT_VERSION_LINE_END);
  if (authorityLength >= 0) {
    at = putColon(putText(at, KNOWN_HOST));
    at = putCrlf(putBytes(at, authorityAt, authorityLength));
    lines++;
  }
  if (protocolLength >= 0) {
    at = putColon(putText(at, KNOWN_UPGRADE));
    at = putCrlf(putBytes(at, protocolAt, protocolLength));
    at = putText(at, TEXT_CONNECTION_UPGRADE_LINE);
    store<i32>(H2_DECODED_FLAGS, load<i32>(H2_DECODED_FLAGS) | H2_DECODED_PROTOCOL);
  }
  cursor = at;
  bodyFollows = !connect && (kind & H2_END_STREAM) == 0;
}

/** Methods are case-sensitive. */
function isMethod(text: i32): bool {
  return methodLength == textLength(text) && equals(methodAt, textAt(text), methodLength);
}

/** An extended CONNECT (RFC 8441, 4): allowed, with an authority and a protocol that is one token. */
function upgrades(connect: bool): bool {
  const end = protocolAt + protocolLength;
  return connect && (kind & H2_ALLOW_PROTOCOL) != 0 && authorityLength >= 0 && findNonToken(protocolAt, end) == end;
}

function hasSchemeAndPath(): bool {
  if (schemeLength < 0 || pathLength < 0) return false;
  // Any scheme is taken, as in Envoy; nothing but this bit is made of it.
  if (findNonToken(schemeAt, schemeAt + schemeLength) != schemeAt + schemeLength) return false;
  if (isText(schemeAt, schemeLength, TEXT_HTTPS)) store<i32>(H2_DECODED_FLAGS, H2_DECODED_HTTPS);
  const first = load<u8>(pathAt);
  if (first == 0x2a) return pathLength == 1 && isMethod(TEXT_OPTIONS);
  return first == 0x2f && findTargetEnd(pathAt, pathAt + pathLength) == pathAt + pathLength;
}

function statusLine(): void {
  const status = statusLength == 3 ? <i32>parseDigits(statusAt, 3) : -1;
  // 101 does not exist here (RFC 9113, 8.6), and an interim answer ends nothing.
  const ended = (kind & H2_END_STREAM) != 0;
  if (status < 100 || status == 101 || (status < 200 && ended)) return fail(H2_ERROR_MALFORMED);
  const upgraded = (kind & H2_UPGRADE) != 0 && status >= 200 && status < 300;
  if (cursor + 96 > limit) return fail(H2_ERROR_TOO_LARGE);
  let at = putText(cursor, TEXT_VERSION);
  store<u8>(at++, 0x20);
  if (upgraded) {
    store<u32>(at, 0x20313031); // "101 "
  } else {
    store<u8>(at, load<u8>(statusAt));
    store<u16>(at + 1, load<u16>(statusAt + 1));
    store<u8>(at + 3, 0x20);
  }
  at = putCrlf(at + 4);
  if (upgraded) {
    at = putColon(putText(at, KNOWN_UPGRADE));
    at = putCrlf(putText(at, TEXT_WEBSOCKET));
    at = putText(at, TEXT_CONNECTION_UPGRADE_LINE);
  }
  cursor = at;
  bodyFollows = !ended && !upgraded && status >= 200 && status != 204 && status != 304;
}

/** A Host line: the authority where there is no `:authority`, else the same as that (RFC 9113, 8.3.1). */
function host(line: i32, value: i32, length: i32): void {
  if (hostSeen) return fail(H2_ERROR_MALFORMED);
  hostSeen = true;
  if ((kind & H2_REQUEST) == 0) return putLine(line, length + 8);
  if (authorityLength < 0) return putLine(line, length + 8);
  if (length != authorityLength || !equalsIgnoreCase(value, authorityAt, length)) fail(H2_ERROR_MALFORMED);
}

/** One of the crumbs that a cookie is sent in (RFC 9113, 8.2.3). */
function crumb(value: i32, length: i32): void {
  let at = cookieEnd == 0 ? H2_COOKIE_SCRATCH : cookieEnd;
  if (at + length + 20 > H2_COOKIE_SCRATCH + H2_COOKIE_SCRATCH_BYTES) return fail(H2_ERROR_TOO_LARGE);
  if (cookieEnd != 0) {
    store<u16>(at, 0x203b);
    at += 2;
  }
  cookieEnd = putBytes(at, value, length);
}

/** Of a head that is too large the method is kept, since an answer to HEAD has no body. */
function keepMethod(): void {
  const known = methodLength > 0 && methodLength <= MAX_METHOD_BYTES;
  store<u8>(known ? putBytes(start, methodAt, methodLength) : start, 0x20);
}

/** Ends the head: its length, or the verdict. */
export function endHead(): i32 {
  if (!begun && verdict == 0) beginLines();
  if (verdict == H2_ERROR_TOO_LARGE && (kind & H2_REQUEST) != 0) keepMethod();
  if (verdict != 0) return verdict;
  if ((kind & H2_TRAILERS) != 0) {
    store<i32>(RESP_GRPC_STATUS, grpcStatusIn(start, cursor));
    return cursor - start;
  }
  if ((kind & (H2_REQUEST | H2_END_STREAM)) == (H2_REQUEST | H2_END_STREAM) && contentLength > 0) return H2_ERROR_MALFORMED;
  if (cookieEnd != 0) {
    const length = cookieEnd - H2_COOKIE_SCRATCH;
    if (cursor + length + 10 > limit || ++lines > MAX_HEADERS) return H2_ERROR_TOO_LARGE;
    store<u64>(cursor, 0x203a65696b6f6f63); // "cookie: "
    cursor = putCrlf(putBytes(cursor + 8, H2_COOKIE_SCRATCH, length));
  }
  if (bodyFollows && contentLength < 0) cursor = putText(cursor, TEXT_CHUNKED_LINE);
  return putCrlf(cursor) - start;
}

/** What grpc-status says in lines, -1 where there is none. */
function grpcStatusIn(at: i32, end: i32): i32 {
  const length = textLength(KNOWN_GRPC_STATUS);
  while (at < end) {
    const lineEnd = findByte(at, end, 0x0d);
    if (at + length < lineEnd && load<u8>(at + length) == 0x3a && equals(at, textAt(KNOWN_GRPC_STATUS), length)) {
      const code = parseDigits(at + length + 2, lineEnd - at - length - 2);
      return code >= 0 && code <= 99 ? <i32>code : -1;
    }
    at = lineEnd + 2;
  }
  return -1;
}
