// The request target: authority syntax, and paths normalized to exactly the bytes that are matched and forwarded.
import {
  LISTENER_FLAGS, LISTENER_MERGE_SLASHES, LISTENER_NORMALIZE_PATH, LISTENER_REJECT_ESCAPED_SLASHES,
  LISTENER_UNESCAPE_SLASHES, PATH_SCRATCH, REQ_FLAGS, REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
  REQUEST_PATH_CHANGED,
} from '../../src/layout';
import { PARSE_ERROR_PATH } from './parse-errors';
import { equals, findByte, hexDigit } from '../ascii';
import { refuse } from './head';

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
    const escapes = i8x16.bitmask(v128.or(i8x16.eq(chunk, i8x16.splat(0x25)), i8x16.eq(chunk, i8x16.splat(0x5c))));
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
  const length = normalize(at, query, options);
  if (length < 0) return refuse(400, PARSE_ERROR_PATH);
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

/** Writes the normalized path of [at, end) to PATH_SCRATCH; its length, or -1 to refuse. */
function normalize(at: i32, end: i32, options: i32): i32 {
  const base = (options & LISTENER_NORMALIZE_PATH) != 0;
  let out = PATH_SCRATCH;
  if (at >= end || load<u8>(at) != 0x2f) store<u8>(out++, 0x2f); // an absolute-form target without a path
  while (at < end) {
    let byte = <i32>load<u8>(at);
    if (byte == 0x25) {
      const decoded = at + 2 < end ? escaped(at) : -1;
      if (decoded == 0) return -1;
      const slash = decoded == 0x2f || decoded == 0x5c;
      if (slash && (options & LISTENER_REJECT_ESCAPED_SLASHES) != 0) return -1;
      if ((slash && (options & LISTENER_UNESCAPE_SLASHES) != 0) || (base && isUnreserved(decoded))) {
        byte = decoded;
        at += 2;
      }
    }
    if (base && byte == 0x5c) byte = 0x2f;
    if (base && byte == 0x2f) out = endSegment(out, true);
    else store<u8>(out++, byte);
    at++;
  }
  if (base) out = endSegment(out, false);
  if ((options & LISTENER_MERGE_SLASHES) != 0) out = mergeSlashes(out);
  return out - PATH_SCRATCH;
}

/** Value of the escape %XX at `at`, or -1. */
function escaped(at: i32): i32 {
  const high = hexDigit(load<u8>(at + 1));
  const low = hexDigit(load<u8>(at + 2));
  return high < 0 || low < 0 ? -1 : (high << 4) | low;
}

@inline
function isUnreserved(byte: i32): bool {
  const letter = byte | 0x20;
  return (letter >= 0x61 && letter <= 0x7a && byte < 0x80) || (byte >= 0x30 && byte <= 0x39) ||
    byte == 0x2d || byte == 0x2e || byte == 0x5f || byte == 0x7e;
}

/** Ends the segment before `out`: `.` goes, `..` takes the one before it along (RFC 3986, 5.2.4). Adds a slash if told. */
function endSegment(out: i32, slash: bool): i32 {
  if (out == PATH_SCRATCH) {
    store<u8>(out, 0x2f);
    return out + 1;
  }
  let start = out;
  while (load<u8>(start - 1) != 0x2f) start--;
  const length = out - start;
  if (length == 1 && load<u8>(start) == 0x2e) return start;
  if (length == 2 && load<u16>(start) == 0x2e2e) {
    if (start - 1 == PATH_SCRATCH) return start;
    let parent = start - 1;
    while (load<u8>(parent - 1) != 0x2f) parent--;
    return parent;
  }
  if (slash) store<u8>(out++, 0x2f);
  return out;
}

function mergeSlashes(end: i32): i32 {
  let out = PATH_SCRATCH + 1;
  for (let at = PATH_SCRATCH + 1; at < end; at++) {
    const byte = load<u8>(at);
    if (byte == 0x2f && load<u8>(out - 1) == 0x2f) continue;
    store<u8>(out++, byte);
  }
  return out;
}
