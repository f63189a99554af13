// Upstream: one TCP connection to an endpoint, for the one request whose tunnel ends here: no HTTP goes over it.

import { CHUNK_MODE_FRAMED, METHOD_CONNECT, READ_BUFFER } from '@lateen/filters-wasm';
import { CHUNKS_END, putChunkStart, putChunksEnd } from '../../codec/http2/chunk-framing.js';
import { writeProxyHeader } from '../../downstream/listener-filters/proxy-header.js';
import { describeError, type UpstreamFailure } from '../../exchange/local-reply.js';
import { addressText } from '../../observe/address-text.js';
import type { DataPath } from '../../transport/data-path.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { ConnectionOwner } from '../connection-owner.js';
import type { PooledConnection } from '../connection-pool.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import type { UpstreamRequest } from '../upstream-request.js';
import { MAX_FLUSH_MS, type UpstreamStream } from '../upstream-stream.js';
import { type TransportEvents, TUNNEL_OFFER, type UpstreamTransport } from '../upstream-transport.js';
import { TunnelWriter } from './tunnel-writer.js';

const CONNECTING = 0;
/** Nobody has it yet: the request that it was opened for has gone. */
const IDLE = 1;
const TAKEN = 2;
const CLOSED = 3;

/** The answer that the endpoint cannot give: it does not know that there was a request. */
const CONNECTED = Buffer.from('HTTP/1.1 200 OK\r\n\r\n');
const CONNECTED_BY_POST = Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');

export class TcpUpstream implements PooledConnection, UpstreamStream, TransportEvents, TimerOwner {
  socket!: OwnedSocket;
  writer!: TunnelWriter;
  resuming = false;
  offered = false;
  securityId = 0;
  wireBytes = 0;
  private readonly path: DataPath;
  private state = CONNECTING;
  private connected = false;
  private request: UpstreamRequest | null = null;
  private chunkOpen = false;
  private failureKind: UpstreamFailure = 'connect';
  private failureReason = '';
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly owner: ConnectionOwner,
    readonly cluster: UpstreamCluster,
    readonly transport: UpstreamTransport,
    readonly counted: boolean,
  ) {
    this.path = owner.path;
  }

  open(): void {
    const { path, owner, cluster } = this;
    path.wheel.schedule(this.timer, cluster.connectTimeoutMs);
    const opened = this.transport.open(owner.target, this, TUNNEL_OFFER, owner.client, cluster.keepAliveMs);
    this.socket = opened.socket;
    this.resuming = opened.resuming;
    this.writer = new TunnelWriter(path.core, path.slots, this.socket);
  }

  onReady(_peerPrincipal: string, securityId: number): void {
    if (this.state !== CONNECTING) return;
    this.path.wheel.cancel(this.timer);
    this.securityId = securityId;
    this.connected = true;
    this.state = IDLE;
    const { idleTimeoutMs } = this.cluster;
    if (idleTimeoutMs > 0) this.path.wheel.schedule(this.timer, idleTimeoutMs);
    this.owner.onConnected(this);
  }

  get settling(): boolean {
    return this.state === CONNECTING;
  }

  get free(): number {
    return this.state === IDLE ? 1 : 0;
  }

  get localAddressText(): string {
    return addressText(this.socket.localAddress, this.socket.localPort);
  }

  start(request: UpstreamRequest): void {
    this.request = request;
    this.state = TAKEN;
    this.path.wheel.cancel(this.timer);
    this.writer.chunked = request.bodyChunked;
    if (request.proxyVersion > 0) {
      this.writer.writeRaw(Buffer.from(writeProxyHeader(request.proxyVersion as 1 | 2, request.clientAddresses)));
    }
    request.onUpstreamReady(this);
    // Not while somebody else goes through the read buffer.
    process.nextTick(() => this.answer(request));
  }

  endTunnel(): void {
    this.socket.end();
  }

  leaveTunnel(): void {
    this.request = null;
    this.socket.end();
    // Both sides have ended: it closes by itself once everything is written.
    if (this.state !== CLOSED) this.path.wheel.schedule(this.timer, MAX_FLUSH_MS);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  retire(): void {
    this.close();
  }

  close(): void {
    this.request = null;
    this.state = CLOSED;
    this.socket.destroy();
  }

  onTimer(): void {
    this.path.clock.tick();
    if (this.state === CONNECTING) {
      this.path.stats.upstreamCxConnectTimeout++;
      this.failureKind = 'connect-timeout';
    }
    this.close();
  }

  onRead(length: number): void {
    this.path.clock.tick();
    const { request } = this;
    if (request === null) {
      // Bytes for a client that was never there cannot be the beginning for another one.
      if (this.state === IDLE) this.close();
      return;
    }
    this.wireBytes += length;
    if (request.method === METHOD_CONNECT || request.responseChunkMode !== CHUNK_MODE_FRAMED) {
      request.onResponseBytes(READ_BUFFER, length, false);
      return;
    }
    const added = putChunkStart(this.path.core.bytes, READ_BUFFER, length, this.chunkOpen);
    this.chunkOpen = true;
    request.onResponseBytes(READ_BUFFER - added, length + added, false);
  }

  onEnd(): void {
    this.path.clock.tick();
    const { request } = this;
    if (request === null) this.socket.destroy();
    else if (request.method === METHOD_CONNECT) request.onTunnelEnd();
    else this.finishResponse(request);
  }

  onClosed(error: Error | null): void {
    this.path.clock.tick();
    this.state = CLOSED;
    this.path.wheel.cancel(this.timer);
    this.writer.releaseAll();
    if (error !== null) this.failureReason = describeError(error);
    const { request } = this;
    this.request = null;
    this.owner.onGone(this, this.connected ? null : this.failureKind, this.failureReason);
    request?.onUpstreamFailed('closed', this.failureReason, true);
  }

  /** Tells the client that the tunnel is there. */
  private answer(request: UpstreamRequest): void {
    if (this.request !== request) return;
    const { core } = this.path;
    const connect = request.method === METHOD_CONNECT;
    const head = connect ? CONNECTED : CONNECTED_BY_POST;
    core.bytes.set(head, READ_BUFFER);
    core.wasm.parseResponse(READ_BUFFER, head.length, 0, request.method, 0, request.listenerRecord);
    if (request.onResponseHead(200)) {
      // The route tries again what was answered 200.
      this.close();
      return;
    }
    request.onResponseBytes(READ_BUFFER, 0, true);
    if (connect && this.request === request) request.onTunnel();
  }

  /** A request by POST is over once its answer is. */
  private finishResponse(request: UpstreamRequest): void {
    if (request.responseChunkMode === CHUNK_MODE_FRAMED) {
      const { bytes } = this.path.core;
      request.onResponseBytes(CHUNKS_END, putChunksEnd(bytes, CHUNKS_END, this.chunkOpen), false);
      if (this.request !== request) return;
    }
    this.leaveTunnel();
    request.onResponseEnd(this.wireBytes);
  }
}
