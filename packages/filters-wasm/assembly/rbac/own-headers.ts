// Access rules: headers that the connection manager writes before anybody decides, so that rules see what is forwarded.
import {
  CONNECTION_ADDRESS, CONNECTION_ADDRESS_LENGTH, CONNECTION_FLAGS, CONNECTION_LOCAL_PORT, CONNECTION_TLS, CONNECTION_XFCC_LENGTH,
  CONNECTION_XFCC_OFFSET, FORWARD_CLIENT_CERT_APPEND_FORWARD, FORWARD_CLIENT_CERT_SANITIZE_SET, LISTENER_FLAGS,
  LISTENER_FORWARDED_PORT, LISTENER_FORWARD_CLIENT_CERT, LISTENER_GENERATE_REQUEST_ID, LISTENER_SKIP_XFF_APPEND, LISTENER_USE_REMOTE_ADDRESS,
  REQ_HEADERS, REQ_HEADER_COUNT, VALUE_SCRATCH,
} from '../../src/layout';
import {
  OWN_CLIENT_CERT, OWN_FORWARDED_FOR, OWN_FORWARDED_PORT, OWN_FORWARDED_PROTO, OWN_LAST, OWN_REQUEST_ID,
} from '../../src/rbac/rbac-layout';
import {
  KNOWN_CLIENT_CERT, KNOWN_FORWARDED_FOR, KNOWN_FORWARDED_PROTO, KNOWN_REQUEST_ID, TEXT_FORWARDED_PORT, TEXT_HTTP, TEXT_HTTPS,
} from '../../src/table-layout';
import { equals } from '../ascii';
import { beginHeaders, findKnown, findNamed, joinKnown } from '../http1/header-table';
import { putUuid } from '../random';
import { putNumber, textAt, textLength } from '../texts';

/** The value that findOwnHeader found. */
export let ownAt: i32 = 0;
export let ownLength: i32 = 0;

/** The name (KNOWN_*, TEXT_*) of one of the OWN_* bits. */
export function knownOf(own: i32): i32 {
  if (own == OWN_FORWARDED_FOR) return KNOWN_FORWARDED_FOR;
  if (own == OWN_CLIENT_CERT) return KNOWN_CLIENT_CERT;
  if (own == OWN_FORWARDED_PORT) return TEXT_FORWARDED_PORT;
  return own == OWN_REQUEST_ID ? KNOWN_REQUEST_ID : KNOWN_FORWARDED_PROTO;
}

/** OWN_* of a name in lower case, 0 where the proxy never writes such a header. */
export function ownHeaderOf(name: i32, length: i32): i32 {
  for (let own = OWN_FORWARDED_FOR; own <= OWN_LAST; own <<= 1) {
    const known = knownOf(own);
    if (textLength(known) == length && equals(textAt(known), name, length)) return own;
  }
  return 0;
}

/** Whether the proxy itself writes the header into this request: then that is its one value. As in write-upstream-head. */
export function findOwnHeader(own: i32, listener: i32, connection: i32): bool {
  if (listener == 0 || connection == 0) return false;
  const options = load<i32>(listener + LISTENER_FLAGS);
  beginHeaders(REQ_HEADERS, load<i32>(REQ_HEADER_COUNT));
  if (own == OWN_FORWARDED_PROTO) {
    if (findKnown(KNOWN_FORWARDED_PROTO) != 0) return false;
    const text = (load<i32>(connection + CONNECTION_FLAGS) & CONNECTION_TLS) != 0 ? TEXT_HTTPS : TEXT_HTTP;
    return found(textAt(text), textLength(text));
  }
  if (own == OWN_REQUEST_ID) {
    if ((options & LISTENER_GENERATE_REQUEST_ID) == 0 || findKnown(KNOWN_REQUEST_ID) != 0) return false;
    // Nobody knows it yet; it is made when the head is written.
    putUuid(VALUE_SCRATCH);
    return found(VALUE_SCRATCH, 36);
  }
  if (own == OWN_FORWARDED_PORT) {
    const port = load<i32>(connection + CONNECTION_LOCAL_PORT);
    if ((options & LISTENER_FORWARDED_PORT) == 0 || port <= 0) return false;
    if (findNamed(textAt(TEXT_FORWARDED_PORT), textLength(TEXT_FORWARDED_PORT)) != 0) return false;
    return found(VALUE_SCRATCH, putNumber(VALUE_SCRATCH, port) - VALUE_SCRATCH);
  }
  if (own == OWN_FORWARDED_FOR) {
    const length = load<i32>(connection + CONNECTION_ADDRESS_LENGTH);
    if ((options & (LISTENER_USE_REMOTE_ADDRESS | LISTENER_SKIP_XFF_APPEND)) != LISTENER_USE_REMOTE_ADDRESS || length == 0) return false;
    return found(VALUE_SCRATCH, joinKnown(KNOWN_FORWARDED_FOR, connection + CONNECTION_ADDRESS, length, VALUE_SCRATCH));
  }
  const length = load<i32>(connection + CONNECTION_XFCC_LENGTH);
  const element = load<i32>(connection + CONNECTION_XFCC_OFFSET);
  const mode = load<i32>(listener + LISTENER_FORWARD_CLIENT_CERT);
  if (length == 0) return false;
  if (mode == FORWARD_CLIENT_CERT_SANITIZE_SET) return found(element, length);
  if (mode != FORWARD_CLIENT_CERT_APPEND_FORWARD) return false;
  return found(VALUE_SCRATCH, joinKnown(KNOWN_CLIENT_CERT, element, length, VALUE_SCRATCH));
}

@inline
function found(at: i32, length: i32): bool {
  ownAt = at;
  ownLength = length;
  return true;
}
