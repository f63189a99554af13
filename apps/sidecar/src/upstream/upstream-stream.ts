// Upstream: what an exchange sees of what carries its request: a connection of HTTP/1.1, or one stream of many.

import type { MessageWriter } from '../codec/message-writer.js';

/** For what is still to be written where both sides of a tunnel have ended and the server does not read. */
export const MAX_FLUSH_MS = 300_000;

export interface UpstreamStream {
  /** Takes the request; its head is the first that is written. */
  readonly writer: MessageWriter;
  /** Interned id of the pair of principals, for metrics. */
  readonly securityId: number;
  readonly localAddressText: string;
  /** Bytes of the present response on the wire, for metrics. */
  readonly wireBytes: number;
  /** The client takes no more for the moment. */
  pause(): void;
  resume(): void;
  /** The client has ended its side of the tunnel. */
  endTunnel(): void;
  /** Both sides of the tunnel have ended: what is written still goes out, and nobody is told anything more. */
  leaveTunnel(): void;
  /** Gives the attempt up; the request is not told. */
  close(): void;
}
