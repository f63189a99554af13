// TCP: a tunnel as a request of its endpoint's pool: a stream of HTTP/2, or a POST. To its session it is a socket like another.

import { CHUNK_MODE_DATA, METHOD_CONNECT, METHOD_POST } from '@lateen/filters-wasm';
import { inChunk, LAST_CHUNK } from '../codec/chunk-framing.js';
import type { DrainListener } from '../codec/message-writer.js';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { UpstreamFailure } from '../exchange/local-reply.js';
import type { OwnedSocket, SocketOwner, WriteWatcher } from '../transport/proxy-socket.js';
import { OwnRequest } from '../upstream/calls/own-request.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { UpstreamRequest } from '../upstream/upstream-request.js';
import type { UpstreamStream } from '../upstream/upstream-stream.js';
import { refusedWith, type TunnelSettings, tunnelHead } from './connect-tunnel.js';

/** What is told as unwritten while the upstream takes no more: enough for every source to pause. */
const BACKED_UP_BYTES = 1024 * 1024;

/** Who asked for the tunnel. Once it is there its owner is whoever the bytes are for. */
export interface TunnelOwner extends SocketOwner {
  /** The pool has a connection, over which the upstream was asked. */
  onAsked(): void;
  /** The upstream agrees; `secure` is its connection. */
  onTunnelOpen(securityId: number): void;
}

export class PooledTunnel extends OwnRequest implements OwnedSocket, UpstreamRequest, DrainListener {
  readonly method: number;
  readonly listenerRecord = 0;
  readonly responseChunkMode = CHUNK_MODE_DATA;
  readonly http2 = false;
  readonly bodyChunked: boolean;
  owner: SocketOwner | null;
  watcher: WriteWatcher | null = null;
  destroyed = false;
  readonly applicationProtocol = '';
  presented = null;
  restored = null;
  private upstream: UpstreamStream | null = null;
  private localText = '';
  /** The peer has ended its side. */
  private remoteEnded = false;
  /** Writes that are told later, since the upstream takes no more for the moment. */
  private waitingWrites = 0;

  constructor(
    private readonly endpoint: Endpoint,
    private readonly settings: TunnelSettings,
    readonly clientAddresses: PresentedAddresses | undefined,
    private readonly asker: TunnelOwner,
  ) {
    super();
    this.owner = asker;
    this.bodyChunked = settings.postPath !== undefined;
    this.method = this.bodyChunked ? METHOD_POST : METHOD_CONNECT;
  }

  get secure(): boolean {
    return this.endpoint.transport.tls;
  }

  /** Asks; what becomes of it is told to the owner, perhaps before this returns. */
  begin(): void {
    this.endpoint.acquire(this);
  }

  // ---- The request -----------------------------------------------------------------------------------------------------

  onUpstreamReady(upstream: UpstreamStream): void {
    this.upstream = upstream;
    this.localText = upstream.localAddressText;
    upstream.writer.writeBuffer(tunnelHead(this.settings));
    this.asker.onAsked();
  }

  onUpstreamFailed(_failure: UpstreamFailure, reason: string): void {
    this.upstream = null;
    this.close(new Error(reason));
  }

  /** Any 2xx agrees (RFC 9110, 9.3.6). */
  onResponseHead(status: number): boolean {
    if (status >= 200 && status < 300) return false;
    this.upstream = null;
    this.close(refusedWith(status));
    return true;
  }

  onResponseBytes(address: number, length: number, isFirst: boolean): void {
    if (isFirst) this.asker.onTunnelOpen(this.upstream?.securityId ?? 0);
    if (length > 0 && !this.destroyed) this.owner?.onReadAt?.(address, length);
  }

  override onTunnelEnd(): void {
    this.endRemote();
  }

  /** An answer to POST has ended, and with it the request. */
  onResponseEnd(): void {
    this.upstream = null;
    this.endRemote();
    this.close(null);
  }

  private endRemote(): void {
    this.remoteEnded = true;
    if (!this.destroyed) this.owner?.onEnd();
    if (this.requestComplete) this.destroy();
  }

  // ---- The socket ------------------------------------------------------------------------------------------------------

  get unwrittenBytes(): number {
    return this.waitingWrites > 0 ? BACKED_UP_BYTES : 0;
  }

  /** The bytes are copied, or sent, before this returns. */
  write(bytes: Uint8Array): boolean {
    const { upstream } = this;
    if (upstream === null || bytes.length === 0) return true;
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const { writer } = upstream;
    writer.writeBuffer(this.bodyChunked ? inChunk(view) : Buffer.from(view));
    if (!writer.backedUp) return true;
    this.waitingWrites++;
    writer.notifyDrained(this);
    return false;
  }

  onDrained(): void {
    const writes = this.waitingWrites;
    this.waitingWrites = 0;
    if (writes > 0) this.watcher?.onWritten(writes);
  }

  pause(): void {
    this.upstream?.pause();
  }

  resume(): void {
    this.upstream?.resume();
  }

  end(done?: () => void): void {
    const { upstream } = this;
    if (upstream === null || this.requestComplete) return;
    this.requestComplete = true;
    if (this.bodyChunked) {
      upstream.writer.writeBuffer(LAST_CHUNK);
      upstream.writer.endMessage();
    } else upstream.endTunnel();
    // Not while whoever ends it is in the middle of something.
    upstream.writer.whenSettled(() =>
      process.nextTick(() => {
        if (!this.destroyed) done?.();
      }),
    );
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.pendingOn?.abandon(this);
    const { upstream } = this;
    this.upstream = null;
    // What was written before both sides ended still goes out.
    if (this.remoteEnded && this.requestComplete) upstream?.leaveTunnel();
    else upstream?.close();
    this.close(error ?? null);
  }

  resetAndDestroy(): void {
    this.destroy();
  }

  get remoteAddress(): string {
    return this.endpoint.address;
  }

  get remotePort(): number {
    return this.endpoint.port;
  }

  get localAddress(): string {
    return this.localText.slice(0, this.localText.lastIndexOf(':'));
  }

  get localPort(): number {
    return Number(this.localText.slice(this.localText.lastIndexOf(':') + 1));
  }

  private close(error: Error | null): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.waitingWrites = 0;
    this.owner?.onClosed(error);
  }
}
