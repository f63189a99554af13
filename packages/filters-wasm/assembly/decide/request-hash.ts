// The hash by which a consistent load balancer chooses: the hash policies of the route, over the request as it was parsed.
import {
  CONNECTION_COOKIE, HEADER_ENTRY_BYTES, HEADER_FLAGS,
  HEADER_FLAG_DROPPED, HEADER_HASH, HEADER_LINE_OFFSET, HEADER_NAME_LENGTH, HEADER_VALUE_LENGTH, HEADER_VALUE_OFFSET,
  REQ_AUTHORITY_LENGTH, REQ_AUTHORITY_OFFSET, REQ_HEADERS, REQ_HEADER_COUNT, REQ_METHOD_LENGTH, REQ_METHOD_OFFSET,
  REQ_PATH_LENGTH, REQ_PATH_OFFSET, ROUTE_POLICY, VALUE_SCRATCH,
} from '../../src/layout';
import {
  HASHES_FIRST, HASH_BYTES, HASH_FLAGS, HASH_FLAG_MAKE_COOKIE, HASH_FLAG_TERMINAL, HASH_KIND, HASH_NAME_HASH,
  HASH_NAME_LENGTH, HASH_NAME_OFFSET, HASH_OF_COOKIE, HASH_OF_HEADER, HASH_OF_PARAMETER, HASH_OF_PSEUDO_HEADER,
  HASH_OF_SOURCE_ADDRESS, PICK_HASH, PICK_HASH_SET, POLICY_HASHES,
} from '../../src/compile/hashing/hash-layout';
import { PSEUDO_AUTHORITY, PSEUDO_METHOD } from '../../src/table-layout';
import { equals, equalsIgnoreCase, findByte } from '../ascii';
import { random64 } from '../random';
import { putBytes } from '../texts';
import { addressAt, addressLength, findClientAddress } from './client-address';
import { findParameter, foundAt, foundLength } from './header-match';
import { xxHash64 } from './hash64';

/** The hash that the last of the functions below found. */
let found: u64 = 0;

/** Bytes of VALUE_SCRATCH for the places of a repeated header's lines; their values follow. */
const PLACES_BYTES = 512;

/** See core-functions.ts. */
export function hashRequest(listener: i32, connection: i32): i32 {
  store<i32>(PICK_HASH_SET, 0);
  const policy = load<i32>(ROUTE_POLICY);
  const list = policy == 0 ? 0 : load<i32>(policy + POLICY_HASHES);
  if (list == 0) return 0;
  let hash: u64 = 0;
  let any = false;
  let cookies = 0;
  for (let i = 0, count = load<i32>(policy + list); i < count; i++) {
    const entry = policy + list + HASHES_FIRST + i * HASH_BYTES;
    let has = hashPart(policy, entry, listener, connection);
    if (!has && connection != 0 && (load<i32>(entry + HASH_FLAGS) & HASH_FLAG_MAKE_COOKIE) != 0) {
      putCookieValue(VALUE_SCRATCH, connection);
      found = xxHash64(VALUE_SCRATCH, 16, 0);
      cookies |= 1 << i;
      has = true;
    }
    // Rotated, so that two policies that find the same value do not cancel each other out.
    if (has) hash = (any ? rotl<u64>(hash, 1) : 0) ^ found;
    any = any || has;
    if (any && (load<i32>(entry + HASH_FLAGS) & HASH_FLAG_TERMINAL) != 0) break;
  }
  if (!any) return 0;
  store<u64>(PICK_HASH, hash);
  store<i32>(PICK_HASH_SET, 1);
  return (cookies << 1) | 1;
}

/** Writes the value of the cookies that are made for a connection, the same as long as it lasts: 16 digits. */
export function putCookieValue(out: i32, connection: i32): i32 {
  let value = load<u64>(connection + CONNECTION_COOKIE);
  if (value == 0) {
    value = random64() | 1;
    store<u64>(connection + CONNECTION_COOKIE, value);
  }
  for (let shift = 60; shift >= 0; shift -= 4) {
    const digit = <i32>(value >> shift) & 15;
    store<u8>(out++, digit < 10 ? 0x30 + digit : 0x57 + digit);
  }
  return out;
}

/** Whether the request has what the policy hashes; then `found` is its hash. */
function hashPart(policy: i32, entry: i32, listener: i32, connection: i32): bool {
  const kind = load<i32>(entry + HASH_KIND);
  const name = policy + load<i32>(entry + HASH_NAME_OFFSET);
  const length = load<i32>(entry + HASH_NAME_LENGTH);
  const nameHash = load<i32>(entry + HASH_NAME_HASH);
  if (kind == HASH_OF_HEADER) return hashHeader(name, length, nameHash);
  if (kind == HASH_OF_COOKIE) return hashCookie(name, length, nameHash);
  if (kind == HASH_OF_PARAMETER) return findParameter(name, length) && take(foundAt, foundLength);
  if (kind == HASH_OF_SOURCE_ADDRESS) {
    return findClientAddress(listener, connection) && take(addressAt, addressLength);
  }
  if (kind != HASH_OF_PSEUDO_HEADER) return false;
  if (nameHash == PSEUDO_AUTHORITY) return take(load<i32>(REQ_AUTHORITY_OFFSET), load<i32>(REQ_AUTHORITY_LENGTH));
  if (nameHash == PSEUDO_METHOD) return take(load<i32>(REQ_METHOD_OFFSET), load<i32>(REQ_METHOD_LENGTH));
  return take(load<i32>(REQ_PATH_OFFSET), load<i32>(REQ_PATH_LENGTH));
}

@inline
function take(at: i32, length: i32): bool {
  found = xxHash64(at, length, 0);
  return true;
}

/** The next entry of that name from `entry` on that is not dropped; 0 where there is none. */
function nextNamed(entry: i32, name: i32, length: i32, hash: i32): i32 {
  const end = REQ_HEADERS + load<i32>(REQ_HEADER_COUNT) * HEADER_ENTRY_BYTES;
  for (; entry < end; entry += HEADER_ENTRY_BYTES) {
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != length) continue;
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
    if (equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, length)) return entry;
  }
  return 0;
}

/** A repeated header is hashed as its values in order of their bytes, one after another. */
function hashHeader(name: i32, length: i32, hash: i32): bool {
  const first = nextNamed(REQ_HEADERS, name, length, hash);
  if (first == 0) return false;
  let entry = nextNamed(first + HEADER_ENTRY_BYTES, name, length, hash);
  if (entry == 0) return take(load<i32>(first + HEADER_VALUE_OFFSET), load<i32>(first + HEADER_VALUE_LENGTH));
  store<i32>(VALUE_SCRATCH, first);
  let count = 1;
  for (; entry != 0; entry = nextNamed(entry + HEADER_ENTRY_BYTES, name, length, hash)) {
    let place = count++;
    for (; place > 0 && isBefore(entry, load<i32>(VALUE_SCRATCH + ((place - 1) << 2))); place--) {
      store<i32>(VALUE_SCRATCH + (place << 2), load<i32>(VALUE_SCRATCH + ((place - 1) << 2)));
    }
    store<i32>(VALUE_SCRATCH + (place << 2), entry);
  }
  let out = VALUE_SCRATCH + PLACES_BYTES;
  for (let i = 0; i < count; i++) {
    const line = load<i32>(VALUE_SCRATCH + (i << 2));
    out = putBytes(out, load<i32>(line + HEADER_VALUE_OFFSET), load<i32>(line + HEADER_VALUE_LENGTH));
  }
  return take(VALUE_SCRATCH + PLACES_BYTES, out - VALUE_SCRATCH - PLACES_BYTES);
}

function isBefore(entry: i32, other: i32): bool {
  const a = load<i32>(entry + HEADER_VALUE_OFFSET);
  const b = load<i32>(other + HEADER_VALUE_OFFSET);
  const aLength = load<i32>(entry + HEADER_VALUE_LENGTH);
  const bLength = load<i32>(other + HEADER_VALUE_LENGTH);
  for (let i = 0, common = min<i32>(aLength, bLength); i < common; i++) {
    const difference = <i32>load<u8>(a + i) - <i32>load<u8>(b + i);
    if (difference != 0) return difference < 0;
  }
  return aLength < bLength;
}

/** The first cookie of that name, without quotes around its value; an empty one counts as absent. `hash` is that of `cookie`. */
function hashCookie(name: i32, length: i32, hash: i32): bool {
  let entry = REQ_HEADERS;
  while (true) {
    entry = nextCookieLine(entry, hash);
    if (entry == 0) return false;
    let at = load<i32>(entry + HEADER_VALUE_OFFSET);
    const end = at + load<i32>(entry + HEADER_VALUE_LENGTH);
    while (at < end) {
      const stop = findByte(at, end, 0x3b);
      const equal = findByte(at, stop, 0x3d);
      while (at < equal && load<u8>(at) == 0x20) at++;
      if (equal < stop && equal - at == length && equals(at, name, length)) {
        return takeCookie(equal + 1, stop);
      }
      at = stop + 1;
    }
    entry += HEADER_ENTRY_BYTES;
  }
}

function takeCookie(at: i32, end: i32): bool {
  if (end - at >= 2 && load<u8>(at) == 0x22 && load<u8>(end - 1) == 0x22) {
    at++;
    end--;
  }
  return at < end && take(at, end - at);
}

/** The next `cookie` line from `entry` on; 0 where there is none. */
function nextCookieLine(entry: i32, hash: i32): i32 {
  const end = REQ_HEADERS + load<i32>(REQ_HEADER_COUNT) * HEADER_ENTRY_BYTES;
  for (; entry < end; entry += HEADER_ENTRY_BYTES) {
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != 6) continue;
    if ((load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0) continue;
    const at = load<i32>(entry + HEADER_LINE_OFFSET);
    // "cook", "ie", ASCII case ignored.
    if ((load<u32>(at) | 0x20202020) == 0x6b6f6f63 && (load<u16>(at + 4) | 0x2020) == 0x6569) return entry;
  }
  return 0;
}
