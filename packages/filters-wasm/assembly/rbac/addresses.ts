// Addresses that access rules look at: of the connection, or as a trusted proxy says it in x-forwarded-for.
import { CONNECTION_PEER } from '../../src/layout';
import { PEER_REMOTE, PEER_REMOTE_FAMILY, RBAC_REMOTE } from '../../src/rbac/rbac-layout';
import { hexDigit } from '../ascii';
import { addressAt, addressLength, findClientAddress } from '../decide/client-address';

/** Fills RBAC_REMOTE with whom the request comes from (0 = unknown, 4 or 6; then at 8 the octets). */
export function readRemoteAddress(listener: i32, connection: i32): void {
  store<i32>(RBAC_REMOTE, 0);
  if (findClientAddress(listener, connection)) {
    store<i32>(RBAC_REMOTE, parseAddress(addressAt, addressLength, RBAC_REMOTE + 8));
  }
  if (load<i32>(RBAC_REMOTE) != 0 || connection == 0) return;
  const peer = load<i32>(connection + CONNECTION_PEER);
  if (peer == 0) return;
  store<i32>(RBAC_REMOTE, load<i32>(peer + PEER_REMOTE_FAMILY));
  v128.store(RBAC_REMOTE + 8, v128.load(peer + PEER_REMOTE));
}

/** Writes sixteen octets (of an address of version 4: four, then zeros); 4, 6, or 0 where the text is no address. */
export function parseAddress(at: i32, length: i32, out: i32): i32 {
  v128.store(out, i8x16.splat(0));
  for (let i = 0; i < length; i++) if (load<u8>(at + i) == 0x3a) return parseVersion6(at, at + length, out) ? 6 : 0;
  return parseVersion4(at, at + length, out) ? 4 : 0;
}

/** Four decimal numbers without leading zeros. */
function parseVersion4(at: i32, end: i32, out: i32): bool {
  for (let part = 0; part < 4; part++) {
    if (part > 0) {
      if (at >= end || load<u8>(at) != 0x2e) return false;
      at++;
    }
    const start = at;
    let value = 0;
    while (at < end && at - start < 4) {
      const digit = <i32>load<u8>(at) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      at++;
    }
    const digits = at - start;
    if (digits == 0 || digits > 3 || value > 255 || (digits > 1 && load<u8>(start) == 0x30)) return false;
    store<u8>(out + part, <u8>value);
  }
  return at == end;
}

/** Eight groups; one row of zeros may be left out, and the last two may stand as an address of version 4. */
function parseVersion6(at: i32, end: i32, out: i32): bool {
  let groups = 0;
  let gap = -1;
  if (at + 1 < end && load<u8>(at) == 0x3a) {
    if (load<u8>(at + 1) != 0x3a) return false;
    gap = 0;
    at += 2;
  }
  while (at < end) {
    if (groups == 8) return false;
    const start = at;
    let value = 0;
    while (at < end && at - start < 5) {
      const digit = hexDigit(<i32>load<u8>(at));
      if (digit < 0) break;
      value = (value << 4) | digit;
      at++;
    }
    if (at < end && load<u8>(at) == 0x2e) {
      if (groups > 6 || !parseVersion4(start, end, out + (groups << 1))) return false;
      groups += 2;
      at = end;
      break;
    }
    const digits = at - start;
    if (digits == 0 || digits > 4) return false;
    store<u8>(out + (groups << 1), <u8>(value >> 8));
    store<u8>(out + (groups << 1) + 1, <u8>value);
    groups++;
    if (at == end) break;
    if (load<u8>(at) != 0x3a) return false;
    at++;
    if (at < end && load<u8>(at) == 0x3a) {
      if (gap >= 0) return false;
      gap = groups;
      at++;
    } else if (at == end) return false;
  }
  if (gap < 0) return groups == 8;
  if (groups > 7) return false;
  // What stands behind the gap moves to the end.
  const missing = (8 - groups) << 1;
  for (let i = (groups << 1) - 1; i >= gap << 1; i--) {
    store<u8>(out + i + missing, load<u8>(out + i));
    store<u8>(out + i, 0);
  }
  return true;
}

/** The first `bits` bits of sixteen octets, the others zero. */
export function putNetwork(out: i32, octets: i32, bits: i32): void {
  let high = bswap<u64>(load<u64>(octets));
  let low = bswap<u64>(load<u64>(octets + 8));
  if (bits <= 64) {
    low = 0;
    high = bits == 0 ? 0 : high & (~(<u64>0) << (<u64>(64 - bits)));
  } else if (bits < 128) {
    low &= ~(<u64>0) << (<u64>(128 - bits));
  }
  store<u64>(out, bswap<u64>(high));
  store<u64>(out + 8, bswap<u64>(low));
}
