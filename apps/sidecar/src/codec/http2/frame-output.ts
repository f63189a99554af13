// HTTP/2 codec: gathers the frames of one connection in output blocks, so that one turn of the event loop is one write.

import { H2_BLOCK_BUFFER, H2_BLOCK_BUFFER_BYTES } from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { SocketWriter } from '../../transport/socket-writer.js';
import type { FloodGuard } from './flood-guard.js';
import { flushSoon } from './flush-soon.js';
import { FLAG_END_STREAM, FRAME_HEADER_BYTES, putFrameHeader } from './frames.js';

export class FrameOutput {
  /** Changes whenever gathered frames have left, and so can no longer be changed. */
  epoch = 0;
  private block = 0;
  private used = 0;
  private capacity = 0;
  private scheduled = false;
  private closed = false;

  constructor(
    private readonly path: DataPath,
    private readonly writer: SocketWriter,
    private readonly floods: FloodGuard,
  ) {}

  /** Where a frame of up to `bytes` may be put; `commit` it before anything else is reserved. */
  reserve(bytes: number): number {
    if (this.block !== 0 && this.used + bytes <= this.capacity) return this.block + this.used;
    const { slots } = this.path;
    // Who has filled a small block has more to say.
    const wanted = this.block === 0 ? bytes : slots.largeBytes;
    this.send();
    this.block = slots.take(Math.max(wanted, bytes));
    if (this.block === 0 && wanted > bytes) this.block = slots.take(bytes);
    if (this.block === 0) return H2_BLOCK_BUFFER;
    this.capacity = slots.capacity(this.block);
    return this.block + this.used;
  }

  /** The greatest size for `reserve`. */
  get maxBytes(): number {
    return Math.min(this.path.slots.largeBytes, H2_BLOCK_BUFFER_BYTES);
  }

  /** What was put at the reserved place is `bytes` long. The epoch in which it can still be changed, -1 where it cannot. */
  commit(bytes: number): number {
    if (this.closed) return -1;
    if (this.block === 0) {
      // No block was free: it goes out by itself.
      this.writer.writeBuffer(Buffer.from(this.path.core.bytes.subarray(H2_BLOCK_BUFFER, H2_BLOCK_BUFFER + bytes)));
      return -1;
    }
    this.used += bytes;
    if (!this.scheduled) {
      this.scheduled = true;
      flushSoon(this);
    }
    return this.epoch;
  }

  /** A frame without anything but its first bytes, or with a payload that `fill` writes. */
  frame(type: number, flags: number, streamId: number, payload: Uint8Array | null): void {
    const length = payload === null ? 0 : payload.length;
    const at = this.reserve(FRAME_HEADER_BYTES + length);
    const { bytes } = this.path.core;
    putFrameHeader(bytes, at, length, type, flags, streamId);
    if (payload !== null) bytes.set(payload, at + FRAME_HEADER_BYTES);
    this.commit(FRAME_HEADER_BYTES + length);
  }

  /** Makes a frame at `at`, written in this epoch, the last of its stream. */
  markEnd(at: number): void {
    const { bytes } = this.path.core;
    bytes[at + 4] = bytes[at + 4]! | FLAG_END_STREAM;
  }

  flush(): void {
    this.scheduled = false;
    if (this.writer.settled) this.floods.onSettled();
    this.send();
  }

  /** Nothing is written from here on. */
  release(): void {
    this.closed = true;
    if (this.block !== 0) this.path.slots.give(this.block);
    this.block = 0;
    this.used = 0;
    this.epoch++;
  }

  private send(): void {
    if (this.block === 0) return;
    const { block, used } = this;
    this.block = 0;
    this.used = 0;
    this.epoch++;
    if (used === 0) this.path.slots.give(block);
    else this.writer.writeBlock(block, used);
  }
}
