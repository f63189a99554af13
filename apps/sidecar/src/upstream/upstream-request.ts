// Upstream: what a pool and its connections know of the exchange that uses them.

import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { UpstreamFailure } from '../exchange/local-reply.js';
import type { ConnectionPool } from './connection-pool.js';
import type { UpstreamStream } from './upstream-stream.js';
import type { ProxyVersion } from './upstream-transport.js';

/** One attempt at an upstream, implemented by the exchange. Byte addresses are valid during the call only. */
export interface UpstreamRequest {
  /** METHOD_* and whether an upgrade was asked for: they decide how the response is framed. */
  readonly method: number;
  readonly upgrade: boolean;
  /** The tunnel ends here: the upstream gets what is in it, and no HTTP. */
  readonly terminates: boolean;
  /** The PROXY protocol that it gets first then; 0 = none. */
  readonly proxyVersion: ProxyVersion;
  /** Listener options record that the response is parsed with. */
  readonly listenerRecord: number;
  /** CHUNK_MODE_* for a chunked response. */
  readonly responseChunkMode: number;
  /** The client's connection is TLS: the scheme of the request. */
  readonly secure: boolean;
  /** The client speaks HTTP/2. */
  readonly http2: boolean;
  /** Whom the request is from; asked for only where an upstream is told. */
  readonly clientAddresses: PresentedAddresses | undefined;
  /** The body is written with chunked framing. */
  readonly bodyChunked: boolean;
  /** The request has been sent to its end, so the connection may be used again. */
  readonly requestComplete: boolean;

  /** Link of the pool's queue. */
  nextPending: UpstreamRequest | null;
  pendingOn: ConnectionPool | null;

  /** A connection is ready, and this of it bound to the request: write the head. */
  onUpstreamReady(upstream: UpstreamStream): void;
  /** The attempt is over and there will be no (further) response bytes. The connection is unbound already. */
  onUpstreamFailed(failure: UpstreamFailure, reason: string, freshConnection: boolean): void;
  /** RESP_* is an interim response, which is not the answer. */
  onInterimHead(): void;
  /** RESP_* is filled. True where the response is not wanted because the request is tried again. */
  onResponseHead(status: number): boolean;
  /** Body bytes to forward; the first call writes the head before them, also with a length of 0. */
  onResponseBytes(address: number, length: number, isFirst: boolean): void;
  /** After a 101, or a 2xx to CONNECT, was written: what follows are the bytes of a tunnel. */
  onTunnel(): void;
  /** The upstream has ended its side of the tunnel. */
  onTunnelEnd(): void;
  /** Trailers of the response, as header lines; its end follows. */
  onResponseTrailers(address: number, length: number): void;
  /** The response has ended; the connection is unbound already. */
  onResponseEnd(wireBytes: number): void;
}
