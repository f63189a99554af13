// Header and query parameter matchers (envoy.config.route.v3.HeaderMatcher). Each value of a repeated header is matched by
// itself, as in Envoy. Dropped headers are not seen: they are not forwarded either.
import {
  HEADER_ENTRY_BYTES, HEADER_FLAGS, HEADER_FLAG_DROPPED, HEADER_HASH, HEADER_LINE_OFFSET, HEADER_NAME_LENGTH,
  HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET, REQ_AUTHORITY_LENGTH, REQ_AUTHORITY_OFFSET, REQ_HEADERS,
  REQ_HEADER_COUNT, REQ_METHOD_LENGTH, REQ_METHOD_OFFSET, REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
  VALUE_SCRATCH,
} from '../../src/layout';
import {
  MATCHER_ABSENT, MATCHER_BYTES, MATCHER_CONTAINS, MATCHER_EXACT, MATCHER_FLAGS, MATCHER_FLAG_IGNORE_CASE,
  MATCHER_FLAG_INVERT, MATCHER_FLAG_MISSING_AS_EMPTY, MATCHER_KIND, MATCHER_NAME_HASH, MATCHER_NAME_LENGTH,
  MATCHER_NAME_OFFSET, MATCHER_PREFIX, MATCHER_PRESENT, MATCHER_PSEUDO, MATCHER_RANGE, MATCHER_RANGE_END,
  MATCHER_RANGE_START, MATCHER_REGEX, MATCHER_SUFFIX, MATCHER_VALUE_LENGTH, MATCHER_VALUE_OFFSET, PSEUDO_AUTHORITY, PSEUDO_METHOD,
  PSEUDO_PATH, PSEUDO_SCHEME, TEXT_HTTP, TEXT_HTTPS,
} from '../../src/table-layout';
import { equals, equalsIgnoreCase, findByte } from '../ascii';
import { putBytes, textAt, textLength } from '../texts';
import { PSEUDO_CLAIM } from '../../src/claims/claims-layout';
import { claimAt, claimLength, nextClaim } from './claims';
import { matchesRegex } from './regex';

/** The value found by findHeader and findParameter. */
export let foundAt: i32 = 0;
export let foundLength: i32 = 0;

/** Whether all `count` matchers at `matchers` (absolute) agree. `table` is the start of their table. */
export function matchHeaders(table: i32, matchers: i32, count: i32, secure: i32): bool {
  for (let i = 0; i < count; i++) {
    if (!matchHeader(table, matchers + i * MATCHER_BYTES, secure)) return false;
  }
  return true;
}

/** Likewise for query parameters. */
export function matchParameters(table: i32, matchers: i32, count: i32): bool {
  for (let i = 0; i < count; i++) {
    const matcher = matchers + i * MATCHER_BYTES;
    const found = findParameter(table + load<i32>(matcher + MATCHER_NAME_OFFSET), load<i32>(matcher + MATCHER_NAME_LENGTH));
    if (!decide(table, matcher, found)) return false;
  }
  return true;
}

@inline
function matchHeader(table: i32, matcher: i32, secure: i32): bool {
  if (load<i32>(matcher + MATCHER_PSEUDO) == PSEUDO_CLAIM) return matchClaim(table, matcher);
  return matchHeaderIndividually(table, matcher, secure, false, 0, 0);
}

/** Whether some value at the path agrees; where there is none, an inverted matcher does. MATCHER_NAME_HASH holds CLAIM_* bits. */
export function matchClaim(table: i32, matcher: i32): bool {
  const flags = load<i32>(matcher + MATCHER_FLAGS);
  const invert = (flags & MATCHER_FLAG_INVERT) != 0;
  const kind = load<i32>(matcher + MATCHER_KIND);
  const key = table + load<i32>(matcher + MATCHER_NAME_OFFSET);
  const keyLength = load<i32>(matcher + MATCHER_NAME_LENGTH);
  const kinds = load<i32>(matcher + MATCHER_NAME_HASH);
  let entry = nextClaim(0, key, keyLength, kinds);
  while (entry != 0) {
    foundAt = claimAt;
    foundLength = claimLength;
    if (kind == MATCHER_PRESENT || matchValue(table, matcher, kind, (flags & MATCHER_FLAG_IGNORE_CASE) != 0)) return !invert;
    entry = nextClaim(entry, key, keyLength, kinds);
  }
  return invert;
}

/** Finds a header's value, or that of a pseudo header (PSEUDO_*, else 0). */
export function findRequestValue(pseudo: i32, name: i32, nameLength: i32, hash: i32, secure: i32): bool {
  if (pseudo == 0) return findHeader(name, nameLength, hash);
  if (pseudo == PSEUDO_METHOD) {
    foundAt = load<i32>(REQ_METHOD_OFFSET);
    foundLength = load<i32>(REQ_METHOD_LENGTH);
  } else if (pseudo == PSEUDO_PATH) {
    foundAt = load<i32>(REQ_PATH_OFFSET);
    foundLength = load<i32>(REQ_PATH_LENGTH);
  } else if (pseudo == PSEUDO_AUTHORITY) {
    foundAt = load<i32>(REQ_AUTHORITY_OFFSET);
    foundLength = load<i32>(REQ_AUTHORITY_LENGTH);
  } else if (pseudo == PSEUDO_SCHEME) {
    const text = secure != 0 ? TEXT_HTTPS : TEXT_HTTP;
    foundAt = textAt(text);
    foundLength = textLength(text);
  }
  return true;
}

/** The same, but of a repeated header the first value alone, where it stands in the head. */
export function findFirstValue(pseudo: i32, name: i32, nameLength: i32, hash: i32, secure: i32): bool {
  if (pseudo != 0) return findRequestValue(pseudo, name, nameLength, hash, secure);
  const end = REQ_HEADERS + load<i32>(REQ_HEADER_COUNT) * HEADER_ENTRY_BYTES;
  for (let entry = REQ_HEADERS; entry < end; entry += HEADER_ENTRY_BYTES) {
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != nameLength) continue;
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
    if (!equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, nameLength)) continue;
    foundAt = load<i32>(entry + HEADER_VALUE_OFFSET);
    foundLength = load<i32>(entry + HEADER_VALUE_LENGTH);
    return true;
  }
  return false;
}

/** Presence, then the value; a missing value never matches a value matcher, inverted or not, unless it counts as empty. */
function decide(table: i32, matcher: i32, found: bool): bool {
  const kind = load<i32>(matcher + MATCHER_KIND);
  const flags = load<i32>(matcher + MATCHER_FLAGS);
  const invert = (flags & MATCHER_FLAG_INVERT) != 0;
  if (kind == MATCHER_PRESENT) return found != invert;
  if (kind == MATCHER_ABSENT) return found == invert;
  if (!found) {
    if ((flags & MATCHER_FLAG_MISSING_AS_EMPTY) == 0) return false;
    foundLength = 0;
  }
  return matchValue(table, matcher, kind, (flags & MATCHER_FLAG_IGNORE_CASE) != 0) != invert;
}

/**
 * Of several values one that agrees suffices; with `invert` there must be values, and none that agrees. `absent`: there is no such
 * value, whatever the name says. `ownAt`: the value that the proxy writes in place of what the client may have sent, 0 = none.
 */
export function matchHeaderIndividually(table: i32, matcher: i32, secure: i32, absent: bool, ownAt: i32, ownLength: i32): bool {
  const kind = load<i32>(matcher + MATCHER_KIND);
  const flags = load<i32>(matcher + MATCHER_FLAGS);
  const invert = (flags & MATCHER_FLAG_INVERT) != 0;
  const valued = kind != MATCHER_PRESENT && kind != MATCHER_ABSENT;
  const pseudo = load<i32>(matcher + MATCHER_PSEUDO);
  let found = false;
  let agrees = false;
  if (pseudo != 0) {
    found = !absent;
    if (found && valued) {
      findRequestValue(pseudo, 0, 0, 0, secure);
      agrees = matchText(table, matcher, foundAt, foundLength);
    }
  } else if (ownAt != 0) {
    found = true;
    agrees = valued && matchText(table, matcher, ownAt, ownLength);
  } else {
    const name = table + load<i32>(matcher + MATCHER_NAME_OFFSET);
    const length = load<i32>(matcher + MATCHER_NAME_LENGTH);
    const hash = load<i32>(matcher + MATCHER_NAME_HASH);
    const end = REQ_HEADERS + load<i32>(REQ_HEADER_COUNT) * HEADER_ENTRY_BYTES;
    for (let entry = REQ_HEADERS; entry < end && !agrees; entry += HEADER_ENTRY_BYTES) {
      if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != length) continue;
      if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
      if (!equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, length)) continue;
      found = true;
      agrees = valued && matchText(table, matcher, load<i32>(entry + HEADER_VALUE_OFFSET), load<i32>(entry + HEADER_VALUE_LENGTH));
    }
  }
  if (kind == MATCHER_PRESENT) return found != invert;
  if (kind == MATCHER_ABSENT) return found == invert;
  if (!found) {
    if ((flags & MATCHER_FLAG_MISSING_AS_EMPTY) == 0) return false;
    agrees = matchText(table, matcher, VALUE_SCRATCH, 0);
  }
  return agrees != invert;
}

/** Whether the value of a matcher that is not about names agrees with a text. */
export function matchText(table: i32, matcher: i32, at: i32, length: i32): bool {
  foundAt = at;
  foundLength = length;
  const ignoreCase = (load<i32>(matcher + MATCHER_FLAGS) & MATCHER_FLAG_IGNORE_CASE) != 0;
  return matchValue(table, matcher, load<i32>(matcher + MATCHER_KIND), ignoreCase);
}

function matchValue(table: i32, matcher: i32, kind: i32, ignoreCase: bool): bool {
  if (kind == MATCHER_RANGE) return matchRange(matcher);
  if (kind == MATCHER_REGEX) return matchesRegex(table + load<i32>(matcher + MATCHER_VALUE_OFFSET), foundAt, foundLength);
  const wanted = table + load<i32>(matcher + MATCHER_VALUE_OFFSET);
  const length = load<i32>(matcher + MATCHER_VALUE_LENGTH);
  if (foundLength < length) return false;
  if (kind == MATCHER_EXACT) return foundLength == length && same(foundAt, wanted, length, ignoreCase);
  if (kind == MATCHER_PREFIX) return same(foundAt, wanted, length, ignoreCase);
  if (kind == MATCHER_SUFFIX) return same(foundAt + foundLength - length, wanted, length, ignoreCase);
  if (kind == MATCHER_CONTAINS) {
    for (let at = foundAt, last = foundAt + foundLength - length; at <= last; at++) {
      if (same(at, wanted, length, ignoreCase)) return true;
    }
  }
  return false;
}

@inline
function same(a: i32, b: i32, length: i32, ignoreCase: bool): bool {
  return ignoreCase ? equalsIgnoreCase(a, b, length) : equals(a, b, length);
}

/** A base-10 integer with an optional sign, in [start, end). */
function matchRange(matcher: i32): bool {
  let at = foundAt;
  const end = foundAt + foundLength;
  const negative = at < end && load<u8>(at) == 0x2d;
  if (negative) at++;
  if (at >= end || end - at > 18) return false;
  let value: i64 = 0;
  for (; at < end; at++) {
    const digit = <i32>load<u8>(at) - 0x30;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  const number = <f64>(negative ? -value : value);
  return number >= load<f64>(matcher + MATCHER_RANGE_START) && number < load<f64>(matcher + MATCHER_RANGE_END);
}

/** Sets the found value: in the head, or joined in VALUE_SCRATCH where the header is repeated. */
export function findHeader(name: i32, length: i32, hash: i32): bool {
  let found = 0;
  let joined = VALUE_SCRATCH;
  const end = REQ_HEADERS + load<i32>(REQ_HEADER_COUNT) * HEADER_ENTRY_BYTES;
  for (let entry = REQ_HEADERS; entry < end; entry += HEADER_ENTRY_BYTES) {
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != length) continue;
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
    if (!equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, length)) continue;
    const value = load<i32>(entry + HEADER_VALUE_OFFSET);
    const valueLength = load<i32>(entry + HEADER_VALUE_LENGTH);
    if (found == 0) {
      foundAt = value;
      foundLength = valueLength;
    } else {
      if (found == 1) {
        joined = putBytes(joined, foundAt, foundLength);
        foundAt = VALUE_SCRATCH;
      }
      store<u8>(joined, 0x2c);
      joined = putBytes(joined + 1, value, valueLength);
      foundLength = joined - VALUE_SCRATCH;
    }
    found++;
  }
  return found != 0;
}

/** Sets the found value of the first query parameter with that name; names and values are compared undecoded. */
export function findParameter(name: i32, length: i32): bool {
  let at = load<i32>(REQ_PATH_OFFSET) + load<i32>(REQ_PATH_ONLY_LENGTH) + 1;
  const end = load<i32>(REQ_PATH_OFFSET) + load<i32>(REQ_PATH_LENGTH);
  while (at < end) {
    const stop = findByte(at, end, 0x26);
    const equal = findByte(at, stop, 0x3d);
    if (equal - at == length && equals(at, name, length)) {
      foundAt = equal < stop ? equal + 1 : stop;
      foundLength = stop - foundAt;
      return true;
    }
    at = stop + 1;
  }
  return false;
}
