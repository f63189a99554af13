// Downstream: what a HTTP/2 client sends on a stream that CONNECT has asked to make a tunnel, or a WebSocket (RFC 8441).

import { type Core, H2_HEAD_BUFFER, H2_HEAD_BUFFER_BYTES } from '@lateen/filters-wasm';
import type { Exchange } from '../../exchange/exchange.js';

export class Tunnel {
  isOpen = false;
  /** What came before the answer: nobody may take it for the next request. Bounded by the stream's window, which is not given back before. */
  private early: Buffer[] = [];

  /** @param endedEarly the client has ended its side with the head */
  constructor(
    private readonly exchange: Exchange,
    private endedEarly: boolean,
  ) {}

  /** Bytes from the client, and its end. */
  take(core: Core, address: number, length: number, end: boolean): void {
    const { exchange } = this;
    if (!exchange.active) return;
    if (!this.isOpen) {
      if (length > 0) this.early.push(Buffer.from(core.bytes.subarray(address, address + length)));
      this.endedEarly = end;
      return;
    }
    if (length > 0) exchange.requestBytes(address, length, length, false);
    if (end && exchange.active) exchange.endFromClient();
  }

  /** The upgrade was answered 101, or the CONNECT 2xx. */
  open(core: Core): void {
    this.isOpen = true;
    const { early } = this;
    this.early = [];
    for (const bytes of early) {
      for (let at = 0; at < bytes.length; at += H2_HEAD_BUFFER_BYTES / 2) {
        const piece = bytes.subarray(at, at + H2_HEAD_BUFFER_BYTES / 2);
        core.bytes.set(piece, H2_HEAD_BUFFER);
        if (this.exchange.active) this.exchange.requestBytes(H2_HEAD_BUFFER, piece.length, piece.length, false);
      }
    }
    if (this.endedEarly && this.exchange.active) this.exchange.endFromClient();
  }
}
