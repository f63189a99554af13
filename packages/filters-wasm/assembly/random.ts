// Random numbers (xoroshiro128+), seeded by the embedder: weights, endpoint choice, request ids.
let low: u64 = 0x9e3779b97f4a7c15;
let high: u64 = 0xbf58476d1ce4e5b9;

function split(seed: u64): u64 {
  let z = seed + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

export function seed(first: i32, second: i32): void {
  low = split((<u64>(<u32>first) << 32) | <u64>(<u32>second));
  high = split(low);
  if ((low | high) == 0) low = 1;
}

export function random64(): u64 {
  const a = low;
  let b = high;
  const result = a + b;
  b ^= a;
  low = rotl<u64>(a, 24) ^ b ^ (b << 16);
  high = rotl<u64>(b, 37);
  return result;
}

/** 0 to 2^31 - 1. */
@inline
export function random31(): i32 {
  return <i32>(random64() >> 33);
}

/** 0 to bound - 1, by multiplication (no modulo bias worth naming for bounds far below 2^31). */
@inline
export function randomBelow(bound: i32): i32 {
  return <i32>(((random64() >> 32) * <u64>bound) >> 32);
}

/** Writes 36 characters of a version 4 UUID. */
export function putUuid(out: i32): void {
  // Byte 6 says the version, byte 8 the variant (RFC 9562, 5.4); the first byte is the lowest.
  const first = (random64() & 0xff0fffffffffffff) | 0x0040000000000000;
  const second = (random64() & 0xffffffffffffff3f) | 0x80;
  const bytes = i64x2.replace_lane(i64x2.splat(<i64>first), 1, <i64>second);
  const high = i8x16.shr_u(bytes, 4);
  const low = v128.and(bytes, i8x16.splat(0x0f));
  const digits = i8x16(0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66);
  const head = i8x16.swizzle(digits, i8x16.shuffle(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  const tail = i8x16.swizzle(digits, i8x16.shuffle(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  store<i64>(out, i64x2.extract_lane(head, 0));
  store<i32>(out + 9, i32x4.extract_lane(head, 2));
  store<i32>(out + 14, i32x4.extract_lane(head, 3));
  store<i32>(out + 19, i32x4.extract_lane(tail, 0));
  store<i32>(out + 24, i32x4.extract_lane(tail, 1));
  store<i64>(out + 28, i64x2.extract_lane(tail, 1));
  store<u8>(out + 8, 0x2d);
  store<u8>(out + 13, 0x2d);
  store<u8>(out + 18, 0x2d);
  store<u8>(out + 23, 0x2d);
}
