// Access rules: the values that a subject has in the request at hand, each looked up in the index of its group.
import { CLAIMS, CLAIMS_LENGTH, CLAIM_KEY_LENGTH, CLAIM_KIND, CLAIM_TEXT, CLAIM_VALUE_LENGTH } from '../../src/claims/claims-layout';
import {
  CONNECTION_FLAGS, CONNECTION_PRINCIPAL_LENGTH, CONNECTION_PRINCIPAL_OFFSET, CONNECTION_TLS, HEADER_ENTRY_BYTES, HEADER_FLAGS, HEADER_FLAG_DROPPED, HEADER_HASH, HEADER_KNOWN,
  HEADER_LINE_OFFSET, HEADER_NAME_LENGTH, HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET, REQUEST_CONNECT, REQ_FLAGS,
  REQ_HEADERS, REQ_HEADER_COUNT, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
} from '../../src/layout';
import {
  GROUP_NAMES, GROUP_NAME_MASK, GROUP_SUBJECT, NAME_BYTES, NAME_HASH, NAME_INDEX, NAME_KINDS, NAME_LENGTH, NAME_TEXT, OWN_FORWARDED_FOR,
  PEER_LOCAL, PEER_LOCAL_FAMILY, PEER_LOCAL_PORT, PEER_NAMES, PEER_NAME_COUNT, PEER_REMOTE, PEER_REMOTE_FAMILY,
  PEER_SERVER_NAME, PEER_SERVER_NAME_LENGTH, RBAC_KEY, RBAC_REMOTE, RULES_OWN_HEADERS, SUBJECT_AUTHORITY, SUBJECT_CLAIM, SUBJECT_DIRECT_ADDRESS,
  SUBJECT_HEADER, SUBJECT_LOCAL_ADDRESS, SUBJECT_LOCAL_PORT, SUBJECT_METHOD, SUBJECT_NAME, SUBJECT_PATH, SUBJECT_PRINCIPAL,
  SUBJECT_REMOTE_ADDRESS, SUBJECT_SCHEME, SUBJECT_SERVER_NAME, SUBJECT_SPIFFE_PATH, SUBJECT_TLS, SUBJECT_URL,
} from '../../src/rbac/rbac-layout';
import { PSEUDO_AUTHORITY, PSEUDO_METHOD, PSEUDO_PATH, PSEUDO_SCHEME } from '../../src/table-layout';
import { equals, equalsIgnoreCase, hashName } from '../ascii';
import { textAt, textLength } from '../texts';
import { findRequestValue, foundAt, foundLength } from '../decide/header-match';
import { applyAny, lookUpKey, lookUpNetworks, lookUpText } from './values';
import { findOwnHeader, knownOf, ownAt, ownLength } from './own-headers';
import { beforeSpiffePath } from './spiffe';
import { atConnection, atListener, atPeer, atRules, isSecure, needRemote } from './tests';

/** Marks in RBAC_GROUP_ROWS and RBAC_EXCLUDED what the group's values do. */
export function lookUpGroup(group: i32, bytes: i32): void {
  const rules = atRules;
  const subject = load<i32>(group + GROUP_SUBJECT);
  const names = rules + load<i32>(group + GROUP_NAMES);
  if (subject == SUBJECT_HEADER) {
    lookUpHeaders(rules, names, load<i32>(group + GROUP_NAME_MASK), bytes);
    return;
  }
  if (subject == SUBJECT_CLAIM) {
    lookUpClaims(rules, names, load<i32>(group + GROUP_NAME_MASK), bytes);
    return;
  }
  const index = rules + load<i32>(names + NAME_INDEX);
  if (subject == SUBJECT_PATH) {
    // CONNECT has no path.
    if ((load<i32>(REQ_FLAGS) & REQUEST_CONNECT) != 0) return;
    lookUpText(rules, index, load<i32>(REQ_PATH_OFFSET), load<i32>(REQ_PATH_ONLY_LENGTH), bytes);
  } else if (subject <= SUBJECT_SCHEME) {
    const pseudo = pseudoOf(subject);
    if (pseudo == PSEUDO_PATH && (load<i32>(REQ_FLAGS) & REQUEST_CONNECT) != 0) return;
    findRequestValue(pseudo, 0, 0, 0, isSecure);
    lookUpText(rules, index, foundAt, foundLength, bytes);
  } else if (subject == SUBJECT_NAME || subject == SUBJECT_SPIFFE_PATH) {
    lookUpCertificate(rules, index, subject == SUBJECT_SPIFFE_PATH, bytes);
  } else if (subject == SUBJECT_TLS) {
    if ((load<i32>(atConnection + CONNECTION_FLAGS) & CONNECTION_TLS) != 0) applyAny(rules, index, bytes);
  } else if (subject == SUBJECT_PRINCIPAL) {
    const length = load<i32>(atConnection + CONNECTION_PRINCIPAL_LENGTH);
    if (length > 0) lookUpText(rules, index, load<i32>(atConnection + CONNECTION_PRINCIPAL_OFFSET), length, bytes);
  } else if (subject == SUBJECT_SERVER_NAME) {
    lookUpText(rules, index, load<i32>(atPeer + PEER_SERVER_NAME), load<i32>(atPeer + PEER_SERVER_NAME_LENGTH), bytes);
  } else if (subject == SUBJECT_DIRECT_ADDRESS) {
    lookUpNetworks(rules, index, load<i32>(atPeer + PEER_REMOTE_FAMILY), atPeer + PEER_REMOTE, bytes);
  } else if (subject == SUBJECT_REMOTE_ADDRESS) {
    needRemote();
    lookUpNetworks(rules, index, load<i32>(RBAC_REMOTE), RBAC_REMOTE + 8, bytes);
  } else if (subject == SUBJECT_LOCAL_ADDRESS) {
    lookUpNetworks(rules, index, load<i32>(atPeer + PEER_LOCAL_FAMILY), atPeer + PEER_LOCAL, bytes);
  } else if (subject == SUBJECT_LOCAL_PORT) {
    const port = load<i32>(atPeer + PEER_LOCAL_PORT);
    if (port < 0) return;
    store<i32>(RBAC_KEY, port);
    lookUpKey(rules, index, RBAC_KEY, 4, bytes);
  }
}

@inline
function pseudoOf(subject: i32): i32 {
  if (subject == SUBJECT_METHOD) return PSEUDO_METHOD;
  if (subject == SUBJECT_AUTHORITY) return PSEUDO_AUTHORITY;
  return subject == SUBJECT_URL ? PSEUDO_PATH : PSEUDO_SCHEME;
}

/** Each value of a repeated header for itself. Names by themselves are what is looked up: rules may ask for many. */
function lookUpHeaders(rules: i32, names: i32, mask: i32, bytes: i32): void {
  const asked = load<i32>(rules + RULES_OWN_HEADERS);
  let own = 0;
  for (let bit = OWN_FORWARDED_FOR; bit <= asked; bit <<= 1) {
    if ((asked & bit) == 0 || !findOwnHeader(bit, atListener, atConnection)) continue;
    own |= bit;
    const known = knownOf(bit);
    const length = textLength(known);
    lookUpHeader(rules, names, mask, hashName(textAt(known), length), textAt(known), length, ownAt, ownLength, bytes);
  }
  const end = REQ_HEADERS + load<i32>(REQ_HEADER_COUNT) * HEADER_ENTRY_BYTES;
  for (let entry = REQ_HEADERS; entry < end; entry += HEADER_ENTRY_BYTES) {
    // Which of several headers it is that the proxy writes is asked only where there is one.
    if (own != 0 && isOwn(own, load<i32>(entry + HEADER_KNOWN))) continue;
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
    lookUpHeader(
      rules, names, mask, load<i32>(entry + HEADER_HASH), load<i32>(entry + HEADER_LINE_OFFSET), load<i32>(entry + HEADER_NAME_LENGTH),
      load<i32>(entry + HEADER_VALUE_OFFSET), load<i32>(entry + HEADER_VALUE_LENGTH), bytes,
    );
  }
}

function isOwn(own: i32, known: i32): bool {
  for (let bit = OWN_FORWARDED_FOR; bit <= own; bit <<= 1) if ((own & bit) != 0 && knownOf(bit) == known) return true;
  return false;
}

@inline
function lookUpHeader(
  rules: i32, names: i32, mask: i32, hash: i32, nameAt: i32, nameLength: i32, valueAt: i32, valueLength: i32, bytes: i32,
): void {
  for (let place = hash & mask; ; place = (place + 1) & mask) {
    const name = names + place * NAME_BYTES;
    const index = load<i32>(name + NAME_INDEX);
    if (index == 0) return;
    if (load<i32>(name + NAME_HASH) != hash || load<i32>(name + NAME_LENGTH) != nameLength) continue;
    if (!equalsIgnoreCase(nameAt, rules + load<i32>(name + NAME_TEXT), nameLength)) continue;
    lookUpText(rules, rules + index, valueAt, valueLength, bytes);
    return;
  }
}

/** A path of claims may stand several times, for several kinds of values. */
function lookUpClaims(rules: i32, names: i32, mask: i32, bytes: i32): void {
  const end = CLAIMS + load<i32>(CLAIMS_LENGTH);
  let claim = CLAIMS;
  while (claim < end) {
    const length = load<i32>(claim + CLAIM_KEY_LENGTH);
    const valueLength = load<i32>(claim + CLAIM_VALUE_LENGTH);
    const hash = hashName(claim + CLAIM_TEXT, length);
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const name = names + place * NAME_BYTES;
      const index = load<i32>(name + NAME_INDEX);
      if (index == 0) break;
      if (load<i32>(name + NAME_HASH) != hash || load<i32>(name + NAME_LENGTH) != length) continue;
      if ((load<i32>(name + NAME_KINDS) & load<i32>(claim + CLAIM_KIND)) == 0) continue;
      if (!equals(claim + CLAIM_TEXT, rules + load<i32>(name + NAME_TEXT), length)) continue;
      lookUpText(rules, rules + index, claim + CLAIM_TEXT + length, valueLength, bytes);
    }
    claim += (CLAIM_TEXT + length + valueLength + 3) & ~3;
  }
}

function lookUpCertificate(rules: i32, index: i32, pathsAlone: bool, bytes: i32): void {
  let name = load<i32>(atPeer + PEER_NAMES);
  for (let left = load<i32>(atPeer + PEER_NAME_COUNT); left > 0; left--) {
    const length = load<i32>(name);
    if (!pathsAlone) {
      lookUpText(rules, index, name + 4, length, bytes);
    } else {
      const skipped = beforeSpiffePath(name + 4, length);
      if (skipped >= 0) lookUpText(rules, index, name + 4 + skipped, length - skipped, bytes);
    }
    name += (4 + length + 3) & ~3;
  }
}
