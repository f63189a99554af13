// The path of a target as it is matched and forwarded: what Envoy's path normalization makes of it, in one pass.
import {
  LISTENER_MERGE_SLASHES, LISTENER_NORMALIZE_PATH, LISTENER_REJECT_ESCAPED_SLASHES, LISTENER_UNESCAPE_SLASHES, MAX_HEAD_BYTES,
  PATH_SCRATCH,
} from '../../src/layout';
import { hexDigit } from '../ascii';

/** Instead of a length: the path is refused, or has no room. */
export const PATH_REFUSED = -1;
export const PATH_TOO_LONG = -2;

/** Writes the normalized path of [at, end) to PATH_SCRATCH; its length, or one of the above. */
export function normalizePath(at: i32, end: i32, options: i32): i32 {
  const base = (options & LISTENER_NORMALIZE_PATH) != 0;
  const limit = PATH_SCRATCH + MAX_HEAD_BYTES;
  // A `%` of this segment that begins no escape.
  let bare = 0;
  let out = PATH_SCRATCH;
  if (at >= end || load<u8>(at) != 0x2f) store<u8>(out++, 0x2f); // an absolute-form target without a path
  while (at < end) {
    if (out > limit) return PATH_TOO_LONG;
    let byte = <i32>load<u8>(at);
    if (byte == 0x25) {
      const decoded = at + 2 < end ? escaped(at) : -1;
      if (decoded == 0) return PATH_REFUSED;
      const slash = decoded == 0x2f || decoded == 0x5c;
      if (slash && (options & LISTENER_REJECT_ESCAPED_SLASHES) != 0) return PATH_REFUSED;
      if (slash && (options & LISTENER_UNESCAPE_SLASHES) != 0) {
        byte = decoded;
        at += 2;
      } else if (base && isUnreserved(decoded)) {
        at += 3;
        store<u8>(out++, <u8>decoded);
        if (bare != 0 && out - bare <= 3) out = keepBare(bare, out, at, end);
        continue;
      } else if (decoded < 0) {
        bare = out;
      }
    }
    if (base && (byte == 0x2f || byte == 0x5c)) {
      out = endSegment(out, true);
      bare = 0;
    } else if (base && isNoPathByte(byte)) {
      out = putEscape(out, byte);
    } else {
      store<u8>(out++, <u8>byte);
    }
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

/** " < > ^ ` { | }: bytes that a path has as escapes alone (the path percent-encode set of the URL standard). */
@inline
function isNoPathByte(byte: i32): bool {
  return byte == 0x22 || byte == 0x3c || byte == 0x3e || byte == 0x5e || byte == 0x60 || (byte >= 0x7b && byte <= 0x7d);
}

@inline
function putEscape(out: i32, byte: i32): i32 {
  store<u8>(out, 0x25);
  store<u8>(out + 1, hexText(byte >> 4));
  store<u8>(out + 2, hexText(byte & 15));
  return out + 3;
}

@inline
function hexText(digit: i32): u8 {
  return <u8>(digit < 10 ? 0x30 + digit : 0x37 + digit);
}

/**
 * What was decoded last, before `out`, must not make an escape of a bare `%`: of `%%32%65` would remain `%2e`, which nobody has
 * decoded yet. Such a `%` is written as `%25`, as Envoy's URL library does. [at, end) is what follows.
 */
function keepBare(bare: i32, out: i32, at: i32, end: i32): i32 {
  const second = out - bare == 3 ? <i32>load<u8>(bare + 2) : at < end ? <i32>load<u8>(at) : 0;
  if (hexDigit(load<u8>(bare + 1)) < 0 || hexDigit(second) < 0) return out;
  memory.copy(bare + 3, bare + 1, out - bare - 1);
  store<u16>(bare + 1, 0x3532); // "25"
  return out + 2;
}

/**
 * Ends the segment before `out`: `.` goes, `..` takes the one before it along (RFC 3986, 5.2.4), both also with parameters
 * (`..;a`): servers that take those away see the dots alone. Adds a slash if told.
 */
function endSegment(out: i32, slash: bool): i32 {
  if (out == PATH_SCRATCH) {
    store<u8>(out, 0x2f);
    return out + 1;
  }
  let start = out;
  while (load<u8>(start - 1) != 0x2f) start--;
  const dots = dotsOf(start, out);
  if (dots == 1) return start;
  if (dots == 2) {
    if (start - 1 == PATH_SCRATCH) return start;
    let parent = start - 1;
    while (load<u8>(parent - 1) != 0x2f) parent--;
    return parent;
  }
  if (slash) store<u8>(out++, 0x2f);
  return out;
}

/** 1 or 2 where the segment is nothing but so many dots, and parameters; else 0. */
@inline
function dotsOf(start: i32, end: i32): i32 {
  const length = end - start;
  if (length == 0 || load<u8>(start) != 0x2e) return 0;
  if (length == 1 || load<u8>(start + 1) == 0x3b) return 1;
  if (load<u8>(start + 1) != 0x2e) return 0;
  return length == 2 || load<u8>(start + 2) == 0x3b ? 2 : 0;
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
