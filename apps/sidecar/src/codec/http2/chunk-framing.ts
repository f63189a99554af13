// HTTP/2 codec: puts chunked framing around DATA in place, so that bodies without a length have HTTP/1.1's form.

import { H2_HEAD_BUFFER, H2_HEAD_BUFFER_BYTES } from '@lateen/filters-wasm';

/** Where the end of a body is put: at the end of the buffer of heads, which nothing else reaches. */
export const CHUNKS_END = H2_HEAD_BUFFER + H2_HEAD_BUFFER_BYTES - 64;

const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;

/**
 * Puts the size of a chunk of up to 64 KiB before its bytes, and before that the line end of the chunk before it, where
 * there was one: at most eight bytes, for which the frame's own header has room. Returns how many.
 */
export function putChunkStart(bytes: Uint8Array, address: number, length: number, afterChunk: boolean): number {
  let at = address;
  bytes[--at] = LF;
  bytes[--at] = CR;
  for (let left = length; left > 0; left >>>= 4) {
    const digit = left & 15;
    bytes[--at] = digit < 10 ? ZERO + digit : 0x57 + digit;
  }
  if (afterChunk) {
    bytes[--at] = LF;
    bytes[--at] = CR;
  }
  return address - at;
}

/** Puts the last chunk, which is empty; returns how many bytes it takes. */
export function putChunksEnd(bytes: Uint8Array, address: number, afterChunk: boolean): number {
  let at = address;
  if (afterChunk) {
    bytes[at++] = CR;
    bytes[at++] = LF;
  }
  bytes[at++] = ZERO;
  for (let line = 0; line < 2; line++) {
    bytes[at++] = CR;
    bytes[at++] = LF;
  }
  return at - address;
}
