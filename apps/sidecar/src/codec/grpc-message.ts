// Codec: a single message of gRPC without compression, as the body of a unary call has it.

import { inChunk, LAST_CHUNK } from './chunk-framing.js';

/** Whether a message is compressed, and its length. */
const PREFIX_BYTES = 5;

/** A message with its prefix. */
export function grpcMessage(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** The body of a call, with chunked framing and its end. */
export function unaryBody(message: Uint8Array): Buffer {
  return Buffer.concat([inChunk(grpcMessage(message)), LAST_CHUNK]);
}

/** The message of a body without framing; undefined where it is not exactly one, or compressed. */
export function unaryMessage(body: Buffer): Buffer | undefined {
  if (body.length < PREFIX_BYTES || body[0] !== 0 || body.readUInt32BE(1) !== body.length - PREFIX_BYTES)
    return undefined;
  return body.subarray(PREFIX_BYTES);
}
