// The response head for the client, and complete local answers.
import {
  BODY_CHUNKED, BODY_UNTIL_CLOSE, DATE_TEXT, DATE_TEXT_LENGTH, HEAD_LINES, HEAD_LINES_LENGTH, HEAD_LINES_TYPED, LISTENER_FLAGS, LISTENER_RESPONSE_LINES_LENGTH,
  LISTENER_RESPONSE_LINES_OFFSET, LISTENER_SERVER_IF_ABSENT, LISTENER_SERVER_LENGTH, LISTENER_SERVER_OFFSET,
  LISTENER_SERVER_OVERWRITE, LISTENER_SERVICE_TIME, RESP_BODY, RESP_FLAGS, RESP_GRPC_STATUS, RESP_HEADERS,
  RESP_HEADER_COUNT, RESP_HEAD_LENGTH, RESP_HEAD_OFFSET, RESP_LINE_LENGTH, RESP_STATUS, RESPONSE_NO_LENGTH, RESPONSE_UPGRADE,
  STATUS_TEXTS, VALUE_SCRATCH, VALUE_SCRATCH_BYTES,
} from '../../src/layout';
import {
  KNOWN_ATTEMPT_COUNT, KNOWN_CONTENT_LENGTH, KNOWN_CONTENT_TYPE, KNOWN_DATE, KNOWN_GRPC_STATUS, KNOWN_SERVER,
  KNOWN_SERVICE_TIME, POLICY_FLAGS,
  POLICY_FLAG_ATTEMPT_COUNT_IN_RESPONSE, POLICY_RESPONSE_MUTATIONS, POLICY_RESPONSE_MUTATION_COUNT,
  TEXT_ALLOW_ORIGIN, TEXT_CHUNKED_LINE, TEXT_CONNECTION_CLOSE_LINE, TEXT_CONNECTION_KEEP_ALIVE_LINE,
  TEXT_CONNECTION_UPGRADE_LINE, TEXT_GRPC, TEXT_GRPC_MESSAGE, TEXT_LOCATION, TEXT_TEXT_PLAIN_LINE, TEXT_UNKNOWN_REASON,
  TEXT_VERSION,
} from '../../src/table-layout';
import {
  HASHES_FIRST, HASH_AFTER_LENGTH, HASH_AFTER_OFFSET, HASH_BEFORE_LENGTH, HASH_BEFORE_OFFSET, HASH_BYTES,
  HASH_SET_COOKIE_LENGTH, HASH_SET_COOKIE_OFFSET, POLICY_HASHES, SET_COOKIES, SET_COOKIES_CONNECTION,
} from '../../src/compile/hashing/hash-layout';
import { CORS_MUTATIONS, SHARE_COUNT, SHARE_ORIGIN, SHARE_ORIGIN_LENGTH, SHARE_POLICY } from '../../src/filter-layout';
import { hashName } from '../ascii';
import { putCookieValue } from '../decide/request-hash';
import { add, addKnown, addedBytes, applyMutations, beginHeaders, findKnown, findNamed, overwrite, putHeaders, replaceKnown } from './header-table';
import { grpcStatusOf, putGrpcMessage } from '../grpc/grpc-status';
import { putBytes, putColon, putCrlf, putNumber, putText, textAt, textLength } from '../texts';

/** Mirrors of DOWNSTREAM_* in core-functions.ts. */
const CLOSE = 1;
const HTTP_10 = 2;
const PEER_LINES = 4;
const HEAD = 8;
const HTTP_2 = 16;
const GRPC = 32;
const GRPC_STATUS_SHIFT = 8;
/** Of `content-type`, with which TEXT_TEXT_PLAIN_LINE begins. */
const CONTENT_TYPE_LENGTH = 12;
/** Fixed texts and the over-run of wide stores, on top of what is counted. */
const SLACK = 320;

/** See core-functions.ts. */
export function writeDownstreamHead(
  out: i32, capacity: i32, listener: i32, policy: i32, flags: i32, serviceTimeMs: i32, attempts: i32,
): i32 {
  let scratch = VALUE_SCRATCH;
  const options = listener == 0 ? 0 : load<i32>(listener + LISTENER_FLAGS);
  beginHeaders(RESP_HEADERS, load<i32>(RESP_HEADER_COUNT));
  if (serviceTimeMs >= 0 && (options & LISTENER_SERVICE_TIME) != 0) {
    replaceKnown(KNOWN_SERVICE_TIME);
    const end = putNumber(scratch, serviceTimeMs);
    addKnown(KNOWN_SERVICE_TIME, scratch, end - scratch);
    scratch = end;
  }
  if (policy != 0) {
    if ((load<i32>(policy + POLICY_FLAGS) & POLICY_FLAG_ATTEMPT_COUNT_IN_RESPONSE) != 0) {
      replaceKnown(KNOWN_ATTEMPT_COUNT);
      const end = putNumber(scratch, attempts);
      addKnown(KNOWN_ATTEMPT_COUNT, scratch, end - scratch);
      scratch = end;
    }
    applyResponseMutations(policy);
    if (load<i32>(SET_COOKIES) != 0) addCookies(policy, scratch);
  }
  if (load<i32>(SHARE_POLICY) != 0) addSharing();
  addServerAndDate(listener, options);
  const lines = (flags & PEER_LINES) != 0 && listener != 0 ? load<i32>(listener + LISTENER_RESPONSE_LINES_LENGTH) : 0;
  const more = load<i32>(HEAD_LINES_LENGTH);
  if (load<i32>(RESP_HEAD_LENGTH) + addedBytes + lines + more + SLACK > capacity) return 0;

  let at = putText(out, TEXT_VERSION);
  at = putBytes(at, load<i32>(RESP_HEAD_OFFSET) + 8, load<i32>(RESP_LINE_LENGTH) - 8);
  at = putHeaders(at);
  if (lines > 0) at = putBytes(at, listener + load<i32>(listener + LISTENER_RESPONSE_LINES_OFFSET), lines);
  if (more > 0) at = putBytes(at, HEAD_LINES, more);
  const body = load<i32>(RESP_BODY);
  const http10 = (flags & HTTP_10) != 0;
  if (body == BODY_CHUNKED && !http10) at = putText(at, TEXT_CHUNKED_LINE);
  const response = load<i32>(RESP_FLAGS);
  if ((response & RESPONSE_NO_LENGTH) != 0 && (flags & HTTP_2) == 0) {
    at = putColon(putText(at, KNOWN_CONTENT_LENGTH));
    at = putCrlf(putNumber(at, 0));
  }
  if ((response & RESPONSE_UPGRADE) != 0) {
    // What a CONNECT is answered with says nothing of the connection.
    if (load<i32>(RESP_STATUS) == 101) at = putText(at, TEXT_CONNECTION_UPGRADE_LINE);
  } else {
    const close = (flags & CLOSE) != 0 || body == BODY_UNTIL_CLOSE || (http10 && body == BODY_CHUNKED);
    if (close) at = putText(at, TEXT_CONNECTION_CLOSE_LINE);
    else if (http10) at = putText(at, TEXT_CONNECTION_KEEP_ALIVE_LINE);
  }
  return putCrlf(at) - out;
}

/** See core-functions.ts. */
export function writeLocalReply(
  out: i32, capacity: i32, listener: i32, policy: i32, flags: i32, status: i32, body: i32, bodyLength: i32,
  location: i32, locationLength: i32,
): i32 {
  const options = listener == 0 ? 0 : load<i32>(listener + LISTENER_FLAGS);
  const grpc = (flags & GRPC) != 0;
  beginHeaders(RESP_HEADERS, 0);
  if (locationLength > 0) addKnown(TEXT_LOCATION, location, locationLength);
  store<i32>(RESP_GRPC_STATUS, -1);
  if (grpc) {
    if (!addGrpcStatus(flags, status, body, bodyLength)) return 0;
    bodyLength = 0;
    status = 200;
  }
  if (policy != 0) applyResponseMutations(policy);
  if (load<i32>(SHARE_POLICY) != 0) addSharing();
  addServerAndDate(listener, options);
  const lines = (flags & PEER_LINES) != 0 && listener != 0 ? load<i32>(listener + LISTENER_RESPONSE_LINES_LENGTH) : 0;
  const more = load<i32>(HEAD_LINES_LENGTH);
  // 204 and 304 must not announce a body; what HTTP/2 sends of gRPC has none and does not say so.
  const bodied = status >= 200 && status != 204 && status != 304;
  const written = bodied && (flags & HEAD) == 0 ? bodyLength : 0;
  if (addedBytes + lines + more + written + SLACK > capacity) return 0;

  let at = putText(out, TEXT_VERSION);
  store<u8>(at++, 0x20);
  at = putNumber(at, status);
  store<u8>(at++, 0x20);
  at = putReason(at, status);
  at = putCrlf(at);
  if (bodied && !(grpc && (flags & HTTP_2) != 0)) {
    at = putColon(putText(at, KNOWN_CONTENT_LENGTH));
    at = putCrlf(putNumber(at, bodyLength));
    // As in Envoy, a type that the route sets takes the place of the usual one.
    const typed = (more > 0 && load<i32>(HEAD_LINES_TYPED) != 0) || findNamed(textAt(TEXT_TEXT_PLAIN_LINE), CONTENT_TYPE_LENGTH) != 0;
    if (bodyLength > 0 && !typed) at = putText(at, TEXT_TEXT_PLAIN_LINE);
  }
  at = putHeaders(at);
  if (lines > 0) at = putBytes(at, listener + load<i32>(listener + LISTENER_RESPONSE_LINES_OFFSET), lines);
  if (more > 0) at = putBytes(at, HEAD_LINES, more);
  if ((flags & CLOSE) != 0) at = putText(at, TEXT_CONNECTION_CLOSE_LINE);
  else if ((flags & HTTP_10) != 0) at = putText(at, TEXT_CONNECTION_KEEP_ALIVE_LINE);
  at = putCrlf(at);
  if (written > 0) at = putBytes(at, body, written);
  return at - out;
}

/** Trailers alone: what an answer to gRPC says instead of a status and a body. False where the body is too long for a header. */
function addGrpcStatus(flags: i32, status: i32, body: i32, bodyLength: i32): bool {
  const code = (flags >> GRPC_STATUS_SHIFT) - 1;
  const chosen = code >= 0 ? code : grpcStatusOf(status);
  store<i32>(RESP_GRPC_STATUS, chosen);
  addKnown(KNOWN_CONTENT_TYPE, textAt(TEXT_GRPC), textLength(TEXT_GRPC));
  const number = VALUE_SCRATCH;
  const numberEnd = putNumber(number, chosen);
  addKnown(KNOWN_GRPC_STATUS, number, numberEnd - number);
  if (bodyLength == 0 || (flags & HEAD) != 0) return true;
  if (bodyLength * 3 + 64 > VALUE_SCRATCH_BYTES) return false;
  const end = putGrpcMessage(numberEnd, body, bodyLength);
  addKnown(TEXT_GRPC_MESSAGE, numberEnd, end - numberEnd);
  return true;
}

function putReason(out: i32, status: i32): i32 {
  const text = status >= 100 && status < 600 ? load<i32>(STATUS_TEXTS + (status - 100) * 4) : 0;
  return text == 0 ? putText(out, TEXT_UNKNOWN_REASON) : putBytes(out, text >> 8, text & 0xff);
}

function applyResponseMutations(policy: i32): void {
  const count = load<i32>(policy + POLICY_RESPONSE_MUTATION_COUNT);
  if (count > 0) applyMutations(policy, policy + load<i32>(policy + POLICY_RESPONSE_MUTATIONS), count);
}

/** What SHARE_* says, in place of what the upstream says of it. */
function addSharing(): void {
  const policy = load<i32>(SHARE_POLICY);
  overwrite(TEXT_ALLOW_ORIGIN, SHARE_ORIGIN, load<i32>(SHARE_ORIGIN_LENGTH));
  applyMutations(policy, policy + load<i32>(policy + CORS_MUTATIONS), load<i32>(SHARE_COUNT));
}

/** The cookies that were made to choose the endpoint. */
function addCookies(policy: i32, scratch: i32): void {
  const cookies = load<i32>(SET_COOKIES);
  const list = policy + load<i32>(policy + POLICY_HASHES);
  for (let i = 0, count = load<i32>(list); i < count; i++) {
    if ((cookies & (1 << i)) == 0) continue;
    const entry = list + HASHES_FIRST + i * HASH_BYTES;
    const start = scratch;
    scratch = putBytes(scratch, policy + load<i32>(entry + HASH_BEFORE_OFFSET), load<i32>(entry + HASH_BEFORE_LENGTH));
    scratch = putCookieValue(scratch, load<i32>(SET_COOKIES_CONNECTION));
    scratch = putBytes(scratch, policy + load<i32>(entry + HASH_AFTER_OFFSET), load<i32>(entry + HASH_AFTER_LENGTH));
    const name = policy + load<i32>(entry + HASH_SET_COOKIE_OFFSET);
    const length = load<i32>(entry + HASH_SET_COOKIE_LENGTH);
    add(name, length, hashName(name, length), start, scratch - start);
  }
}

function addServerAndDate(listener: i32, options: i32): void {
  const overwrite = (options & LISTENER_SERVER_OVERWRITE) != 0;
  if (overwrite || ((options & LISTENER_SERVER_IF_ABSENT) != 0 && findKnown(KNOWN_SERVER) == 0)) {
    replaceKnown(KNOWN_SERVER);
    addKnown(KNOWN_SERVER, listener + load<i32>(listener + LISTENER_SERVER_OFFSET), load<i32>(listener + LISTENER_SERVER_LENGTH));
  }
  if (findKnown(KNOWN_DATE) == 0) addKnown(KNOWN_DATE, DATE_TEXT, DATE_TEXT_LENGTH);
}
