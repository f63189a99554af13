// Access rules: single tests, each made at most once for a request, whatever the number of rules that ask for it.
import {
  CONNECTION_FLAGS, CONNECTION_PEER, CONNECTION_PRINCIPAL_LENGTH, CONNECTION_PRINCIPAL_OFFSET, CONNECTION_TLS, REQUEST_CONNECT,
  REQ_FLAGS, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
} from '../../src/layout';
import {
  PEER_LOCAL, PEER_LOCAL_FAMILY, PEER_LOCAL_PORT, PEER_NAMES, PEER_NAME_COUNT, PEER_REMOTE, PEER_REMOTE_FAMILY,
  PEER_SERVER_NAME, PEER_SERVER_NAME_LENGTH, RBAC_KEY, RBAC_MAX_TESTS, RBAC_REMOTE, RBAC_TESTED, SUBJECT_CLAIM,
  SUBJECT_DIRECT_ADDRESS, SUBJECT_LOCAL_ADDRESS, SUBJECT_LOCAL_PORT, SUBJECT_NAME, SUBJECT_PATH, SUBJECT_PRINCIPAL,
  SUBJECT_REMOTE_ADDRESS, SUBJECT_SERVER_NAME, SUBJECT_SPIFFE_PATH, SUBJECT_TLS, TEST_BITS, TEST_END_PORT, TEST_FAMILY, TEST_FIRST_PORT,
  TEST_MATCHER, TEST_NUMBER, TEST_OCTETS, TEST_SUBJECT,
} from '../../src/rbac/rbac-layout';
import {
  MATCHER_KIND, MATCHER_NAME_LENGTH, MATCHER_NAME_OFFSET, MATCHER_PRESENT, MATCHER_PSEUDO, PSEUDO_PATH,
} from '../../src/table-layout';
import { equals } from '../ascii';
import { matchClaim, matchHeaderIndividually, matchText } from '../decide/header-match';
import { putNetwork, readRemoteAddress } from './addresses';
import { findOwnHeader, ownAt, ownHeaderOf, ownLength } from './own-headers';
import { beforeSpiffePath } from './spiffe';

/** What the check at hand is about. */
export let atRules: i32 = 0;
export let atListener: i32 = 0;
export let atConnection: i32 = 0;
/** The connection's PEER_* record. */
export let atPeer: i32 = 0;
export let isSecure: i32 = 0;
let remoteKnown: bool = false;
/** Counts checks; see RBAC_TESTED. */
let check: i32 = 0;

export function beginCheck(rules: i32, listener: i32, connection: i32, secure: i32): void {
  atRules = rules;
  atListener = listener;
  atConnection = connection;
  atPeer = load<i32>(connection + CONNECTION_PEER);
  isSecure = secure;
  remoteKnown = false;
  check++;
  if (check == 0x40000000) {
    memory.fill(RBAC_TESTED, 0, RBAC_MAX_TESTS << 2);
    check = 1;
  }
}

/** Fills RBAC_REMOTE, once. */
export function needRemote(): void {
  if (remoteKnown) return;
  remoteKnown = true;
  readRemoteAddress(atListener, atConnection);
}

/** Whether a test holds; what was found is remembered for this check. */
export function testHolds(rules: i32, test: i32): bool {
  const place = RBAC_TESTED + (load<i32>(test + TEST_NUMBER) << 2);
  const tested = load<i32>(place);
  if (tested >> 1 == check) return (tested & 1) != 0;
  const result = make(rules, test);
  store<i32>(place, (check << 1) | <i32>result);
  return result;
}

/** A test of one value of its subject. */
export function textPasses(rules: i32, test: i32, at: i32, length: i32): bool {
  if (load<i32>(test + TEST_SUBJECT) == SUBJECT_LOCAL_PORT) return portPasses(test, load<i32>(at));
  const matcher = rules + load<i32>(test + TEST_MATCHER);
  return load<i32>(matcher + MATCHER_KIND) == MATCHER_PRESENT || matchText(rules, matcher, at, length);
}

function make(rules: i32, test: i32): bool {
  const subject = load<i32>(test + TEST_SUBJECT);
  if (subject == SUBJECT_PATH) {
    if ((load<i32>(REQ_FLAGS) & REQUEST_CONNECT) != 0) return false;
    return textPasses(rules, test, load<i32>(REQ_PATH_OFFSET), load<i32>(REQ_PATH_ONLY_LENGTH));
  }
  if (subject == SUBJECT_NAME) return somePasses(rules, test, false);
  if (subject == SUBJECT_SPIFFE_PATH) return somePasses(rules, test, true);
  if (subject == SUBJECT_TLS) return (load<i32>(atConnection + CONNECTION_FLAGS) & CONNECTION_TLS) != 0;
  if (subject == SUBJECT_PRINCIPAL) {
    const length = load<i32>(atConnection + CONNECTION_PRINCIPAL_LENGTH);
    return length > 0 && textPasses(rules, test, load<i32>(atConnection + CONNECTION_PRINCIPAL_OFFSET), length);
  }
  if (subject == SUBJECT_SERVER_NAME) {
    return textPasses(rules, test, load<i32>(atPeer + PEER_SERVER_NAME), load<i32>(atPeer + PEER_SERVER_NAME_LENGTH));
  }
  if (subject == SUBJECT_DIRECT_ADDRESS) return isWithin(test, load<i32>(atPeer + PEER_REMOTE_FAMILY), atPeer + PEER_REMOTE);
  if (subject == SUBJECT_LOCAL_ADDRESS) return isWithin(test, load<i32>(atPeer + PEER_LOCAL_FAMILY), atPeer + PEER_LOCAL);
  if (subject == SUBJECT_REMOTE_ADDRESS) {
    needRemote();
    return isWithin(test, load<i32>(RBAC_REMOTE), RBAC_REMOTE + 8);
  }
  if (subject == SUBJECT_LOCAL_PORT) return portPasses(test, load<i32>(atPeer + PEER_LOCAL_PORT));
  const matcher = rules + load<i32>(test + TEST_MATCHER);
  if (subject == SUBJECT_CLAIM) return matchClaim(rules, matcher);
  const hasNoPath = load<i32>(matcher + MATCHER_PSEUDO) == PSEUDO_PATH && (load<i32>(REQ_FLAGS) & REQUEST_CONNECT) != 0;
  if (load<i32>(matcher + MATCHER_PSEUDO) == 0) {
    const own = ownHeaderOf(rules + load<i32>(matcher + MATCHER_NAME_OFFSET), load<i32>(matcher + MATCHER_NAME_LENGTH));
    if (own != 0 && findOwnHeader(own, atListener, atConnection)) {
      return matchHeaderIndividually(rules, matcher, isSecure, false, ownAt, ownLength);
    }
  }
  return matchHeaderIndividually(rules, matcher, isSecure, hasNoPath, 0, 0);
}

function somePasses(rules: i32, test: i32, pathsAlone: bool): bool {
  let name = load<i32>(atPeer + PEER_NAMES);
  for (let left = load<i32>(atPeer + PEER_NAME_COUNT); left > 0; left--) {
    const length = load<i32>(name);
    const skipped = pathsAlone ? beforeSpiffePath(name + 4, length) : 0;
    if (skipped >= 0 && textPasses(rules, test, name + 4 + skipped, length - skipped)) return true;
    name += (4 + length + 3) & ~3;
  }
  return false;
}

function portPasses(test: i32, port: i32): bool {
  return port >= load<i32>(test + TEST_FIRST_PORT) && port < load<i32>(test + TEST_END_PORT);
}

function isWithin(test: i32, family: i32, octets: i32): bool {
  if (family != load<i32>(test + TEST_FAMILY)) return false;
  putNetwork(RBAC_KEY, octets, load<i32>(test + TEST_BITS));
  return equals(RBAC_KEY, test + TEST_OCTETS, 16);
}
