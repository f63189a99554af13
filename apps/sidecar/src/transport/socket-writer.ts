// Transport: the writing side of one socket; gives output blocks back as soon as nobody needs their bytes.

import type { Core } from '@lateen/filters-wasm';
import type { OutSlots } from './out-slots.js';
import type { OwnedSocket, WriteWatcher } from './proxy-socket.js';

/** Unwritten bytes of one socket from which its source is paused. */
const HIGH_WATER_BYTES = 128 * 1024;

/** Told when a writer that was over the high-water mark has little left. */
export interface DrainListener {
  onDrained(): void;
}

export class SocketWriter implements WriteWatcher {
  /**
   * One entry for each write that is not complete, oldest first: the block to give back then, or 0 where the bytes belong
   * to somebody else. A negative entry is no write but a block to give back once the writes before it are complete.
   */
  private pending: number[] | null = null;
  private waiting: DrainListener | null = null;
  private settling: (() => void) | null = null;

  constructor(
    private readonly core: Core,
    private readonly slots: OutSlots,
    private readonly socket: OwnedSocket,
  ) {
    socket.watcher = this;
  }

  /** Writes a block's first `length` bytes; the block is given back when they are no longer needed. */
  writeBlock(block: number, length: number): void {
    if (this.send(block, length, block)) this.slots.give(block);
  }

  /** Writes bytes of a block that stays the caller's. False where the caller must keep them until `settled`. */
  writeKept(address: number, length: number): boolean {
    return this.send(address, length, 0);
  }

  /** Copies bytes from anywhere in the memory (the read buffer) and writes them. */
  writeCopy(address: number, length: number): void {
    const block = this.slots.take(length);
    if (block === 0) {
      this.writeBuffer(Buffer.from(this.core.bytes.subarray(address, address + length)));
      return;
    }
    this.core.wasm.copy(block, address, length);
    this.writeBlock(block, length);
  }

  /** Writes bytes outside the memory. */
  writeBuffer(buffer: Buffer): void {
    if (!this.socket.write(buffer)) this.note(0);
  }

  /** Gives a kept block back now or when the writes that are under way are complete. */
  giveWhenSettled(block: number): void {
    if (this.settled) this.slots.give(block);
    else this.note(-block);
  }

  /** No write is under way. */
  get settled(): boolean {
    return this.pending === null || this.pending.length === 0;
  }

  /** Calls back once no write is under way: now, or later; never where the socket closes before. */
  whenSettled(callback: () => void): void {
    if (this.settled) callback();
    else this.settling = callback;
  }

  /** So much is unwritten that the source should pause; `notifyDrained` tells when to go on. */
  get backedUp(): boolean {
    return this.pending !== null && this.socket.unwrittenBytes >= HIGH_WATER_BYTES;
  }

  /** Only where it is backed up. */
  notifyDrained(listener: DrainListener): void {
    this.waiting = listener;
  }

  /** Forgets who waits, for example when the exchange has ended. */
  stopNotifying(): void {
    this.waiting = null;
  }

  /** After the socket was destroyed: nothing reads the blocks any more. */
  releaseAll(): void {
    this.waiting = null;
    this.settling = null;
    const { pending } = this;
    this.pending = null;
    if (pending === null) return;
    for (const block of pending) if (block !== 0) this.slots.give(Math.abs(block));
  }

  onWritten(writes: number): void {
    this.giveOldest(writes);
    if (this.settling !== null && this.settled) {
      const callback = this.settling;
      this.settling = null;
      callback();
    }
    if (this.waiting === null || this.socket.unwrittenBytes >= HIGH_WATER_BYTES / 2) return;
    const listener = this.waiting;
    this.waiting = null;
    listener.onDrained();
  }

  /** True where the bytes have left already. */
  private send(address: number, length: number, block: number): boolean {
    if (this.socket.write(this.core.bytes.subarray(address, address + length))) return true;
    this.note(block);
    return false;
  }

  private note(entry: number): void {
    if (this.pending === null) this.pending = [entry];
    else this.pending.push(entry);
  }

  private giveOldest(writes: number): void {
    const { pending } = this;
    if (pending === null) return;
    for (let left = writes; pending.length > 0; ) {
      const entry = pending[0]!;
      if (entry >= 0 && left-- === 0) return;
      pending.shift();
      if (entry !== 0) this.slots.give(Math.abs(entry));
    }
  }
}
