// Output: the blocks of WASM memory that heads and body bytes wait in until the kernel has taken them.

import { createSlotPool, HEAD_SLOTS, OUTPUT_RING, OUTPUT_RING_BYTES, type SlotPool } from '@lateen/filters-wasm';

/** One whole read (64 KiB) with a head of ordinary size before it. */
const LARGE_BYTES = 72 * 1024;

/**
 * Fixed blocks of two sizes instead of one ring: writes to different sockets complete in any order, and in a ring one
 * stuck client would pin everything written after it. A block is taken for a write and given back at once where the
 * kernel took everything, otherwise by the write's callback. Where none is free the caller copies to a Buffer of its
 * own; memory stays bounded because reads pause while much is unwritten.
 */
export class OutSlots {
  private readonly large: SlotPool;
  readonly smallBytes: number;
  readonly largeBytes = LARGE_BYTES;
  /** How often no block was free. */
  exhausted = 0;

  constructor(private readonly small: SlotPool) {
    this.smallBytes = small.slotBytes;
    this.large = createSlotPool(OUTPUT_RING, LARGE_BYTES, Math.floor(OUTPUT_RING_BYTES / LARGE_BYTES));
  }

  /** Address of a block of at least `bytes`, or 0 where there is none. */
  take(bytes: number): number {
    let address = 0;
    if (bytes <= this.smallBytes) address = this.small.take();
    if (address === 0 && bytes <= LARGE_BYTES) address = this.large.take();
    if (address === 0) this.exhausted++;
    return address;
  }

  /** Size of a block. */
  capacity(address: number): number {
    return address >= HEAD_SLOTS ? this.smallBytes : LARGE_BYTES;
  }

  /** Gives a block back. @throws RangeError for an address that is no block in use, before it can do harm */
  give(address: number): void {
    if (address >= HEAD_SLOTS) this.small.release(address);
    else this.large.release(address);
  }

  get usedBytes(): number {
    return this.small.used * this.smallBytes + this.large.used * LARGE_BYTES;
  }
}
