// Exchange: the head written for the upstream, kept with the beginning of the body until a response makes a retry pointless.

import { BODY_CHUNKED, EMBEDDER_SCRATCH, EMBEDDER_SCRATCH_BYTES, REQ_BODY } from '@lateen/filters-wasm';
import type { MessageWriter } from '../codec/message-writer.js';
import type { DataPath } from '../transport/data-path.js';

/** Room that a small block must have for what the proxy adds to a head; a head that does not fit goes to a large one. */
const TYPICAL_ADDED_BYTES = 512;
/** `x-envoy-attempt-count` has one digit up to here; more would move the body bytes behind the head. */
const MAX_WRITTEN_ATTEMPT = 9;

export class KeptRequest {
  private block = 0;
  private buffer: Buffer | null = null;
  private headLength = 0;
  private length = 0;
  /** What of the body has no room in the block, in order. */
  private more: Buffer[] = [];
  private moreBytes = 0;
  private trailers: Buffer | null = null;
  /** The head names chunked framing, which the body therefore has. */
  chunked = false;
  /** So much of a body is kept for a retry; -1: no retry will come, only what there is room for is kept. */
  limitBytes = -1;
  /** Everything that was sent is still here, so the request can be sent again. */
  replayable = true;

  constructor(private readonly path: DataPath) {}

  /** Writes the head for a cluster from the parsed request; false where it exceeds every block. */
  writeHead(parsedLength: number, listener: number, connection: number, cluster: number): boolean {
    const { slots, core } = this.path;
    this.replayable = true;
    this.chunked = core.i32[REQ_BODY >> 2] === BODY_CHUNKED;
    let block = slots.take(parsedLength + TYPICAL_ADDED_BYTES);
    while (block !== 0) {
      const capacity = slots.capacity(block);
      const written = core.wasm.writeUpstreamHead(block, capacity, listener, connection, cluster);
      if (written > 0) {
        this.block = block;
        this.headLength = written;
        this.length = written;
        return true;
      }
      slots.give(block);
      block = capacity < slots.largeBytes ? slots.take(slots.largeBytes) : 0;
    }
    const written = core.wasm.writeUpstreamHead(
      EMBEDDER_SCRATCH,
      EMBEDDER_SCRATCH_BYTES,
      listener,
      connection,
      cluster,
    );
    if (written <= 0) return false;
    this.buffer = Buffer.from(core.bytes.subarray(EMBEDDER_SCRATCH, EMBEDDER_SCRATCH + written));
    this.headLength = written;
    this.length = written;
    return true;
  }

  /** Adds body bytes, and sends them where there is a connection to send them on. */
  add(address: number, length: number, writer: MessageWriter | null): void {
    if (length === 0) return;
    const { slots, core } = this.path;
    const inBlock = this.block !== 0 && this.moreBytes === 0 && this.length + length <= slots.capacity(this.block);
    const keeps = this.replayable && (this.isWithinLimit(length) || (inBlock && this.limitBytes < 0));
    if (keeps && inBlock) {
      core.wasm.copy(this.block + this.length, address, length);
      writer?.writeKept(this.block + this.length, length);
      this.length += length;
    } else if (keeps || writer === null) {
      const bytes = Buffer.from(core.bytes.subarray(address, address + length));
      this.more.push(bytes);
      this.moreBytes += length;
      writer?.writeBuffer(bytes);
    } else {
      this.abandonRetries();
      writer.writeCopy(address, length);
    }
  }

  /** Adds trailers, header lines, after the last of the body. */
  addTrailers(address: number, length: number, writer: MessageWriter | null): void {
    this.trailers = Buffer.from(this.path.core.bytes.subarray(address, address + length));
    writer?.writeTrailers(address, length);
  }

  /** Sends what is kept, with the head where the upstream gets one. */
  sendTo(writer: MessageWriter, withHead: boolean): void {
    const from = withHead ? 0 : this.headLength;
    if (this.block === 0) {
      if (this.buffer !== null && withHead) writer.writeBuffer(this.buffer);
    } else if (this.length > from) writer.writeKept(this.block + from, this.length - from);
    for (const bytes of this.more) writer.writeBuffer(bytes);
    if (this.trailers !== null) this.writeTrailers(this.trailers, writer);
    // What came before there was a connection had to be kept, also beyond the limit.
    if (this.moreBytes > 0 && !this.isWithinLimit(0)) this.abandonRetries();
  }

  private writeTrailers(trailers: Buffer, writer: MessageWriter): void {
    this.path.core.bytes.set(trailers, EMBEDDER_SCRATCH);
    writer.writeTrailers(EMBEDDER_SCRATCH, trailers.length);
  }

  private isWithinLimit(added: number): boolean {
    return this.length - this.headLength + this.moreBytes + added <= this.limitBytes;
  }

  /** No attempt will come after this one, and much may still pass. */
  stopKeeping(): void {
    this.limitBytes = -1;
    this.abandonRetries();
  }

  private abandonRetries(): void {
    this.replayable = false;
    this.more = [];
    this.moreBytes = 0;
  }

  /** What is here of the request, for somebody else: before anything of it is given up. */
  copy(): { readonly head: Buffer; readonly body: readonly Buffer[]; readonly trailers: Buffer | null } {
    const { bytes } = this.path.core;
    const { trailers } = this;
    if (this.block === 0) return { head: this.buffer ?? Buffer.alloc(0), body: [...this.more], trailers };
    const end = this.block + this.headLength;
    const head = Buffer.from(bytes.subarray(this.block, end));
    const started = this.length > this.headLength ? [Buffer.from(bytes.subarray(end, this.block + this.length))] : [];
    return { head, body: [...started, ...this.more], trailers };
  }

  /** Adds header lines to the head, before anything of it was sent. */
  addLines(lines: string): void {
    const { head, body } = this.copy();
    const { slots, core } = this.path;
    if (this.block !== 0) slots.give(this.block);
    const whole = Buffer.concat([head.subarray(0, -2), Buffer.from(`${lines}\r\n`, 'latin1')]);
    this.block = slots.take(whole.length);
    if (this.block !== 0) core.bytes.set(whole, this.block);
    this.buffer = this.block === 0 ? whole : null;
    this.headLength = whole.length;
    this.length = whole.length;
    this.more = [...body];
    this.moreBytes = body.reduce((sum, { length }) => sum + length, 0);
  }

  /** Says which attempt it is, in a head that carries the count. */
  setAttempt(attempt: number): void {
    if (this.block !== 0 && attempt <= MAX_WRITTEN_ATTEMPT) {
      this.path.core.wasm.setAttemptCount(this.block, this.headLength, attempt);
    }
  }

  /** A header as it was sent, for the access log. */
  headText(): string {
    if (this.block !== 0) return this.path.core.text(this.block, this.headLength);
    return this.buffer === null ? '' : this.buffer.toString('latin1');
  }

  /** Gives the memory back, where writes are under way after them. */
  release(writer: MessageWriter | null): void {
    if (this.block !== 0) {
      if (writer === null) this.path.slots.give(this.block);
      else writer.giveWhenSettled(this.block);
      this.block = 0;
    }
    this.buffer = null;
    this.trailers = null;
    this.length = 0;
    this.abandonRetries();
  }
}
