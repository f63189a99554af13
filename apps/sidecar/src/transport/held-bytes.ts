// Transport: bytes that arrived before they could be used: a partial head, or the next request of a pipelining client.

import { type Core, HEAD_SLOT_BYTES } from '@lateen/filters-wasm';

const NOTHING = Buffer.alloc(0);

/** Small amounts wait in a pooled slot of the memory, larger ones (rare, bounded by the caller) in a Buffer. */
export class HeldBytes {
  private slot = 0;
  private buffer: Buffer = NOTHING;
  length = 0;

  constructor(private readonly core: Core) {}

  /** Adds bytes of the memory at the end. */
  append(address: number, length: number): void {
    const { core } = this;
    if (this.buffer.length === 0 && this.length + length <= HEAD_SLOT_BYTES) {
      if (this.slot === 0) this.slot = core.headSlots.take();
      if (this.slot !== 0) {
        core.wasm.copy(this.slot + this.length, address, length);
        this.length += length;
        return;
      }
    }
    const before = this.view();
    this.buffer = Buffer.concat([before, core.bytes.subarray(address, address + length)]);
    this.releaseSlot();
    this.length = this.buffer.length;
  }

  /** Moves up to `limit` of the oldest bytes to `address`; returns how many. */
  takeTo(address: number, limit: number): number {
    const count = Math.min(limit, this.length);
    const bytes = this.view();
    this.core.bytes.set(bytes.subarray(0, count), address);
    if (count === this.length) this.clear();
    else {
      this.buffer = Buffer.from(bytes.subarray(count));
      this.releaseSlot();
      this.length = this.buffer.length;
    }
    return count;
  }

  /** Everything, as a Buffer of its own. */
  takeBuffer(): Buffer {
    const all = this.slot === 0 ? this.buffer : Buffer.from(this.view());
    this.clear();
    return all;
  }

  /** Adds bytes of the memory at the front: what was taken and not used. */
  putBack(address: number, length: number): void {
    if (this.length === 0) {
      this.append(address, length);
      return;
    }
    this.buffer = Buffer.concat([this.core.bytes.subarray(address, address + length), this.view()]);
    this.releaseSlot();
    this.length = this.buffer.length;
  }

  clear(): void {
    this.releaseSlot();
    this.buffer = NOTHING;
    this.length = 0;
  }

  /** Everything, good until the next change. */
  view(): Buffer {
    return this.slot === 0 ? this.buffer : this.core.bytes.subarray(this.slot, this.slot + this.length);
  }

  private releaseSlot(): void {
    if (this.slot !== 0) this.core.headSlots.release(this.slot);
    this.slot = 0;
  }
}
