// Downstream: where the body of a request ends, and which of its bytes are forwarded.

import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  CHUNK_FORWARD,
  CHUNK_MODE_FRAMED,
  CHUNK_PHASE,
  CHUNK_PHASE_DONE,
  type Core,
  REQ_BODY,
  REQ_CONTENT_LENGTH,
} from '@lateen/filters-wasm';

export class RequestFraming {
  /** Of the bytes last looked at: how many, from the start, are to be forwarded (compacted in place). */
  forward = 0;
  /** The body has ended with them. */
  complete = false;
  private kind = BODY_NONE;
  private remaining = 0;
  /** State of the chunk scanner in the core's memory; taken with the connection's first chunked body. */
  private chunkState = 0;

  constructor(private readonly core: Core) {}

  /** REQ_* is filled. False where there is no room for another chunked body. */
  begin(): boolean {
    const { core } = this;
    this.kind = core.i32[REQ_BODY >> 2]!;
    this.remaining = this.kind === BODY_LENGTH ? core.f64[REQ_CONTENT_LENGTH >> 3]! : 0;
    if (this.kind !== BODY_CHUNKED) return true;
    if (this.chunkState === 0) this.chunkState = core.chunkStates.take();
    if (this.chunkState === 0) return false;
    core.wasm.resetChunks(this.chunkState, CHUNK_MODE_FRAMED);
    return true;
  }

  /** Returns how many of the bytes belong to this body; negative where its chunks are malformed. */
  take(address: number, length: number): number {
    if (this.kind === BODY_CHUNKED) {
      const { core } = this;
      const used = core.wasm.scanChunks(this.chunkState, address, length);
      this.forward = core.i32[(this.chunkState + CHUNK_FORWARD) >> 2]!;
      this.complete = core.i32[(this.chunkState + CHUNK_PHASE) >> 2] === CHUNK_PHASE_DONE;
      return used;
    }
    const used = Math.min(length, this.remaining);
    this.remaining -= used;
    this.forward = used;
    this.complete = this.remaining === 0;
    return used;
  }

  release(): void {
    if (this.chunkState !== 0) this.core.chunkStates.release(this.chunkState);
    this.chunkState = 0;
  }
}
