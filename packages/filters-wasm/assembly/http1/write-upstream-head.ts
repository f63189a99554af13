// The request head for the upstream: request line, kept lines, what the proxy adds, what the configuration changes.
import {
  BODY_CHUNKED, BODY_NONE, CONNECTION_ADDRESS, CONNECTION_ADDRESS_LENGTH, CONNECTION_FLAGS, CONNECTION_LOCAL_PORT, CONNECTION_TLS,
  CONNECTION_XFCC_LENGTH, CONNECTION_XFCC_OFFSET, FORWARD_CLIENT_CERT_APPEND_FORWARD,
  FORWARD_CLIENT_CERT_SANITIZE_SET, HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET, LISTENER_FLAGS,
  LISTENER_FORWARDED_PORT, LISTENER_FORWARD_CLIENT_CERT, LISTENER_GENERATE_REQUEST_ID, LISTENER_REQUEST_LINES_LENGTH,
  LISTENER_REQUEST_LINES_OFFSET, LISTENER_SERVICE_TIME, LISTENER_SKIP_XFF_APPEND, LISTENER_USE_REMOTE_ADDRESS, METHOD_CONNECT,
  METHOD_DELETE, METHOD_GET, METHOD_HEAD, METHOD_TRACE, REQ_AUTHORITY_LENGTH,
  REQ_AUTHORITY_OFFSET, REQ_BODY, REQ_FLAGS, REQ_HEADERS, REQ_HEADER_COUNT, REQ_HEAD_LENGTH, REQ_LINE_LENGTH,
  REQ_METHOD, REQ_METHOD_LENGTH, REQ_METHOD_OFFSET, REQ_MINOR_VERSION, REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
  REQ_REQUEST_ID_LENGTH, REQ_REQUEST_ID_OFFSET, REQUEST_ABSOLUTE_FORM, REQUEST_CONNECT, REQUEST_PATH_CHANGED,
  REQUEST_UPGRADE, ROUTE_CONFIG_TABLE, ROUTE_GENERATION, ROUTE_MATCHED_PREFIX_LENGTH, ROUTE_POLICY, ROUTE_TABLE,
  ROUTE_VIRTUAL_HOST_TABLE, ROUTE_WEIGHTED_TABLE, VALUE_SCRATCH,
} from '../../src/layout';
import {
  CONFIG_FLAGS, CONFIG_FLAG_MOST_SPECIFIC_WINS, CONFIG_MUTATIONS, CONFIG_MUTATION_COUNT, KNOWN_ATTEMPT_COUNT,
  KNOWN_CLIENT_CERT, KNOWN_CONTENT_LENGTH, KNOWN_FORWARDED_FOR, KNOWN_FORWARDED_PROTO, KNOWN_GRPC_TIMEOUT, KNOWN_HOST, KNOWN_ORIGINAL_PATH, KNOWN_REQUEST_ID,
  POLICY_FLAGS, POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST, ROUTE_ENTRY_FLAGS, ROUTE_ENTRY_FLAG_APPEND_HOST, ROUTE_ENTRY_FLAG_HOST_FROM_HEADER,
  ROUTE_ENTRY_HOST_LENGTH, ROUTE_ENTRY_HOST_OFFSET,
  ROUTE_ENTRY_MUTATIONS, ROUTE_ENTRY_MUTATION_COUNT, ROUTE_ENTRY_REGEX_REWRITE, ROUTE_ENTRY_REWRITE_LENGTH,
  ROUTE_ENTRY_REWRITE_OFFSET, TEXT_CHUNKED_LINE, TEXT_CONNECTION_UPGRADE_LINE, TEXT_FORWARDED_HOST, TEXT_FORWARDED_PORT, TEXT_HTTP, TEXT_HTTPS,
  TEXT_NO_BODY_LINE, TEXT_VERSION_LINE_END, VIRTUAL_HOST_MUTATIONS, VIRTUAL_HOST_MUTATION_COUNT, WEIGHTED_HOST_LENGTH,
  WEIGHTED_HOST_OFFSET, WEIGHTED_MUTATIONS, WEIGHTED_MUTATION_COUNT,
} from '../../src/table-layout';
import {
  LIMIT_MUTATIONS, QUOTA_EXCEEDED, QUOTA_EXCEEDED_COUNT, QUOTA_MUTATIONS, ROUTE_LIMITED, ROUTE_LIMITED_COUNT,
} from '../../src/filter-layout';
import {
  addKnown, addedBytes, applyMutations, authorityAt, authorityLength, beginHeaders, findKnown, findNamed, joinKnown, joinNamed,
  overwrite,  putHeaders, replaceKnown,
} from './header-table';
import { chooseTimeouts, putGrpcTimeout } from '../grpc/grpc-request';
import { isAuthority } from './target';
import { isExternal } from '../decide/balancing/load-balance';
import { putUuid } from '../random';
import { rewritePath } from '../decide/regex-rewrite';
import { generation } from '../decide/route-match';
import { putBytes, putColon, putCrlf, putNumber, putText, textAt, textLength } from '../texts';

/** Fixed texts and the over-run of wide stores, on top of what is counted. */
const SLACK = 256;

let scratch: i32 = 0;
let pathAt: i32 = 0;
let pathLength: i32 = 0;
let hostAt: i32 = 0;
let hostLength: i32 = 0;
let listenerAt: i32 = 0;
/** The Host is the one that the route as a whole says, not one of its clusters. */
let isHostOfRoute: bool = false;

/** See core-functions.ts. */
export function writeUpstreamHead(out: i32, capacity: i32, listener: i32, connection: i32, cluster: i32): i32 {
  if (load<i32>(ROUTE_GENERATION) != generation()) return -1;
  const flags = load<i32>(REQ_FLAGS);
  const policy = load<i32>(ROUTE_POLICY);
  const external = isExternal(cluster);
  scratch = VALUE_SCRATCH;
  listenerAt = listener;
  beginHeaders(REQ_HEADERS, load<i32>(REQ_HEADER_COUNT));
  addProxyHeaders(listener, connection);
  const grpcTimeout = chooseTimeouts(policy);
  if (grpcTimeout > 0) {
    replaceKnown(KNOWN_GRPC_TIMEOUT);
    const end = putGrpcTimeout(scratch, grpcTimeout);
    addKnown(KNOWN_GRPC_TIMEOUT, scratch, end - scratch);
    scratch = end;
  }
  if (!choosePathAndHost()) return 0;
  mutate();
  const attemptCount = policy != 0 && (load<i32>(policy + POLICY_FLAGS) & POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST) != 0;
  if (attemptCount) replaceKnown(KNOWN_ATTEMPT_COUNT);
  const lines = external || listener == 0 ? 0 : load<i32>(listener + LISTENER_REQUEST_LINES_LENGTH);
  const hostChanged = hostLength > 0 || (flags & (REQUEST_ABSOLUTE_FORM | REQUEST_CONNECT)) != 0;
  // The host may stand in the request line as well.
  const needed = load<i32>(REQ_HEAD_LENGTH) + addedBytes + pathLength + 2 * hostLength + authorityLengthOf(flags) + lines + SLACK;
  if (needed > capacity) return 0;

  let at = putRequestLine(out, flags);
  if (hostChanged) {
    replaceKnown(KNOWN_HOST);
    at = putHost(at);
  }
  at = putHeaders(at);
  const body = load<i32>(REQ_BODY);
  if (body == BODY_CHUNKED) at = putText(at, TEXT_CHUNKED_LINE);
  else if (body == BODY_NONE && saysThatNothingFollows()) at = putText(at, TEXT_NO_BODY_LINE);
  if ((flags & REQUEST_UPGRADE) != 0) at = putText(at, TEXT_CONNECTION_UPGRADE_LINE);
  if (lines > 0) at = putBytes(at, listener + load<i32>(listener + LISTENER_REQUEST_LINES_OFFSET), lines);
  if (attemptCount) {
    at = putColon(putText(at, KNOWN_ATTEMPT_COUNT));
    store<u8>(at, 0x31);
    at = putCrlf(at + 1);
  }
  return putCrlf(at) - out;
}

/** A method for which a body is usual says that it has none (RFC 9110, 8.6); the methods are those of Envoy's HTTP/1.1 codec. */
@inline
function saysThatNothingFollows(): bool {
  switch (load<i32>(REQ_METHOD)) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_DELETE:
    case METHOD_TRACE:
    case METHOD_CONNECT:
      return false;
    default:
      return findKnown(KNOWN_CONTENT_LENGTH) == 0;
  }
}

/** See core-functions.ts. The attempt count is the last line: back over CRLF CRLF and its digits. */
export function setAttemptCount(head: i32, length: i32, attempt: i32): i32 {
  const end = head + length;
  if (length < 6 || load<u32>(end - 4) != 0x0a0d0a0d) return length;
  let at = end - 4;
  while (at > head && load<u8>(at - 1) - 0x30 <= 9) at--;
  // A head without the header ends in something else than `count: digits`.
  if (at == end - 4 || load<u16>(at - 2) != 0x203a) return length;
  at = putNumber(at, attempt < 0 ? 0 : attempt > 999 ? 999 : attempt);
  store<u32>(at, 0x0a0d0a0d);
  return at + 4 - head;
}

/** What the connection manager sets before routes change anything. */
function addProxyHeaders(listener: i32, connection: i32): void {
  const options = listener == 0 ? 0 : load<i32>(listener + LISTENER_FLAGS);
  if ((options & LISTENER_GENERATE_REQUEST_ID) != 0 && findKnown(KNOWN_REQUEST_ID) == 0) {
    putUuid(scratch);
    store<i32>(REQ_REQUEST_ID_OFFSET, scratch);
    store<i32>(REQ_REQUEST_ID_LENGTH, 36);
    addKnown(KNOWN_REQUEST_ID, scratch, 36);
    scratch += 40;
  }
  if (listener != 0 && findKnown(KNOWN_FORWARDED_PROTO) == 0) {
    const tls = connection != 0 && (load<i32>(connection + CONNECTION_FLAGS) & CONNECTION_TLS) != 0;
    const text = tls ? TEXT_HTTPS : TEXT_HTTP;
    addKnown(KNOWN_FORWARDED_PROTO, textAt(text), textLength(text));
  }
  const append = (options & (LISTENER_USE_REMOTE_ADDRESS | LISTENER_SKIP_XFF_APPEND)) == LISTENER_USE_REMOTE_ADDRESS;
  if (connection == 0) {
    // Without the client's address the list would be what the client wrote.
    if (append) replaceKnown(KNOWN_FORWARDED_FOR);
    return;
  }
  const addressLength = load<i32>(connection + CONNECTION_ADDRESS_LENGTH);
  if (append && addressLength > 0) {
    const length = joinKnown(KNOWN_FORWARDED_FOR, connection + CONNECTION_ADDRESS, addressLength, scratch);
    replaceKnown(KNOWN_FORWARDED_FOR);
    addKnown(KNOWN_FORWARDED_FOR, scratch, length);
    scratch += length;
  }
  if ((options & LISTENER_FORWARDED_PORT) != 0) addForwardedPort(connection);
  addClientCert(listener, connection);
}

/** x-forwarded-port, unless who came before has set it; parseRequest has removed what must not be trusted. */
function addForwardedPort(connection: i32): void {
  const port = load<i32>(connection + CONNECTION_LOCAL_PORT);
  if (port <= 0 || findNamed(textAt(TEXT_FORWARDED_PORT), textLength(TEXT_FORWARDED_PORT)) != 0) return;
  const end = putNumber(scratch, port);
  overwrite(TEXT_FORWARDED_PORT, scratch, end - scratch);
  scratch = end;
}

/** x-forwarded-client-cert; parseRequest has removed what must not be trusted. */
function addClientCert(listener: i32, connection: i32): void {
  const elementLength = load<i32>(connection + CONNECTION_XFCC_LENGTH);
  if (listener == 0 || elementLength == 0) return;
  const mode = load<i32>(listener + LISTENER_FORWARD_CLIENT_CERT);
  const element = load<i32>(connection + CONNECTION_XFCC_OFFSET);
  if (mode == FORWARD_CLIENT_CERT_SANITIZE_SET) {
    addKnown(KNOWN_CLIENT_CERT, element, elementLength);
  } else if (mode == FORWARD_CLIENT_CERT_APPEND_FORWARD) {
    const length = joinKnown(KNOWN_CLIENT_CERT, element, elementLength, scratch);
    replaceKnown(KNOWN_CLIENT_CERT);
    addKnown(KNOWN_CLIENT_CERT, scratch, length);
    scratch += length;
  }
}

/** Rewrites of the route: prefix, expression or whole path, literal host. False where a rewrite has no room. */
function choosePathAndHost(): bool {
  pathAt = load<i32>(REQ_PATH_OFFSET);
  pathLength = load<i32>(REQ_PATH_LENGTH);
  hostLength = 0;
  isHostOfRoute = false;
  const entry = load<i32>(ROUTE_TABLE);
  if (entry == 0) return true;
  const table = load<i32>(ROUTE_CONFIG_TABLE);
  // The target of a CONNECT is its host.
  if ((load<i32>(REQ_FLAGS) & REQUEST_CONNECT) == 0 && !rewriteTarget(table, entry)) return false;
  const weighted = load<i32>(ROUTE_WEIGHTED_TABLE);
  if (weighted != 0 && load<i32>(weighted + WEIGHTED_HOST_LENGTH) >= 0) {
    hostAt = table + load<i32>(weighted + WEIGHTED_HOST_OFFSET);
    hostLength = load<i32>(weighted + WEIGHTED_HOST_LENGTH);
  } else if (load<i32>(entry + ROUTE_ENTRY_HOST_LENGTH) >= 0 && !takesHostFromHeader(entry)) {
    hostAt = table + load<i32>(entry + ROUTE_ENTRY_HOST_OFFSET);
    hostLength = load<i32>(entry + ROUTE_ENTRY_HOST_LENGTH);
    isHostOfRoute = true;
  }
  return true;
}

/** The path as the route rewrites it. */
function rewriteTarget(table: i32, entry: i32): bool {
  const rewriteLength = load<i32>(entry + ROUTE_ENTRY_REWRITE_LENGTH);
  const regexRewrite = load<i32>(entry + ROUTE_ENTRY_REGEX_REWRITE);
  if (rewriteLength < 0 && regexRewrite == 0) return true;
  const start = scratch;
  if (regexRewrite != 0) {
    const end = rewritePath(table, table + regexRewrite, scratch, true);
    if (end == 0) return false;
    scratch = end;
  } else {
    const kept = load<i32>(ROUTE_MATCHED_PREFIX_LENGTH);
    scratch = putBytes(scratch, table + load<i32>(entry + ROUTE_ENTRY_REWRITE_OFFSET), rewriteLength);
    scratch = putBytes(scratch, pathAt + kept, pathLength - kept);
  }
  // All that matched may be gone: a target still begins with a slash.
  if (scratch == start || load<u8>(start) != 0x2f) {
    memory.copy(start + 1, start, scratch - start);
    store<u8>(start, 0x2f);
    scratch++;
  }
  if (listenerAt == 0 || (load<i32>(listenerAt + LISTENER_FLAGS) & LISTENER_SERVICE_TIME) != 0) {
    replaceKnown(KNOWN_ORIGINAL_PATH);
    addKnown(KNOWN_ORIGINAL_PATH, pathAt, pathLength);
  }
  pathAt = start;
  pathLength = scratch - start;
  return true;
}

/** Mutations from the inside out (weighted cluster, route, virtual host, configuration), or as the configuration says. */
function mutate(): void {
  // Filters stand before the router.
  for (let i = 0, limited = load<i32>(ROUTE_LIMITED_COUNT); i < limited; i++) {
    const limit = load<i32>(ROUTE_LIMITED + (i << 2));
    apply(limit, limit + LIMIT_MUTATIONS);
  }
  for (let i = 0, exceeded = load<i32>(QUOTA_EXCEEDED_COUNT); i < exceeded; i++) {
    const quota = load<i32>(QUOTA_EXCEEDED + (i << 2));
    apply(quota, quota + QUOTA_MUTATIONS);
  }
  const table = load<i32>(ROUTE_CONFIG_TABLE);
  if (table == 0) return;
  const weighted = load<i32>(ROUTE_WEIGHTED_TABLE);
  const entry = load<i32>(ROUTE_TABLE);
  const host = load<i32>(ROUTE_VIRTUAL_HOST_TABLE);
  const outermostFirst = (load<i32>(table + CONFIG_FLAGS) & CONFIG_FLAG_MOST_SPECIFIC_WINS) != 0;
  if (outermostFirst) {
    apply(table, table + CONFIG_MUTATIONS);
    if (host != 0) apply(table, host + VIRTUAL_HOST_MUTATIONS);
    if (entry != 0) apply(table, entry + ROUTE_ENTRY_MUTATIONS);
  }
  if (weighted != 0) apply(table, weighted + WEIGHTED_MUTATIONS);
  if (!outermostFirst) {
    if (entry != 0) apply(table, entry + ROUTE_ENTRY_MUTATIONS);
    if (host != 0) apply(table, host + VIRTUAL_HOST_MUTATIONS);
    apply(table, table + CONFIG_MUTATIONS);
  }
  if (authorityLength > 0) {
    hostAt = authorityAt;
    hostLength = authorityLength;
  } else if (hostLength == 0 && entry != 0 && takesHostFromHeader(entry)) {
    const header = findNamed(table + load<i32>(entry + ROUTE_ENTRY_HOST_OFFSET), load<i32>(entry + ROUTE_ENTRY_HOST_LENGTH));
    // Only what may be a Host: the value can be the client's.
    if (header != 0 && isAuthority(load<i32>(header + HEADER_VALUE_OFFSET), load<i32>(header + HEADER_VALUE_LENGTH))) {
      hostAt = load<i32>(header + HEADER_VALUE_OFFSET);
      hostLength = load<i32>(header + HEADER_VALUE_LENGTH);
      isHostOfRoute = true;
    }
  }
  if (isHostOfRoute && authorityLength == 0 && (load<i32>(entry + ROUTE_ENTRY_FLAGS) & ROUTE_ENTRY_FLAG_APPEND_HOST) != 0) addForwardedHost();
}

/** x-forwarded-host: what the Host was before the route has rewritten it, behind what others have said; not twice in a row. */
function addForwardedHost(): void {
  if (load<i32>(REQ_AUTHORITY_LENGTH) == 0) return;
  const length = joinNamed(TEXT_FORWARDED_HOST, load<i32>(REQ_AUTHORITY_OFFSET), load<i32>(REQ_AUTHORITY_LENGTH), scratch);
  if (length == 0) return;
  overwrite(TEXT_FORWARDED_HOST, scratch, length);
  scratch += length;
}

@inline
function takesHostFromHeader(entry: i32): bool {
  return (load<i32>(entry + ROUTE_ENTRY_FLAGS) & ROUTE_ENTRY_FLAG_HOST_FROM_HEADER) != 0;
}

/** `place` holds a relative offset and, after it, a count. */
@inline
function apply(table: i32, place: i32): void {
  const count = load<i32>(place + 4);
  if (count > 0) applyMutations(table, table + load<i32>(place), count);
}

function putRequestLine(out: i32, flags: i32): i32 {
  const method = load<i32>(REQ_METHOD_OFFSET);
  if (
    (flags & (REQUEST_ABSOLUTE_FORM | REQUEST_PATH_CHANGED | REQUEST_CONNECT)) == 0 &&
    pathAt == load<i32>(REQ_PATH_OFFSET) && load<i32>(REQ_MINOR_VERSION) == 1
  ) {
    return putBytes(out, method, load<i32>(REQ_LINE_LENGTH));
  }
  let at = putBytes(out, method, load<i32>(REQ_METHOD_LENGTH));
  store<u8>(at++, 0x20);
  if ((flags & REQUEST_CONNECT) != 0) {
    at = putAuthority(at);
  } else {
    at = putBytes(at, pathAt, pathLength);
  }
  return putText(at, TEXT_VERSION_LINE_END);
}

function putHost(out: i32): i32 {
  return putCrlf(putAuthority(putColon(putText(out, KNOWN_HOST))));
}

/** The request's authority, as the route rewrites it. */
function putAuthority(at: i32): i32 {
  if (hostLength > 0) return putBytes(at, hostAt, hostLength);
  return putBytes(at, load<i32>(REQ_AUTHORITY_OFFSET), load<i32>(REQ_AUTHORITY_LENGTH));
}

/** What a Host line that the client did not write adds. */
@inline
function authorityLengthOf(flags: i32): i32 {
  return (flags & REQUEST_CONNECT) != 0 ? load<i32>(REQ_AUTHORITY_LENGTH) : 0;
}
