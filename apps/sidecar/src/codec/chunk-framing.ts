// Codec: chunked framing of HTTP/1.1 around bytes that the proxy itself writes (RFC 9112, 7.1).

const CRLF = Buffer.from('\r\n');

/** Ends a body; no trailers follow. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** One chunk; `bytes` must not be empty, since an empty one would end the body. */
export function inChunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, CRLF]);
}
