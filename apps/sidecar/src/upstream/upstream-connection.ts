// Upstream: one HTTP/1.1 connection to an endpoint; frames responses and tells the exchange that is bound to it.

import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  CHUNK_FORWARD,
  CHUNK_PHASE,
  CHUNK_PHASE_DONE,
  METHOD_CONNECT,
  READ_BUFFER,
  RESP_BODY,
  RESP_CONTENT_LENGTH,
  RESP_FLAGS,
  RESP_STATUS,
  RESPONSE_INFORMATIONAL,
  RESPONSE_KEEP_ALIVE,
  RESPONSE_TO_UPGRADE,
  RESPONSE_UPGRADE,
} from '@lateen/filters-wasm';
import { describeError, type UpstreamFailure } from '../exchange/local-reply.js';
import { isIdempotent } from '../exchange/retries/retry-policy.js';
import { addressText } from '../observe/address-text.js';
import type { DataPath } from '../transport/data-path.js';
import { HeldBytes } from '../transport/held-bytes.js';
import type { OwnedSocket } from '../transport/proxy-socket.js';
import { SocketWriter } from '../transport/socket-writer.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { ConnectionOwner } from './connection-owner.js';
import type { PooledConnection } from './connection-pool.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import type { UpstreamRequest } from './upstream-request.js';
import { MAX_FLUSH_MS, type UpstreamStream } from './upstream-stream.js';
import { HTTP_1_OFFER, type TransportEvents, type UpstreamTransport } from './upstream-transport.js';

/** Until the connection is made, while it is idle, and for what is left of a tunnel that is over. */
const TIMER_PHASE = 0;
const TIMER_AGE = 1;

const CONNECTING = 0;
const IDLE = 1;
/** Bound to a request, the head of the response has not been seen. */
const HEAD = 2;
const BODY = 3;
const CLOSED = 4;
/** 101: bytes go both ways as they are. */
const TUNNEL = 5;

export class UpstreamConnection implements PooledConnection, UpstreamStream, TransportEvents, TimerOwner {
  socket!: OwnedSocket;
  writer!: SocketWriter;
  /** The endpoint's verified SPIFFE id or URI name, empty without TLS. */
  peerPrincipal = '';
  resuming = false;
  offered = false;
  /** Interned id of the pair of principals, for metrics. */
  securityId = 0;
  private readonly path: DataPath;
  private state = CONNECTING;
  private connected = false;
  private protocolFailed = false;
  private request: UpstreamRequest | null = null;
  private requestsServed = 0;
  private responseBytes = 0;
  private keepAlive = false;
  private bodyKind = 0;
  private remaining = 0;
  private chunkState = 0;
  private scanned = 0;
  private readonly held: HeldBytes;
  private readonly timer: Timer;
  private ageTimer: Timer | undefined;
  private isAged = false;
  private idleSinceMs = 0;
  private openedMs = 0;
  private readyMs = 0;
  private failureReason = '';
  private failureKind: UpstreamFailure = 'connect';

  constructor(
    private readonly owner: ConnectionOwner,
    readonly cluster: UpstreamCluster,
    readonly transport: UpstreamTransport,
    readonly counted: boolean,
  ) {
    this.path = owner.path;
    this.held = new HeldBytes(this.path.core);
    this.timer = new Timer(this, TIMER_PHASE);
  }

  open(): void {
    const { path } = this;
    path.clock.tick();
    this.openedMs = path.clock.nowMs;
    path.wheel.schedule(this.timer, this.cluster.connectTimeoutMs);
    const { target, client, offer = HTTP_1_OFFER } = this.owner;
    const { socket, resuming } = this.transport.open(target, this, offer, client, this.cluster.keepAliveMs);
    this.socket = socket;
    this.resuming = resuming;
    this.writer = new SocketWriter(path.core, path.slots, this.socket);
  }

  onReady(peerPrincipal: string, securityId: number): void {
    if (this.state !== CONNECTING) return;
    this.path.wheel.cancel(this.timer);
    this.beginIdle(peerPrincipal, securityId);
    this.owner.onConnected(this);
  }

  /** Takes a connection that somebody else has made, before anything was read from it. */
  adopt(socket: OwnedSocket, openedMs: number, peerPrincipal: string, securityId: number): void {
    this.socket = socket;
    this.openedMs = openedMs;
    this.writer = new SocketWriter(this.path.core, this.path.slots, socket);
    socket.owner = this;
    this.beginIdle(peerPrincipal, securityId);
  }

  get settling(): boolean {
    return this.state === CONNECTING;
  }

  get free(): number {
    return this.state === IDLE ? 1 : 0;
  }

  start(request: UpstreamRequest): void {
    this.request = request;
    this.state = HEAD;
    this.responseBytes = 0;
    request.onUpstreamReady(this);
  }

  get wireBytes(): number {
    return this.responseBytes;
  }

  get localAddressText(): string {
    return addressText(this.socket.localAddress, this.socket.localPort);
  }

  endTunnel(): void {
    this.socket.end();
  }

  /** The server has ended its side as well, so the socket closes by itself once everything is written. */
  leaveTunnel(): void {
    this.request = null;
    this.state = CLOSED;
    this.socket.end();
    if (!this.socket.destroyed) this.path.wheel.schedule(this.timer, MAX_FLUSH_MS);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** It is idle. */
  retire(): void {
    this.close();
  }

  /** Ends the connection; a request that is bound to it is not told. */
  close(): void {
    this.request = null;
    this.destroy();
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_AGE) {
      this.isAged = true;
      if (this.state === IDLE) this.close();
      return;
    }
    if (this.state === CONNECTING) {
      this.path.stats.upstreamCxConnectTimeout++;
      this.failureKind = 'connect-timeout';
      this.destroy();
      return;
    }
    if (this.state === CLOSED) {
      this.destroy();
      return;
    }
    const idleMs = this.state === IDLE ? this.path.clock.nowMs - this.idleSinceMs : 0;
    if (idleMs >= this.cluster.idleTimeoutMs) this.close();
    else this.path.wheel.schedule(this.timer, this.cluster.idleTimeoutMs - idleMs);
  }

  onRead(length: number): void {
    this.path.clock.tick();
    this.responseBytes += length;
    if (this.state === BODY) this.readBody(READ_BUFFER, length, false);
    else if (this.state === HEAD) this.readHead(length);
    else if (this.state === TUNNEL) (this.request as UpstreamRequest).onResponseBytes(READ_BUFFER, length, false);
    else if (this.state !== CLOSED) this.close(); // bytes that nobody asked for
  }

  onEnd(): void {
    this.path.clock.tick();
    if (this.state === TUNNEL && this.request !== null) {
      this.request.onTunnelEnd();
      return;
    }
    if (this.state === BODY && this.bodyKind > BODY_CHUNKED && this.request !== null) {
      this.keepAlive = false;
      this.finishResponse(0);
      return;
    }
    this.destroy();
  }

  onClosed(error: Error | null): void {
    this.state = CLOSED;
    this.path.clock.tick();
    this.path.wheel.cancel(this.timer);
    if (this.ageTimer !== undefined) this.path.wheel.cancel(this.ageTimer);
    this.writer.releaseAll();
    this.held.clear();
    if (this.chunkState !== 0) this.path.core.chunkStates.release(this.chunkState);
    this.chunkState = 0;
    if (error !== null && this.failureReason === '') this.failureReason = describeError(error);
    const request = this.request;
    this.request = null;
    this.owner.onGone(this, this.connected ? null : this.failureKind, this.failureReason);
    request?.onUpstreamFailed(this.failureOfRequest(request), this.failureReason, this.requestsServed === 0);
  }

  private beginIdle(peerPrincipal: string, securityId: number): void {
    this.peerPrincipal = peerPrincipal;
    this.securityId = securityId;
    this.state = IDLE;
    this.connected = true;
    this.path.clock.tick();
    this.readyMs = this.path.clock.nowMs;
    this.idleSinceMs = this.readyMs;
    const { idleTimeoutMs, maxConnectionDurationMs } = this.cluster;
    if (idleTimeoutMs > 0) this.path.wheel.schedule(this.timer, idleTimeoutMs);
    if (maxConnectionDurationMs > 0) {
      this.ageTimer = new Timer(this, TIMER_AGE);
      this.path.wheel.schedule(this.ageTimer, maxConnectionDurationMs);
    }
  }

  private failureOfRequest(request: UpstreamRequest): UpstreamFailure {
    if (this.protocolFailed) return 'protocol';
    return this.earlyTlsRefusal(request) ? 'tls' : 'closed';
  }

  /**
   * In TLS 1.3 a client sees success before the server's refusal, which then looks like an early reset. The refusal takes
   * about a round trip, the handshake took more than one: a connection that lasted longer may have had its request
   * handled, which only matters where it must not be handled twice.
   */
  private earlyTlsRefusal(request: UpstreamRequest): boolean {
    if (!this.transport.tls || this.requestsServed > 0 || this.responseBytes > 0) return false;
    const readyForMs = this.path.clock.nowMs - this.readyMs;
    return isIdempotent(request.method) || readyForMs <= 2 * (this.readyMs - this.openedMs);
  }

  private readHead(length: number): void {
    const { core } = this.path;
    const request = this.request as UpstreamRequest;
    let address = READ_BUFFER;
    let available = length;
    if (this.held.length > 0) {
      address -= this.held.length;
      available += this.held.length;
      this.held.takeTo(address, this.held.length);
    }
    for (;;) {
      const { method, upgrade, listenerRecord } = request;
      const headLength = core.wasm.parseResponse(
        address,
        available,
        this.scanned,
        method,
        upgrade ? RESPONSE_TO_UPGRADE : 0,
        listenerRecord,
      );
      if (headLength < 0) {
        this.failProtocol();
        return;
      }
      if (headLength === 0) {
        this.held.append(address, available);
        this.scanned = available;
        return;
      }
      this.scanned = 0;
      address += headLength;
      available -= headLength;
      if ((core.i32[RESP_FLAGS >> 2]! & RESPONSE_INFORMATIONAL) === 0) break;
      request.onInterimHead();
      if (this.request !== request) return;
      if (available === 0) return;
    }
    this.startBody(request, address, available);
  }

  private startBody(request: UpstreamRequest, address: number, available: number): void {
    const { core } = this.path;
    this.keepAlive = (core.i32[RESP_FLAGS >> 2]! & RESPONSE_KEEP_ALIVE) !== 0;
    this.bodyKind = core.i32[RESP_BODY >> 2]!;
    if (this.bodyKind === BODY_LENGTH) this.remaining = core.f64[RESP_CONTENT_LENGTH >> 3]!;
    else if (this.bodyKind === BODY_CHUNKED) {
      if (this.chunkState === 0) this.chunkState = core.chunkStates.take();
      if (this.chunkState === 0) {
        this.failProtocol();
        return;
      }
      core.wasm.resetChunks(this.chunkState, request.responseChunkMode);
    }
    if (request.onResponseHead(core.i32[RESP_STATUS >> 2]!)) {
      // The request is tried again elsewhere. A short answer that is all here leaves the connection usable.
      this.close();
      return;
    }
    if ((core.i32[RESP_FLAGS >> 2]! & RESPONSE_UPGRADE) !== 0) {
      this.state = TUNNEL;
      request.onResponseBytes(address, available, true);
      if (this.request === request) request.onTunnel();
      return;
    }
    this.state = BODY;
    this.readBody(address, available, true);
  }

  private readBody(address: number, length: number, isFirst: boolean): void {
    const request = this.request as UpstreamRequest;
    let forward = length;
    let used = length;
    let done = false;
    if (this.bodyKind === BODY_LENGTH || this.bodyKind === BODY_NONE) {
      if (this.bodyKind === BODY_NONE) this.remaining = 0;
      used = Math.min(length, this.remaining);
      forward = used;
      this.remaining -= used;
      done = this.remaining === 0;
    } else if (this.bodyKind === BODY_CHUNKED) {
      const { core } = this.path;
      used = core.wasm.scanChunks(this.chunkState, address, length);
      if (used < 0) {
        this.failProtocol();
        return;
      }
      forward = core.i32[(this.chunkState + CHUNK_FORWARD) >> 2]!;
      done = core.i32[(this.chunkState + CHUNK_PHASE) >> 2] === CHUNK_PHASE_DONE;
    }
    if (forward > 0 || isFirst) request.onResponseBytes(address, forward, isFirst);
    if (done && this.state === BODY) this.finishResponse(length - used);
  }

  /** The connection goes back first, so that the next request of the same client may have it. */
  private finishResponse(excessBytes: number): void {
    const request = this.request as UpstreamRequest;
    const { responseBytes } = this; // of this response: the next request may start before this one is told
    this.request = null;
    this.requestsServed++;
    const { maxRequestsPerConnection } = this.cluster;
    const reusable =
      this.keepAlive &&
      excessBytes === 0 &&
      request.requestComplete &&
      // A server that refuses a tunnel may yet take what comes for the tunnel's.
      request.method !== METHOD_CONNECT &&
      !this.isAged &&
      (maxRequestsPerConnection === 0 || this.requestsServed < maxRequestsPerConnection);
    if (reusable) {
      this.state = IDLE;
      // A client that reads slowly had it paused; the next request, perhaps of another client, must not wait for that one.
      this.socket.resume();
      this.idleSinceMs = this.path.clock.nowMs;
      this.owner.onAvailable(this);
    } else this.destroy();
    request.onResponseEnd(responseBytes);
  }

  private failProtocol(): void {
    this.protocolFailed = true;
    this.destroy();
  }

  /** Nothing is read from here on, also where the socket reports its end only later. */
  private destroy(): void {
    this.state = CLOSED;
    this.socket.destroy();
  }
}
