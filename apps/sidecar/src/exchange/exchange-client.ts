// Exchange: what it knows of its client: a connection of HTTP/1.1, or one stream of many.

import type { MessageWriter } from '../codec/message-writer.js';
import type { HttpChain } from '../downstream/http-chain.js';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { VerifiedClient } from '../downstream/tls-acceptor.js';
import type { Destination } from '../transport/system/original-destination.js';

export interface ExchangeClient {
  readonly chain: HttpChain;
  /** Takes the response; its head is the first that is written. */
  readonly writer: MessageWriter;
  /** Connection record in the core's memory, or 0. */
  readonly record: number;
  /** The same, made now where there is none yet; 0 where there is no room for one. */
  needRecord(): number;
  /** 1 where the connection is TLS. */
  readonly secure: number;
  /** Interned id of the pair of principals, for metrics of the accepting side. */
  readonly securityId: number;
  /** Token bucket of this connection's own rate limit; 0 = none yet, -1 = there was no room for one. */
  limitBucket: number;
  /** The peer's metadata id seen last on this connection. */
  peerHint: number;
  /** Whom its connection is between; asked of the system at each call. */
  readonly addresses: PresentedAddresses | undefined;
  /** Where its connection was opened to, where that is not this proxy's own address. */
  readonly destination: Destination | undefined;
  readonly localAddressText: string;
  readonly remoteAddressText: string;
  readonly serverName: string;
  readonly peerPrincipal: string;
  /** Who its client is, by its certificate. */
  readonly client: VerifiedClient;
  /** The protocol says where a message ends: bodies are written without chunked framing. */
  readonly framesMessages: boolean;
  /** The connection will be closed after the present response. */
  readonly closing: boolean;
  closeAfterResponse(): void;
  pauseRequest(): void;
  resumeRequest(): void;
  /** The response was 101, or 2xx to CONNECT: what the client sends from here on goes to the upstream as it is. */
  beginTunnel(): void;
  /** The upstream has ended its side of the tunnel; the client may go on with its own. */
  endTunnel(): void;
  /** The response has been written to its end; `close` where the client must not send more. */
  onExchangeDone(close: boolean): void;
  /** The response cannot be finished: cut the connection, so that the client notices. */
  abort(): void;
  /** Before the end: an orderly close would make the part of the response that was sent look like the whole. */
  responseTruncated(): void;
}
