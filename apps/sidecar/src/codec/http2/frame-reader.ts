// HTTP/2 codec: finds the frames in what was read. DATA is handed on as it comes, everything else in whole frames.

import type { DataPath } from '../../transport/data-path.js';
import { HeldBytes } from '../../transport/held-bytes.js';
import {
  FLAG_PADDED,
  FRAME_DATA,
  FRAME_HEADER_BYTES,
  FRAME_SIZE_ERROR,
  MAX_FRAME_BYTES,
  PROTOCOL_ERROR,
  read31,
} from './frames.js';

/** Who is told of frames; addresses are in the core's memory and valid during the call. */
export interface FrameHandler {
  /** A whole frame that is not DATA. */
  onFrame(type: number, flags: number, streamId: number, address: number, length: number): void;
  /** A DATA frame begins; `payloadLength` counts against the windows, `dataLength` of it is data. */
  onDataFrame(streamId: number, flags: number, payloadLength: number, dataLength: number): void;
  /** A part of its data. The FRAME_HEADER_BYTES before `address` may be overwritten. `last` ends the frame. */
  onData(address: number, length: number, last: boolean): void;
  /** The connection cannot go on; afterwards nothing more is read. */
  onConnectionError(code: number, reason: string): void;
}

export class FrameReader {
  /** Set to stop in the middle of what was read: the connection has ended. */
  stopped = false;
  private readonly held: HeldBytes;
  /** Of the present DATA frame: data still to come, padding still to come. */
  private dataLeft = 0;
  private paddingLeft = 0;
  private inData = false;

  constructor(
    private readonly path: DataPath,
    private readonly handler: FrameHandler,
  ) {
    this.held = new HeldBytes(path.core);
  }

  /** `length` bytes are at `address` in the read buffer; what was held is put before them. */
  read(address: number, length: number): void {
    const { held } = this;
    const before = held.length;
    if (before > 0) held.takeTo(address - before, before);
    let at = address - before;
    const end = address + length;
    while (!this.stopped && (at < end || this.inData)) {
      if (this.inData) {
        if (at === end && this.dataLeft + this.paddingLeft > 0) return;
        at = this.readData(at, end);
        continue;
      }
      const used = this.readFrame(at, end - at);
      if (used === 0) {
        if (!this.stopped) held.append(at, end - at);
        return;
      }
      at += used;
    }
  }

  release(): void {
    this.stopped = true;
    this.held.clear();
  }

  /** A frame that is not DATA, or the beginning of one that is; returns how many bytes were used, 0 for more. */
  private readFrame(at: number, available: number): number {
    if (available < FRAME_HEADER_BYTES) return 0;
    const { bytes } = this.path.core;
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    if (length > MAX_FRAME_BYTES) {
      this.handler.onConnectionError(FRAME_SIZE_ERROR, 'a frame is larger than allowed');
      return 0;
    }
    const streamId = read31(bytes, at + 5);
    if (type === FRAME_DATA) return this.beginData(at, available, length, flags, streamId);
    if (available < FRAME_HEADER_BYTES + length) return 0;
    this.handler.onFrame(type, flags, streamId, at + FRAME_HEADER_BYTES, length);
    return FRAME_HEADER_BYTES + length;
  }

  private beginData(at: number, available: number, length: number, flags: number, streamId: number): number {
    let used = FRAME_HEADER_BYTES;
    let padding = 0;
    if ((flags & FLAG_PADDED) !== 0) {
      if (length > 0 && available <= FRAME_HEADER_BYTES) return 0;
      padding = length === 0 ? 0 : this.path.core.bytes[at + FRAME_HEADER_BYTES]!;
      if (padding >= length) {
        this.handler.onConnectionError(PROTOCOL_ERROR, 'a DATA frame has more padding than bytes');
        return 0;
      }
      used++;
    }
    this.paddingLeft = padding;
    this.dataLeft = length - padding - (used - FRAME_HEADER_BYTES);
    this.inData = true;
    this.handler.onDataFrame(streamId, flags, length, this.dataLeft);
    return used;
  }

  /** Returns where the next frame begins, or the end of what is here. */
  private readData(at: number, end: number): number {
    const data = Math.min(this.dataLeft, end - at);
    const padding = Math.min(this.paddingLeft, end - at - data);
    const hadData = this.dataLeft > 0;
    this.dataLeft -= data;
    this.paddingLeft -= padding;
    const last = this.dataLeft === 0 && this.paddingLeft === 0;
    this.inData = !last;
    if (data > 0 || last || hadData) this.handler.onData(at, data, last);
    return at + data + padding;
  }
}
