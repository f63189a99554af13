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
  let a = random64();
  let b = random64();
  a = (a & 0xffffffffffff0fff) | 0x4000;
  b = (b & 0x3fffffffffffffff) | 0x8000000000000000;
  let at = out;
  for (let i = 0; i < 32; i++) {
    if (i == 8 || i == 12 || i == 16 || i == 20) store<u8>(at++, 0x2d);
    const nibble = <i32>((i < 16 ? a >> (60 - (<u64>i << 2)) : b >> (60 - (<u64>(i - 16) << 2))) & 15);
    store<u8>(at++, <u8>(nibble < 10 ? 0x30 + nibble : 0x57 + nibble));
  }
}
