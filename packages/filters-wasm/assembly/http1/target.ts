// The request target: authority syntax, and paths normalized to exactly the bytes that are matched and forwarded.
import {
  LISTENER_FLAGS, MAX_HEAD_BYTES, PATH_SCRATCH, REQ_FLAGS, REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
  REQUEST_PATH_CHANGED,
} from '../../src/layout';
import { PARSE_ERROR_HEAD_TOO_LARGE, PARSE_ERROR_PATH } from './parse-errors';
import { equals, findByte } from '../ascii';
import { refuse } from './head';
import { normalizePath, PATH_REFUSED, PATH_TOO_LONG } from './normalize-path';

/** Host and optional port: no user information, no separators of a URL, no byte outside ASCII. Not empty. */
export function isAuthority(at: i32, length: i32): bool {
  if (length == 0) return false;
  for (let i = 0; i < length; i++) {
    const byte = <i32>load<u8>(at + i);
    if (byte >= 0x61 && byte <= 0x7a) continue; // a-z
    if (byte >= 0x2d && byte <= 0x3a && byte != 0x2f) continue; // - . 0-9 :
    if (byte >= 0x41 && byte <= 0x5b) continue; // A-Z [
    if (byte == 0x5d || byte == 0x5f || byte == 0x7e || byte == 0x25) continue; // ] _ ~ %
    if (byte == 0x21 || byte == 0x24 || (byte >= 0x26 && byte <= 0x2c) || byte == 0x3b || byte == 0x3d) continue;
    return false;
  }
  return true;
}

/** What CONNECT asks for: a host with a port, which is a number below 65536 (RFC 9110, 9.3.6). */
export function isConnectTarget(at: i32, length: i32): bool {
  if (!isAuthority(at, length)) return false;
  const end = at + length;
  let digits = end;
  while (digits > at && <i32>load<u8>(digits - 1) - 0x30 <= 9 && load<u8>(digits - 1) >= 0x30) digits--;
  const host = digits - 1 - at;
  if (digits == end || end - digits > 5 || host <= 0 || load<u8>(digits - 1) != 0x3a) return false;
  let port = 0;
  for (let i = digits; i < end; i++) port = port * 10 + <i32>load<u8>(i) - 0x30;
  if (port > 65535) return false;
  // A colon more is an address without its brackets.
  return load<u8>(at) == 0x5b ? load<u8>(at + host - 1) == 0x5d : findByte(at, at + host, 0x3a) == at + host;
}

/**
 * Sets REQ_PATH_* from [at, end), which begins with `/`, or with `?`, `#` or nothing after an absolute-form authority.
 * The fragment is cut. Where normalization changes the path it is written to PATH_SCRATCH. 0 or a refusal.
 */
export function readPath(at: i32, end: i32, listener: i32): i32 {
  const options = listener == 0 ? 0 : load<i32>(listener + LISTENER_FLAGS);
  let query = end;
  let special = at >= end || load<u8>(at) != 0x2f;
  let afterSlash = 0;
  for (let from = at; from < end; from += 16) {
    const chunk = v128.load(from);
    const slashes = i8x16.bitmask(i8x16.eq(chunk, i8x16.splat(0x2f)));
    const stops = i8x16.bitmask(v128.or(i8x16.eq(chunk, i8x16.splat(0x3f)), i8x16.eq(chunk, i8x16.splat(0x23))));
    const escapes = i8x16.bitmask(escapesOf(chunk));
    const dots = i8x16.bitmask(i8x16.eq(chunk, i8x16.splat(0x2e)));
    let suspects = escapes | (((slashes << 1) | afterSlash) & (slashes | dots));
    afterSlash = (slashes >> 15) & 1;
    const left = end - from;
    let valid = left >= 16 ? 0xffff : (1 << left) - 1;
    const stop = stops & valid;
    if (stop != 0) {
      const place = ctz(stop);
      valid &= (1 << place) - 1;
      query = from + place;
    }
    if ((suspects & valid) != 0) special = true;
    if (stop != 0) break;
  }
  let last = end;
  if (query < end) last = findByte(query, end, 0x23);
  if (last < end) store<i32>(REQ_FLAGS, load<i32>(REQ_FLAGS) | REQUEST_PATH_CHANGED);
  if (query > last) query = last;

  if (!special) {
    store<i32>(REQ_PATH_OFFSET, at);
    store<i32>(REQ_PATH_LENGTH, last - at);
    store<i32>(REQ_PATH_ONLY_LENGTH, query - at);
    return 0;
  }
  const length = normalizePath(at, query, options);
  if (length == PATH_REFUSED) return refuse(400, PARSE_ERROR_PATH);
  if (length == PATH_TOO_LONG || length + last - query > MAX_HEAD_BYTES) return refuse(431, PARSE_ERROR_HEAD_TOO_LARGE);
  if (length == query - at && equals(PATH_SCRATCH, at, length)) {
    store<i32>(REQ_PATH_OFFSET, at);
  } else {
    memory.copy(PATH_SCRATCH + length, query, last - query);
    store<i32>(REQ_PATH_OFFSET, PATH_SCRATCH);
    store<i32>(REQ_FLAGS, load<i32>(REQ_FLAGS) | REQUEST_PATH_CHANGED);
  }
  store<i32>(REQ_PATH_LENGTH, length + last - query);
  store<i32>(REQ_PATH_ONLY_LENGTH, length);
  return 0;
}

/** Which of sixteen bytes have a meaning of their own to normalizePath beside dots and slashes: % \ " < > ^ ` { | } */
@inline
function escapesOf(chunk: v128): v128 {
  // A bit for each high nibble, in a row for each low one.
  const rows = i8x16(64, 0, 4, 0, 0, 4, 0, 0, 0, 0, 0, -128, -88, -128, 40, 0);
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const row = i8x16.swizzle(rows, v128.and(chunk, i8x16.splat(0x0f)));
  return i8x16.ne(v128.and(row, i8x16.swizzle(bits, i8x16.shr_u(chunk, 4))), i8x16.splat(0));
}
