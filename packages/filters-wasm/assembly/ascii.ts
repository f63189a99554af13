// Scanning and comparing of ASCII in memory, sixteen bytes at a time. Reads may pass `end` by up to 16 bytes (the memory map
// leaves room), but no result ever depends on a byte at or after `end`: stale bytes cannot complete anything.

/** Place of the first byte in [at, end) that is not a token character (RFC 9110, 5.6.2); `end` where there is none. */
@inline
export function findNonToken(at: i32, end: i32): i32 {
  const rows = i8x16(-24, -4, -8, -4, -4, -4, -4, -4, -8, -8, -12, 84, -48, 84, -12, 112);
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const nibble = i8x16.splat(0x0f);
  while (at < end) {
    const chunk = v128.load(at);
    const row = i8x16.swizzle(rows, v128.and(chunk, nibble));
    const bit = i8x16.swizzle(bits, i8x16.shr_u(chunk, 4));
    const mask = i8x16.bitmask(i8x16.eq(v128.and(row, bit), i8x16.splat(0)));
    if (mask != 0) {
      const found = at + ctz(mask);
      return found < end ? found : end;
    }
    at += 16;
  }
  return end;
}

/** Place of the first control byte other than a tab in [at, end); `end` where there is none. */
@inline
export function findControl(at: i32, end: i32): i32 {
  while (at < end) {
    const chunk = v128.load(at);
    const control = v128.andnot(i8x16.lt_u(chunk, i8x16.splat(0x20)), i8x16.eq(chunk, i8x16.splat(9)));
    const mask = i8x16.bitmask(v128.or(control, i8x16.eq(chunk, i8x16.splat(0x7f))));
    if (mask != 0) {
      const found = at + ctz(mask);
      return found < end ? found : end;
    }
    at += 16;
  }
  return end;
}

/** Place of the first byte in [at, end) that cannot be in a request target: a space, a control byte, DEL. */
@inline
export function findTargetEnd(at: i32, end: i32): i32 {
  while (at < end) {
    const chunk = v128.load(at);
    const mask = i8x16.bitmask(
      v128.or(i8x16.le_u(chunk, i8x16.splat(0x20)), i8x16.eq(chunk, i8x16.splat(0x7f))),
    );
    if (mask != 0) {
      const found = at + ctz(mask);
      return found < end ? found : end;
    }
    at += 16;
  }
  return end;
}

/** Place of `byte` in [at, end); `end` where there is none. */
@inline
export function findByte(at: i32, end: i32, byte: i32): i32 {
  const wanted = i8x16.splat(<i8>byte);
  while (at < end) {
    const mask = i8x16.bitmask(i8x16.eq(v128.load(at), wanted));
    if (mask != 0) {
      const found = at + ctz(mask);
      return found < end ? found : end;
    }
    at += 16;
  }
  return end;
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

/** An upper-case ASCII letter as lower case, any other byte as it is. */
@inline
export function lower(byte: i32): i32 {
  return byte - 0x41 < 0 || byte - 0x41 > 25 ? byte : byte | 0x20;
}

/** Whether two ranges of the same length hold the same bytes. */
export function equals(a: i32, b: i32, length: i32): bool {
  const end = a + length;
  while (a + 8 <= end) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
  }
  while (a < end) {
    if (load<u8>(a) != load<u8>(b)) return false;
    a++;
    b++;
  }
  return true;
}

/** Whether two ranges of the same length hold the same bytes when ASCII case is ignored. */
export function equalsIgnoreCase(a: i32, b: i32, length: i32): bool {
  const end = a + length;
  while (a + 8 <= end) {
    if (load<u64>(a) != load<u64>(b)) {
      for (let i = 0; i < 8; i++) {
        if (lower(load<u8>(a + i)) != lower(load<u8>(b + i))) return false;
      }
    }
    a += 8;
    b += 8;
  }
  while (a < end) {
    if (lower(load<u8>(a)) != lower(load<u8>(b))) return false;
    a++;
    b++;
  }
  return true;
}

/** Hash in which ASCII case does not matter. Equal names have equal hashes; a hit is always compared. */
export function hashName(at: i32, length: i32): i32 {
  const fold: u64 = 0x2020202020202020;
  let hash: u64 = (<u64>length + 1) * 0x9e3779b97f4a7c15;
  while (length >= 8) {
    hash = (hash ^ (load<u64>(at) | fold)) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
    at += 8;
    length -= 8;
  }
  if (length > 0) {
    const mask: u64 = ((<u64>1) << (<u64>length << 3)) - 1;
    hash = (hash ^ ((load<u64>(at) | fold) & mask)) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
  }
  return <i32>(hash ^ (hash >> 15));
}

/** Hash of bytes as they are. */
export function hashBytes(at: i32, length: i32): i32 {
  let hash: u64 = (<u64>length + 1) * 0x9e3779b97f4a7c15;
  while (length >= 8) {
    hash = (hash ^ load<u64>(at)) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
    at += 8;
    length -= 8;
  }
  if (length > 0) {
    const mask: u64 = ((<u64>1) << (<u64>length << 3)) - 1;
    hash = (hash ^ (load<u64>(at) & mask)) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
  }
  return <i32>(hash ^ (hash >> 15));
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
