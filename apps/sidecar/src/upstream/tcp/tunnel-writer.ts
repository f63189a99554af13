// Upstream: what of a request goes to an upstream that gets bytes and no HTTP: its body, without framing, and its end.

import { CHUNK_FORWARD, CHUNK_MODE_DATA, EMBEDDER_SCRATCH, EMBEDDER_SCRATCH_BYTES } from '@lateen/filters-wasm';
import { SocketWriter } from '../../transport/socket-writer.js';

export class TunnelWriter extends SocketWriter {
  /** Bodies come with chunked framing. */
  chunked = false;
  private chunkState = 0;

  /** Bytes that are not the request's. */
  writeRaw(bytes: Buffer): void {
    super.writeBuffer(bytes);
  }

  override writeBlock(block: number, length: number): void {
    if (!this.chunked) {
      super.writeBlock(block, length);
      return;
    }
    this.unframe(block, length);
    this.slots.give(block);
  }

  override writeKept(address: number, length: number): void {
    if (this.chunked) this.unframe(address, length);
    else super.writeKept(address, length);
  }

  override writeCopy(address: number, length: number): void {
    if (this.chunked) this.unframe(address, length);
    else super.writeCopy(address, length);
  }

  override writeBuffer(buffer: Buffer): void {
    if (!this.chunked) {
      super.writeBuffer(buffer);
      return;
    }
    for (let at = 0; at < buffer.length; at += EMBEDDER_SCRATCH_BYTES) {
      const piece = buffer.subarray(at, at + EMBEDDER_SCRATCH_BYTES);
      this.core.bytes.set(piece, EMBEDDER_SCRATCH);
      this.forward(piece.length);
    }
  }

  /** The body's end is the connection's. */
  override endMessage(): void {
    this.socket.end();
  }

  override releaseAll(): void {
    super.releaseAll();
    if (this.chunkState > 0) this.core.chunkStates.release(this.chunkState);
    this.chunkState = 0;
  }

  private unframe(address: number, length: number): void {
    for (let at = 0; at < length; at += EMBEDDER_SCRATCH_BYTES) {
      const piece = Math.min(length - at, EMBEDDER_SCRATCH_BYTES);
      this.core.wasm.copy(EMBEDDER_SCRATCH, address + at, piece);
      this.forward(piece);
    }
  }

  /** Takes the framing off what is in the scratch core. The client's side has found it well-formed. */
  private forward(length: number): void {
    const { core } = this;
    if (this.chunkState === 0) {
      this.chunkState = core.chunkStates.take();
      if (this.chunkState === 0) {
        this.socket.destroy(new Error('no room for another chunked body'));
        return;
      }
      core.wasm.resetChunks(this.chunkState, CHUNK_MODE_DATA);
    }
    core.wasm.scanChunks(this.chunkState, EMBEDDER_SCRATCH, length);
    const bytes = core.i32[(this.chunkState + CHUNK_FORWARD) >> 2]!;
    if (bytes === 0) return;
    const block = this.slots.take(bytes);
    if (block === 0) {
      super.writeBuffer(Buffer.from(core.bytes.subarray(EMBEDDER_SCRATCH, EMBEDDER_SCRATCH + bytes)));
      return;
    }
    core.wasm.copy(block, EMBEDDER_SCRATCH, bytes);
    super.writeBlock(block, bytes);
  }
}
