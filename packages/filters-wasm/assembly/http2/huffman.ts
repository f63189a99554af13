// The Huffman code of HPACK (RFC 7541, 5.2 and appendix B). It is canonical, so that lengths alone make the tables.
import {
  H2_HUFFMAN_CODES, H2_HUFFMAN_LENGTHS, H2_HUFFMAN_LENGTH_BYTES, H2_HUFFMAN_SHORT, H2_HUFFMAN_SYMBOLS,
} from '../../src/http2/h2-layout';

/** Codes of up to so many bits are found by one look. */
const SHORT_BITS = 10;
const EOS = 256;

/** Decodes [at, at + length) to `out`; the place after it, or -1 where it is not a whole string of the code. */
export function decodeHuffman(at: i32, length: i32, out: i32): i32 {
  const end = at + length;
  let bits: u64 = 0;
  let have = 0;
  while (true) {
    if (have <= 32) {
      if (at + 4 <= end) {
        bits |= <u64>bswap<u32>(load<u32>(at)) << (32 - have);
        have += 32;
        at += 4;
      } else {
        while (at < end && have <= 56) {
          bits |= <u64>load<u8>(at) << (56 - have);
          have += 8;
          at++;
        }
        // Padding: fewer than eight bits, all set.
        if (have < 8 && bits == ~(~(<u64>0) >> have)) return out;
      }
    }
    const entry = <i32>load<u16>(H2_HUFFMAN_SHORT + (<i32>(bits >> (64 - SHORT_BITS)) << 1));
    let codeLength = entry >> 8;
    let symbol = entry & 0xff;
    if (codeLength == 0) {
      const code = <u32>(bits >> 32);
      codeLength = SHORT_BITS + 1;
      let row = H2_HUFFMAN_LENGTHS + codeLength * H2_HUFFMAN_LENGTH_BYTES;
      while (codeLength < 30 && code >= load<u32>(row + 4)) {
        codeLength++;
        row += H2_HUFFMAN_LENGTH_BYTES;
      }
      const place = load<i32>(row + 8) + <i32>((code - load<u32>(row)) >> (32 - codeLength));
      symbol = <i32>load<u16>(H2_HUFFMAN_SYMBOLS + (place << 1));
      if (symbol == EOS) return -1;
    }
    if (codeLength > have) return -1;
    bits <<= codeLength;
    have -= codeLength;
    store<u8>(out++, symbol);
  }
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
