// HTTP/2 codec: writes one message of a stream: its head as HEADERS, its body as DATA under both windows, its trailers.

import { CHUNK_FORWARD, CHUNK_MODE_DATA, H2_HEAD_BUFFER } from '@lateen/filters-wasm';
import type { DrainListener, MessageWriter } from '../message-writer.js';
import { MAX_FRAME_BYTES } from './frames.js';
import type { Http2Session } from './http2-session.js';
import type { Http2Stream } from './http2-stream.js';

/** Bytes that wait for the peer's windows from which the source is paused, and below which it goes on. */
const HIGH_WATER_BYTES = 64 * 1024;
const LOW_WATER_BYTES = 32 * 1024;
/** Bytes from outside the memory, and bodies whose framing is taken off, go through the buffer of heads in such pieces. */
const PIECE_BYTES = 64 * 1024;

export class StreamWriter implements MessageWriter {
  /** Bodies come with HTTP/1.1's chunked framing, which HTTP/2 does not have. */
  chunked = false;
  queuedBytes = 0;
  private headSent = false;
  /** The message is complete, sent or not. */
  ended = false;
  /** The body's bytes that no window allows yet; `offset` of the first are sent. */
  private queue: Buffer[] = [];
  private offset = 0;
  private trailers: Buffer | null = null;
  private waiting: DrainListener | null = null;
  private settling: (() => void) | null = null;
  private chunkState = 0;

  constructor(
    private readonly session: Http2Session,
    private readonly stream: Http2Stream,
  ) {}

  writeBlock(block: number, length: number): void {
    this.take(block, length);
    this.session.path.slots.give(block);
  }

  writeKept(address: number, length: number): void {
    this.take(address, length);
  }

  writeCopy(address: number, length: number): void {
    this.take(address, length);
  }

  writeBuffer(buffer: Buffer): void {
    const { bytes } = this.session.path.core;
    for (let at = 0; at < buffer.length; at += PIECE_BYTES) {
      const piece = buffer.subarray(at, at + PIECE_BYTES);
      bytes.set(piece, H2_HEAD_BUFFER);
      this.take(H2_HEAD_BUFFER, piece.length);
    }
  }

  writeInterim(address: number, length: number): void {
    if (!this.headSent && !this.stream.localEnded) this.session.heads.sendInterim(this.stream, address, length);
  }

  writeTrailers(address: number, length: number): void {
    if (this.ended || this.stream.localEnded || length === 0) return;
    this.trailers = Buffer.from(this.session.path.core.bytes.subarray(address, address + length));
  }

  endMessage(): void {
    if (this.ended || this.stream.localEnded) return;
    this.ended = true;
    if (this.queue.length === 0) this.sendEnd();
  }

  /** What is written was copied: the block is free at once. */
  giveWhenSettled(block: number): void {
    this.session.path.slots.give(block);
  }

  whenSettled(callback: () => void): void {
    if (this.queue.length === 0) callback();
    else this.settling = callback;
  }

  get backedUp(): boolean {
    return this.queuedBytes >= HIGH_WATER_BYTES || this.session.backedUp;
  }

  notifyDrained(listener: DrainListener): void {
    this.waiting = listener;
    if (this.session.backedUp) this.session.awaitDrain(this);
  }

  stopNotifying(): void {
    this.waiting = null;
  }

  /** Sends what the windows allow, at most `quota` bytes; true where there is more to send and the stream's window is open. */
  pump(quota: number): boolean {
    const { session, stream, queue } = this;
    let left = quota;
    while (queue.length > 0 && left > 0) {
      const first = queue[0]!;
      const count = Math.min(first.length - this.offset, session.sendWindow, stream.sendWindow, MAX_FRAME_BYTES, left);
      if (count <= 0) break;
      session.sendDataFrom(stream, first, this.offset, count);
      this.offset += count;
      this.queuedBytes -= count;
      left -= count;
      if (this.offset === first.length) {
        queue.shift();
        this.offset = 0;
      }
    }
    if (queue.length === 0) {
      session.unblock(stream);
      const { settling } = this;
      this.settling = null;
      if (this.ended) this.sendEnd();
      settling?.();
    }
    this.tellDrained();
    return queue.length > 0 && stream.sendWindow > 0;
  }

  /** Tells the source where little is left. */
  tellDrained(): void {
    const { waiting } = this;
    if (waiting === null || this.queuedBytes >= LOW_WATER_BYTES) return;
    if (this.session.backedUp) {
      this.session.awaitDrain(this);
      return;
    }
    this.waiting = null;
    waiting.onDrained();
  }

  /** The stream has ended, or begins: nothing of an earlier message is left. */
  reset(): void {
    this.chunked = false;
    this.headSent = false;
    this.ended = false;
    if (this.queue.length > 0) this.queue = [];
    this.offset = 0;
    this.queuedBytes = 0;
    this.trailers = null;
    this.waiting = null;
    this.settling = null;
    if (this.chunkState !== 0) this.session.path.core.chunkStates.release(this.chunkState);
    this.chunkState = 0;
  }

  private take(address: number, length: number): void {
    if (this.stream.localEnded || length === 0) return;
    let at = address;
    let left = length;
    if (!this.headSent) {
      this.headSent = true;
      const head = this.session.heads.send(this.stream, at, left);
      if (head === 0) return;
      at += head;
      left -= head;
    }
    while (this.chunked && left > 0) {
      const piece = Math.min(left, PIECE_BYTES);
      const data = this.unframe(at, piece);
      if (data < 0) return;
      if (data > 0) this.send(H2_HEAD_BUFFER, data);
      at += piece;
      left -= piece;
    }
    if (left > 0) this.send(at, left);
  }

  /** Copies a piece of a chunked body to the buffer of heads without its framing; its length, or -1 where the stream ended. */
  private unframe(address: number, length: number): number {
    const { core } = this.session.path;
    if (this.chunkState === 0) {
      this.chunkState = core.chunkStates.take();
      if (this.chunkState === 0) {
        this.session.failStream(this.stream, 'there is no room for another chunked body');
        return -1;
      }
      core.wasm.resetChunks(this.chunkState, CHUNK_MODE_DATA);
    }
    if (address !== H2_HEAD_BUFFER) core.wasm.copy(H2_HEAD_BUFFER, address, length);
    core.wasm.scanChunks(this.chunkState, H2_HEAD_BUFFER, length);
    return core.i32[(this.chunkState + CHUNK_FORWARD) >> 2]!;
  }

  private send(address: number, length: number): void {
    const { session, stream } = this;
    let at = address;
    let left = length;
    while (this.queue.length === 0 && left > 0) {
      const count = Math.min(left, session.sendWindow, stream.sendWindow, MAX_FRAME_BYTES);
      if (count <= 0) break;
      session.sendData(stream, at, count);
      at += count;
      left -= count;
    }
    if (left === 0) return;
    this.queue.push(Buffer.from(session.path.core.bytes.subarray(at, at + left)));
    this.queuedBytes += left;
    session.block(stream);
  }

  private sendEnd(): void {
    const { trailers } = this;
    this.trailers = null;
    this.session.sendEnd(this.stream, trailers);
  }
}
