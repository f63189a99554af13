// Transport: the writing side of one socket; gives output blocks back as soon as nobody needs their bytes.

import type { Core } from '@lateen/filters-wasm';
import type { OutSlots } from './out-slots.js';
import type { OwnedSocket } from './proxy-socket.js';

/** Unwritten bytes of one socket from which its source is paused. */
const HIGH_WATER_BYTES = 128 * 1024;
const EMPTY = Buffer.alloc(0);

/** Told when a writer that was over the high-water mark has little left. */
export interface DrainListener {
  onDrained(): void;
}

export class SocketWriter {
  /** Blocks of writes that are not complete, oldest first; 0 where the bytes belong to somebody else. */
  private readonly pending: number[] = [];
  private waiting: DrainListener | null = null;
  private readonly written = (): void => this.onWritten();

  constructor(
    private readonly core: Core,
    private readonly slots: OutSlots,
    private readonly socket: OwnedSocket,
    /** TLS writes never complete at once, so their callback goes with the write itself. */
    private readonly tls: boolean,
  ) {}

  /** Writes a block's first `length` bytes; the block is given back when they are no longer needed. */
  writeBlock(block: number, length: number): void {
    if (!this.send(block, length, block)) return;
    this.slots.give(block);
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
    this.socket.write(buffer);
  }

  /** Gives a kept block back now or when the writes that are under way are complete. */
  giveWhenSettled(block: number): void {
    if (this.pending.length === 0) this.slots.give(block);
    else {
      this.pending.push(block);
      this.socket.write(EMPTY, this.written);
    }
  }

  /** No write is under way. */
  get settled(): boolean {
    return this.socket.writableLength === 0;
  }

  /** So much is unwritten that the source should pause; `notifyDrained` tells when to go on. */
  get backedUp(): boolean {
    return this.socket.writableLength >= HIGH_WATER_BYTES;
  }

  notifyDrained(listener: DrainListener): void {
    this.waiting = listener;
    // Bytes written as Buffers have no callback of their own, and 'drain' does not fire below its mark.
    this.pending.push(0);
    this.socket.write(EMPTY, this.written);
  }

  /** Forgets who waits, for example when the exchange has ended. */
  stopNotifying(): void {
    this.waiting = null;
  }

  /** After the socket was destroyed: nothing reads the blocks any more. */
  releaseAll(): void {
    this.waiting = null;
    for (let block = this.pending.pop(); block !== undefined; block = this.pending.pop()) {
      if (block !== 0) this.slots.give(block);
    }
  }

  /** True where the bytes have left already. */
  private send(address: number, length: number, block: number): boolean {
    const view = this.core.bytes.subarray(address, address + length);
    if (this.tls) {
      this.pending.push(block);
      this.socket.write(view, this.written);
      return false;
    }
    this.socket.write(view);
    if (this.socket.writableLength === 0) return true;
    this.pending.push(block);
    this.socket.write(EMPTY, this.written);
    return false;
  }

  private onWritten(): void {
    const block = this.pending.shift();
    if (block !== undefined && block !== 0) this.slots.give(block);
    if (this.waiting === null || this.socket.writableLength >= HIGH_WATER_BYTES / 2) return;
    const listener = this.waiting;
    this.waiting = null;
    listener.onDrained();
  }
}
