// Transport: the writing side of one socket; gives output blocks back as soon as nobody needs their bytes.

import type { Core } from '@lateen/filters-wasm';
import type { DrainListener, MessageWriter } from '../codec/message-writer.js';
import type { OutSlots } from './out-slots.js';
import type { OwnedSocket, WriteWatcher } from './proxy-socket.js';

/** Unwritten bytes of one socket from which its source is paused. */
const HIGH_WATER_BYTES = 128 * 1024;

/** Also the writer of HTTP/1.1's messages, whose form on the wire is that in which they are written. */
export class SocketWriter implements MessageWriter, WriteWatcher {
  /**
   * One entry for each write that is not complete, oldest first: the block to give back then, or 0 where the bytes belong
   * to somebody else. A negative entry is no write but a block to give back once the writes before it are complete.
   */
  private pending: number[] | null = null;
  private waiting: DrainListener | null = null;
  private settling: (() => void) | null = null;

  constructor(
    protected readonly core: Core,
    protected readonly slots: OutSlots,
    protected readonly socket: OwnedSocket,
  ) {
    socket.watcher = this;
  }

  writeBlock(block: number, length: number): void {
    if (this.send(block, length, block)) this.slots.give(block);
  }

  writeKept(address: number, length: number): void {
    this.send(address, length, 0);
  }

  writeCopy(address: number, length: number): void {
    const block = this.slots.take(length);
    if (block === 0) {
      this.writeBuffer(Buffer.from(this.core.bytes.subarray(address, address + length)));
      return;
    }
    this.core.wasm.copy(block, address, length);
    this.writeBlock(block, length);
  }

  writeBuffer(buffer: Buffer): void {
    if (!this.socket.write(buffer)) this.note(0);
  }

  writeInterim(address: number, length: number): void {
    this.writeCopy(address, length);
  }

  writeTrailers(): void {}

  /** The framing says where a message ends. */
  endMessage(): void {}

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

  get backedUp(): boolean {
    return this.pending !== null && this.socket.unwrittenBytes >= HIGH_WATER_BYTES;
  }

  notifyDrained(listener: DrainListener): void {
    this.waiting = listener;
  }

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
