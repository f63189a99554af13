// xxHash64, as Envoy hashes keys of hosts and values of requests (xxHash specification, XXH64). Reads exactly the bytes.
import { HASH64_RESULT } from '../../src/compile/hashing/hash-layout';

const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;

@inline
function round(accumulator: u64, input: u64): u64 {
  return rotl<u64>(accumulator + input * P2, 31) * P1;
}

@inline
function merge(hash: u64, accumulator: u64): u64 {
  return (hash ^ round(0, accumulator)) * P1 + P4;
}

/** XXH64 of the bytes. */
export function xxHash64(at: i32, length: i32, seed: u64): u64 {
  const end = at + length;
  let hash: u64 = seed + P5;
  if (length >= 32) {
    let a: u64 = seed + P1 + P2;
    let b: u64 = seed + P2;
    let c: u64 = seed;
    let d: u64 = seed - P1;
    for (; at <= end - 32; at += 32) {
      a = round(a, load<u64>(at));
      b = round(b, load<u64>(at + 8));
      c = round(c, load<u64>(at + 16));
      d = round(d, load<u64>(at + 24));
    }
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  }
  hash += <u64>length;
  for (; at <= end - 8; at += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(at)), 27) * P1 + P4;
  if (at <= end - 4) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(at) * P1), 23) * P2 + P3;
    at += 4;
  }
  for (; at < end; at++) hash = rotl<u64>(hash ^ (<u64>load<u8>(at) * P5), 11) * P1;
  hash = (hash ^ (hash >> 33)) * P2;
  hash = (hash ^ (hash >> 29)) * P3;
  return hash ^ (hash >> 32);
}

/** See core-functions.ts. */
export function hash64(at: i32, length: i32, seed: i32): void {
  store<u64>(HASH64_RESULT, xxHash64(at, length, <u64>seed));
}
