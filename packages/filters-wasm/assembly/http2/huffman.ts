// The Huffman code of HPACK (RFC 7541, 5.2 and appendix B). It is canonical, so that lengths alone make the tables.
import {
  H2_HUFFMAN_CODES, H2_HUFFMAN_LENGTHS, H2_HUFFMAN_LENGTH_BYTES, H2_HUFFMAN_SHORT, H2_HUFFMAN_SYMBOLS,
} from '../../src/http2/h2-layout';

/** Codes of up to so many bits are found by one look. */
const SHORT_BITS = 12;
const EOS = 256;
const SHORTEST = 5;
const LONGEST = 30;

/** Decodes [at, at + length) to `out`; the place after it, or -1 where it is not a whole string of the code. */
export function decodeHuffman(at: i32, length: i32, out: i32): i32 {
  const end = at + length;
  let bits: u64 = 0;
  let have = 0;
  while (at + 4 <= end) {
    bits |= <u64>bswap<u32>(load<u32>(at)) << (32 - have);
    have += 32;
    at += 4;
    while (have >= 32) {
      const entry = load<u32>(H2_HUFFMAN_SHORT + (<i32>(bits >> (64 - SHORT_BITS)) << 2));
      if (entry == 0) {
        const taken = symbol(bits, out);
        if (taken < 0) return -1;
        bits <<= taken;
        have -= taken;
        out++;
        continue;
      }
      store<u16>(out, <u16>entry);
      out += <i32>(entry >> 24);
      const taken = <i32>(entry >> 16) & 0xff;
      bits <<= taken;
      have -= taken;
    }
  }
  for (; at < end; at++) {
    bits |= <u64>load<u8>(at) << (56 - have);
    have += 8;
  }
  return decodeRest(bits, have, out);
}

/** The last bits of a string, symbol by symbol, and its padding: fewer than eight bits, all set. */
function decodeRest(bits: u64, have: i32, out: i32): i32 {
  while (true) {
    if (have < 8 && bits == ~(~(<u64>0) >> have)) return out;
    const taken = symbol(bits, out);
    if (taken < 0 || taken > have) return -1;
    bits <<= taken;
    have -= taken;
    out++;
  }
}

/** Writes the first symbol of `bits` to `out`; the length of its code, or -1 where there is no such code. */
function symbol(bits: u64, out: i32): i32 {
  const code = <u32>(bits >> 32);
  let codeLength = SHORTEST;
  let row = H2_HUFFMAN_LENGTHS + SHORTEST * H2_HUFFMAN_LENGTH_BYTES;
  while (codeLength < LONGEST && code >= load<u32>(row + 4)) {
    codeLength++;
    row += H2_HUFFMAN_LENGTH_BYTES;
  }
  const place = load<i32>(row + 8) + <i32>((code - load<u32>(row)) >> (32 - codeLength));
  const found = <i32>load<u16>(H2_HUFFMAN_SYMBOLS + (place << 1));
  store<u8>(out, found);
  return found == EOS ? -1 : codeLength;
}

/** How many bytes [at, at + length) would need. */
export function huffmanLength(at: i32, length: i32): i32 {
  let bits = 0;
  for (const end = at + length; at < end; at++) bits += load<i32>(H2_HUFFMAN_CODES + (<i32>load<u8>(at) << 3) + 4);
  return (bits + 7) >> 3;
}

/** Encodes [at, at + length) to `out`; the place after it. */
export function putHuffman(out: i32, at: i32, length: i32): i32 {
  let bits: u64 = 0;
  let have = 0;
  for (const end = at + length; at < end; at++) {
    const row = H2_HUFFMAN_CODES + (<i32>load<u8>(at) << 3);
    const codeLength = load<i32>(row + 4);
    bits = (bits << codeLength) | <u64>load<u32>(row);
    have += codeLength;
    while (have >= 8) {
      have -= 8;
      store<u8>(out++, <u8>(bits >> have));
    }
  }
  if (have > 0) store<u8>(out++, <u8>((<i32>bits << (8 - have)) | (0xff >> have)));
  return out;
}
