// HTTP/2 codec: sends heads and trailers, encoded from HTTP/1.1's form, in as many frames as they need.

import { H2_ENCODED_HEAD_LENGTH, H2_HEAD_BUFFER, H2_RESPONSE, H2_TRAILERS } from '@lateen/filters-wasm';
import * as F from './frames.js';
import { putFrameHeader } from './frames.js';
import type { Http2Session } from './http2-session.js';
import type { Http2Stream } from './http2-stream.js';

/** Where a head is encoded that may need several frames: behind the buffer's first half, where it may come from. */
const LARGE_BLOCK = H2_HEAD_BUFFER + 65_536;
const LARGE_BLOCK_BYTES = 65_536;
/** What the encoder may need on top of a head's own length. */
const ADDED_BYTES = 256;
/** A change of the table's size to nothing: we put nothing into it, and a peer that makes it smaller must be told so. */
const NO_TABLE = 0x20;

export class HeadSender {
  /** The next header block must begin with the size of our table. */
  tableUpdateDue = false;

  constructor(private readonly session: Http2Session) {}

  /** Sends the head that begins the `length` bytes at `address`; its length there, 0 where the stream was ended instead. */
  send(stream: Http2Stream, address: number, length: number): number {
    const { output, path } = this.session;
    const { core } = path;
    // Room for what follows it as well, so that both leave in one block.
    const frames = 2 + Math.ceil(length / F.MAX_FRAME_BYTES);
    const room = Math.min(length + ADDED_BYTES + frames * F.FRAME_HEADER_BYTES, output.maxBytes);
    const at = output.reserve(room);
    const block = at + F.FRAME_HEADER_BYTES + (this.tableUpdateDue ? 1 : 0);
    const capacity = Math.min(room - F.FRAME_HEADER_BYTES, F.MAX_FRAME_BYTES) - 1;
    const encoded = core.wasm.h2EncodeHead(address, length, stream.headKind, block, capacity);
    if (encoded > 0) this.commit(stream, at, encoded);
    else if (!this.sendLarge(stream, address, length, stream.headKind, 0)) return 0;
    return core.i32[H2_ENCODED_HEAD_LENGTH >> 2]!;
  }

  /** Sends an interim response. */
  sendInterim(stream: Http2Stream, address: number, length: number): void {
    this.sendLarge(stream, address, length, H2_RESPONSE, 0);
  }

  /** Sends trailers, header lines, and ends our side of the stream with them. */
  sendTrailers(stream: Http2Stream, trailers: Buffer): void {
    const { core } = this.session.path;
    core.bytes.set(trailers, H2_HEAD_BUFFER);
    this.sendLarge(stream, H2_HEAD_BUFFER, trailers.length, H2_TRAILERS, F.FLAG_END_STREAM);
  }

  private commit(stream: Http2Stream, at: number, encoded: number): void {
    const { output, path, floods } = this.session;
    const { bytes } = path.core;
    const length = this.tableUpdateDue ? encoded + 1 : encoded;
    if (this.tableUpdateDue) bytes[at + F.FRAME_HEADER_BYTES] = NO_TABLE;
    this.tableUpdateDue = false;
    putFrameHeader(bytes, at, length, F.FRAME_HEADERS, F.FLAG_END_HEADERS, stream.id);
    stream.lastFrameAt = at;
    const epoch = output.commit(F.FRAME_HEADER_BYTES + length);
    // A request that was to have a body, and has none, ends with an empty DATA frame: servers of gRPC insist on it.
    stream.lastFrameEpoch = stream.writer.chunked ? -1 : epoch;
    this.session.check(floods.frameSent());
  }

  /** A head that needs more than one frame, or more room than was guessed. */
  private sendLarge(stream: Http2Stream, address: number, length: number, kind: number, flags: number): boolean {
    const { output, path } = this.session;
    const { core } = path;
    const encoded = core.wasm.h2EncodeHead(address, length, kind, LARGE_BLOCK, LARGE_BLOCK_BYTES);
    if (encoded <= 0) {
      path.log('error', 'a head exceeds the room for HTTP/2 heads', { length });
      this.session.failStream(stream, 'a head exceeds the room for heads');
      return false;
    }
    let at = LARGE_BLOCK;
    let left = encoded;
    let update = this.tableUpdateDue ? 1 : 0;
    this.tableUpdateDue = false;
    for (let type = F.FRAME_HEADERS; left > 0; type = F.FRAME_CONTINUATION) {
      const count = Math.min(left, F.MAX_FRAME_BYTES - update);
      const place = output.reserve(F.FRAME_HEADER_BYTES + update + count);
      const last = count === left ? F.FLAG_END_HEADERS : 0;
      const first = type === F.FRAME_HEADERS ? flags : 0;
      putFrameHeader(core.bytes, place, update + count, type, last | first, stream.id);
      if (update === 1) core.bytes[place + F.FRAME_HEADER_BYTES] = NO_TABLE;
      core.wasm.copy(place + F.FRAME_HEADER_BYTES + update, at, count);
      output.commit(F.FRAME_HEADER_BYTES + update + count);
      at += count;
      left -= count;
      update = 0;
    }
    stream.lastFrameEpoch = -1;
    return true;
  }
}
