// Scanning and comparing of ASCII in memory, sixteen bytes at a time. Reads may pass `end` by up to 16 bytes (the memory map
// leaves room), but no result ever depends on a byte at or after `end`: stale bytes cannot complete anything.

// What `find` looks for; it is inlined with a constant, so that each caller has a loop of its own.
const NON_TOKEN = 0;
const CONTROL = 1;
const TARGET_END = 2;
const BYTE = 3;

/** Place of the first byte in [at, end) of a kind; `end` where there is none. `wanted` is for BYTE alone. */
@inline
function find(at: i32, end: i32, kind: i32, wanted: v128): i32 {
  while (at < end) {
    const mask = i8x16.bitmask(found(v128.load(at), kind, wanted));
    if (mask != 0) {
      const place = at + ctz(mask);
      return place < end ? place : end;
    }
    at += 16;
  }
  return end;
}

/** The bytes of a kind among sixteen. */
@inline
function found(chunk: v128, kind: i32, wanted: v128): v128 {
  if (kind == BYTE) return i8x16.eq(chunk, wanted);
  if (kind == TARGET_END) return v128.or(i8x16.le_u(chunk, i8x16.splat(0x20)), i8x16.ge_u(chunk, i8x16.splat(0x7f)));
  if (kind == CONTROL) {
    const control = v128.andnot(i8x16.lt_u(chunk, i8x16.splat(0x20)), i8x16.eq(chunk, i8x16.splat(9)));
    return v128.or(control, i8x16.eq(chunk, i8x16.splat(0x7f)));
  }
  // A bit for each high nibble, in a row for each low one: set where the byte is a token character.
  const rows = i8x16(-24, -4, -8, -4, -4, -4, -4, -4, -8, -8, -12, 84, -48, 84, -12, 112);
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const row = i8x16.swizzle(rows, v128.and(chunk, i8x16.splat(0x0f)));
  const bit = i8x16.swizzle(bits, i8x16.shr_u(chunk, 4));
  return i8x16.eq(v128.and(row, bit), i8x16.splat(0));
}

/** Place of the first byte in [at, end) that is not a token character (RFC 9110, 5.6.2); `end` where there is none. */
@inline
export function findNonToken(at: i32, end: i32): i32 {
  return find(at, end, NON_TOKEN, i8x16.splat(0));
}

/** Place of the first control byte other than a tab in [at, end); `end` where there is none. */
@inline
export function findControl(at: i32, end: i32): i32 {
  return find(at, end, CONTROL, i8x16.splat(0));
}

/** Place of the first byte in [at, end) that cannot be in a request target: a space, a control byte, DEL, one outside of ASCII. */
@inline
export function findTargetEnd(at: i32, end: i32): i32 {
  return find(at, end, TARGET_END, i8x16.splat(0));
}

/** Place of `byte` in [at, end); `end` where there is none. */
@inline
export function findByte(at: i32, end: i32, byte: i32): i32 {
  return find(at, end, BYTE, i8x16.splat(<i8>byte));
}

/** Whether an empty line (CRLF CRLF) is in [at, end). */
export function hasEmptyLine(at: i32, end: i32): bool {
  while (at + 4 <= end) {
    const found = findByte(at, end, 0x0d);
    if (found + 4 > end) return false;
    if (load<u32>(found) == 0x0a0d0a0d) return true;
    at = found + 1;
  }
  return false;
}

/** Upper-case ASCII letters as lower case, sixteen at once. */
@inline
export function lowerAll(bytes: v128): v128 {
  const upper = i8x16.lt_u(i8x16.sub(bytes, i8x16.splat(0x41)), i8x16.splat(26));
  return v128.or(bytes, v128.and(upper, i8x16.splat(0x20)));
}

@inline
function sixteen(at: i32, ignoreCase: bool): v128 {
  return ignoreCase ? lowerAll(v128.load(at)) : v128.load(at);
}

/** Inlined with a constant as well. */
@inline
function areEqual(a: i32, b: i32, length: i32, ignoreCase: bool): bool {
  while (length >= 16) {
    if (v128.any_true(v128.xor(sixteen(a, ignoreCase), sixteen(b, ignoreCase)))) return false;
    a += 16;
    b += 16;
    length -= 16;
  }
  const differ = i8x16.bitmask(i8x16.ne(sixteen(a, ignoreCase), sixteen(b, ignoreCase)));
  return (differ & ((1 << length) - 1)) == 0;
}

/** Whether two ranges of the same length hold the same bytes. */
export function equals(a: i32, b: i32, length: i32): bool {
  return areEqual(a, b, length, false);
}

/** Whether two ranges of the same length hold the same bytes when ASCII case is ignored. */
export function equalsIgnoreCase(a: i32, b: i32, length: i32): bool {
  return areEqual(a, b, length, true);
}

/** Hash in which ASCII case does not matter. Equal names have equal hashes; a hit is always compared. */
export function hashName(at: i32, length: i32): i32 {
  const fold: u64 = 0x2020202020202020;
  let hash: u64 = (<u64>length + 1) * 0x9e3779b97f4a7c15;
  if (length < 8) {
    const mask: u64 = ((<u64>1) << (<u64>length << 3)) - 1;
    hash = (hash ^ ((load<u64>(at) | fold) & mask)) * 0xff51afd7ed558ccd;
  } else {
    // The last word overlaps the one before it, so that none needs a mask.
    const last = at + length - 8;
    while (at < last) {
      hash = (hash ^ (load<u64>(at) | fold)) * 0xff51afd7ed558ccd;
      hash ^= hash >> 32;
      at += 8;
    }
    hash = (hash ^ (load<u64>(last) | fold)) * 0xff51afd7ed558ccd;
  }
  // A product carries differences upwards only; names that differ in their last bytes differ in its top bits alone.
  hash = (hash ^ (hash >> 32)) * 0xc4ceb9fe1a85ec53;
  return <i32>(hash >> 32);
}

/** Hash of bytes as they are; two words at a time, because values are long. */
export function hashBytes(at: i32, length: i32): i32 {
  let first: u64 = (<u64>length + 1) * 0x9e3779b97f4a7c15;
  let second: u64 = 0x2545f4914f6cdd1d;
  while (length >= 16) {
    first = rotl<u64>((first ^ load<u64>(at)) * 0xff51afd7ed558ccd, 29);
    second = rotl<u64>((second ^ load<u64>(at + 8)) * 0xc4ceb9fe1a85ec53, 31);
    at += 16;
    length -= 16;
  }
  while (length > 0) {
    first = rotl<u64>((first ^ <u64>load<u8>(at)) * 0xff51afd7ed558ccd, 29);
    at++;
    length--;
  }
  const hash = (first ^ rotl<u64>(second, 17)) * 0x9e3779b97f4a7c15;
  return <i32>(hash >> 32);
}

/** A decimal number of digits alone; -1 where it is empty, has another byte or is 2^53 or more. */
export function parseDigits(at: i32, length: i32): f64 {
  if (length == 0 || length > 19) return -1;
  let value: u64 = 0;
  for (let i = 0; i < length; i++) {
    const digit = <i32>load<u8>(at + i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value > 9007199254740991 ? -1 : <f64>value;
}

/** Value of a hexadecimal digit, or -1. */
@inline
export function hexDigit(byte: i32): i32 {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  if (letter >= 0x61 && letter <= 0x66) return letter - 0x61 + 10;
  return -1;
}
