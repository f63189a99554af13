// Downstream: one HTTP/1.1 connection of a client; frames its requests and runs them through its exchange, one at a time.

import * as L from '@lateen/filters-wasm';
import type { DrainListener } from '../codec/message-writer.js';
import { Exchange } from '../exchange/exchange.js';
import type { ExchangeClient } from '../exchange/exchange-client.js';
import { BAD_CHUNK, REQUEST_HEADER_TIMEOUT, REQUEST_TIMEOUT, refusedHead } from '../exchange/local-reply.js';
import type { DataPath } from '../transport/data-path.js';
import { HeldBytes } from '../transport/held-bytes.js';
import type { OwnedSocket, SocketOwner } from '../transport/proxy-socket.js';
import { SocketWriter } from '../transport/socket-writer.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { HttpChain } from './http-chain.js';
import { AcceptedClient } from './http1/accepted-client.js';
import { asksForHead } from './http1/asks-for-head.js';
import { RequestFraming } from './http1/request-framing.js';
import type { HttpRegistry } from './http2/http-connections.js';
import type { ServedConnection } from './served-connection.js';
import type { VerifiedClient } from './tls-acceptor.js';

/** Between requests, or inside a head. */
const HEAD = 0;
const BODY = 1;
/** The request is complete, its response is not: further bytes are the next request's and are held. */
const WAIT = 2;
/** The last response is on its way; what the client still sends is dropped. */
const LINGER = 3;
const CLOSED = 4;
/** An upgrade was answered 101, or CONNECT 2xx: bytes go both ways as they are. */
const TUNNEL = 5;

const TIMER_IDLE = 0;
/** The phases that must end in time: a head, a body, lingering. */
const TIMER_PHASE = 1;
const TIMER_AGE = 2;
/** For the rest of an answer to be taken where no stream idle time-out is set. */
const MAX_FLUSH_MS = 300_000;
const MAX_HELD_BYTES = 2 * L.READ_BUFFER_BYTES;
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

export class DownstreamConnection
  extends AcceptedClient
  implements ExchangeClient, ServedConnection, SocketOwner, TimerOwner, DrainListener
{
  readonly writer: SocketWriter;
  closing = false;
  private truncated = false;
  private state = HEAD;
  private inLoop = false;
  private paused = false;
  private drainPending = false;
  private scanned = 0;
  private lastActiveMs: number;
  private requestsServed = 0;
  private readonly exchange: Exchange;
  private readonly held: HeldBytes;
  private readonly framing: RequestFraming;
  private readonly idleTimer = new Timer(this, TIMER_IDLE);
  private readonly phaseTimer = new Timer(this, TIMER_PHASE);
  private readonly ageTimer = new Timer(this, TIMER_AGE);

  constructor(
    path: DataPath,
    socket: OwnedSocket,
    chain: HttpChain,
    serverName: string,
    client: VerifiedClient,
    secure: 0 | 1,
    private readonly registry: HttpRegistry,
  ) {
    super(path, socket, chain, serverName, client, secure);
    this.writer = new SocketWriter(path.core, path.slots, socket);
    this.held = new HeldBytes(path.core);
    this.framing = new RequestFraming(path.core);
    path.clock.tick();
    this.lastActiveMs = path.clock.nowMs;
    this.exchange = new Exchange(path, this);
    this.scheduleIdle();
    if (chain.maxConnectionDurationMs > 0) path.wheel.schedule(this.ageTimer, chain.maxConnectionDurationMs);
  }

  // ---- Socket ----------------------------------------------------------------------------------------------------------

  onRead(length: number): void {
    this.path.clock.tick();
    this.lastActiveMs = this.path.clock.nowMs;
    let address = L.READ_BUFFER;
    let available = length;
    const partial = this.held.length;
    if (this.drainPending) {
      this.hold(address, length);
      return;
    }
    if (this.state === HEAD && partial > 0) {
      address -= partial;
      available += partial;
      this.held.takeTo(address, partial);
    }
    this.consume(address, available);
  }

  /** Bytes that were read before the connection was this object's; they may be in the read buffer. */
  onBytes(bytes: Uint8Array): void {
    this.path.core.bytes.set(bytes, L.READ_BUFFER);
    this.onRead(bytes.length);
  }

  onEnd(): void {
    this.path.clock.tick();
    if (this.state === TUNNEL) {
      this.exchange.endFromClient();
      return;
    }
    if (this.exchange.active) this.exchange.onClientGone();
    else if (!this.writer.settled) {
      this.socket.end(() => this.socket.destroy());
      return;
    }
    this.socket.destroy();
  }

  onClosed(): void {
    this.path.clock.tick();
    this.release();
    this.registry.onConnectionGone(this);
  }

  /** Lets go of everything but the socket. */
  release(): void {
    this.state = CLOSED;
    const { wheel } = this.path;
    wheel.cancel(this.idleTimer);
    wheel.cancel(this.phaseTimer);
    wheel.cancel(this.ageTimer);
    this.exchange.onClientGone();
    this.writer.releaseAll();
    this.held.clear();
    this.releaseClient();
    this.framing.release();
  }

  // ---- Control ---------------------------------------------------------------------------------------------------------

  /** Lets the present exchange end, and closes at once where there is none. */
  drain(): void {
    this.closing = true;
    if (!this.exchange.active && this.state === HEAD && this.held.length === 0) this.linger(false);
  }

  abort(): void {
    this.state = CLOSED;
    // TLS shows a cut by the missing alert, TCP only by a reset.
    if (this.truncated && this.secure !== 1) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  responseTruncated(): void {
    this.truncated = true;
  }

  closeAfterResponse(): void {
    this.closing = true;
  }

  pauseRequest(): void {
    this.paused = true;
    this.socket.pause();
  }

  resumeRequest(): void {
    if (!this.paused || this.state === CLOSED) return;
    this.paused = false;
    this.socket.resume();
  }

  /** What was held is for the upstream; it goes there once nobody else needs the read buffer. */
  beginTunnel(): void {
    this.state = TUNNEL;
    this.closing = true;
    process.nextTick(() => {
      if (this.state !== TUNNEL) return;
      this.resumeRequest();
      while (this.held.length > 0 && this.state === TUNNEL) {
        this.consume(L.READ_HEADROOM, this.held.takeTo(L.READ_HEADROOM, MAX_HELD_BYTES));
      }
    });
  }

  endTunnel(): void {
    this.socket.end();
  }

  onExchangeDone(close: boolean): void {
    if (this.state === CLOSED) return;
    this.lastActiveMs = this.path.clock.nowMs;
    if (close || this.closing) {
      this.linger(this.state !== WAIT || this.held.length > 0);
      return;
    }
    this.state = HEAD;
    if (this.inLoop) return;
    if (this.held.length > 0 && this.path.readBufferBusy) process.nextTick(() => this.proceed());
    else this.proceed();
  }

  /** The client has read most of its answers: it may be served again. */
  onDrained(): void {
    this.drainPending = false;
    this.proceed();
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_AGE) this.drain();
    else if (kind === TIMER_PHASE) this.onPhaseTimeout();
    else this.onIdleTimeout();
  }

  private onIdleTimeout(): void {
    const { active } = this.exchange;
    const limitMs = active ? this.chain.streamIdleTimeoutMs : this.chain.idleTimeoutMs;
    const quietMs = this.path.clock.nowMs - Math.max(this.lastActiveMs, active ? this.exchange.lastActiveMs : 0);
    if (limitMs > 0 && quietMs >= limitMs) {
      if (active) this.exchange.onStreamIdle();
      else this.linger(false);
    }
    if (this.state !== CLOSED) this.scheduleIdle();
  }

  private onPhaseTimeout(): void {
    if (this.state === LINGER) this.abort();
    else if (this.state === HEAD && this.held.length > 0) {
      this.closing = true;
      const held = this.held.view();
      this.exchange.refuse(REQUEST_HEADER_TIMEOUT, asksForHead(held, 0, held.length));
    } else if (this.state === BODY) this.exchange.fail(REQUEST_TIMEOUT);
  }

  // ---- Bytes -----------------------------------------------------------------------------------------------------------

  /** Goes through bytes until they are used, held or dropped. A loop, because a client may pipeline thousands of requests. */
  private consume(address: number, length: number): void {
    this.inLoop = true;
    let at = address;
    const end = address + length;
    while (at < end) {
      if (this.state === HEAD && this.writer.backedUp) {
        // A client that sends requests and does not read its answers would fill the memory with them.
        this.hold(at, end - at);
        this.awaitDrain();
        break;
      }
      if (this.state === HEAD) at += this.readHead(at, end - at);
      else if (this.state === BODY) at += this.readBody(at, end - at);
      else {
        if (this.state === WAIT) this.hold(at, end - at);
        else if (this.state === TUNNEL) this.exchange.requestBytes(at, end - at, end - at, false);
        break;
      }
    }
    this.inLoop = false;
  }

  /** Between two requests: goes on with what is held, unless the client has much to read first. */
  private proceed(): void {
    if (this.state !== HEAD) return;
    if (this.held.length > 0) {
      const length = this.held.takeTo(L.READ_HEADROOM, MAX_HELD_BYTES);
      this.consume(L.READ_HEADROOM, length);
    }
    if (this.state === HEAD && !this.drainPending) this.resumeRequest();
  }

  private awaitDrain(): void {
    this.drainPending = true;
    this.writer.notifyDrained(this);
  }

  /** Returns how many bytes were used. */
  private readHead(address: number, length: number): number {
    const { core, leaving } = this.path;
    const headLength = core.wasm.parseRequest(address, length, this.scanned, this.chain.listenerRecord, this.record);
    if (headLength === 0) {
      this.held.append(address, length);
      this.scanned = length;
      const limitMs = this.chain.requestHeadersTimeoutMs;
      if (limitMs > 0 && !this.phaseTimer.armed) this.path.wheel.schedule(this.phaseTimer, limitMs);
      return length;
    }
    this.scanned = 0;
    if (this.phaseTimer.armed) this.path.wheel.cancel(this.phaseTimer);
    if (headLength < 0) {
      if (this.requestsServed === 0 && this.registry.beganHttp2(this, address, length)) return length;
      this.closing = true;
      this.exchange.refuse(refusedHead(-headLength), asksForHead(core.bytes, address, address + length));
      return length;
    }
    const flags = core.i32[L.REQ_FLAGS >> 2]!;
    this.requestsServed++;
    const { maxRequestsPerConnection } = this.chain;
    this.closing =
      leaving ||
      this.chain.draining ||
      this.closing ||
      // What follows a CONNECT is a tunnel's, also where that is refused: never the next request.
      (flags & (L.REQUEST_KEEP_ALIVE | L.REQUEST_CONNECT)) !== L.REQUEST_KEEP_ALIVE ||
      (maxRequestsPerConnection > 0 && this.requestsServed >= maxRequestsPerConnection);
    return headLength + this.startRequest(headLength, address + headLength, length - headLength, flags);
  }

  /** Starts the exchange with what is here of the body; returns how many body bytes were used. */
  private startRequest(headLength: number, address: number, length: number, flags: number): number {
    const { framing } = this;
    if (!framing.begin()) {
      this.abort();
      return length;
    }
    const used = framing.take(address, length);
    if (used < 0) {
      this.closing = true;
      this.exchange.refuse(BAD_CHUNK, this.path.core.i32[L.REQ_METHOD >> 2] === L.METHOD_HEAD);
      return length;
    }
    const { complete } = framing;
    this.state = complete ? WAIT : BODY;
    if (!complete && this.chain.requestTimeoutMs > 0) {
      this.path.wheel.schedule(this.phaseTimer, this.chain.requestTimeoutMs);
    }
    this.exchange.begin(headLength, address, framing.forward, used, complete);
    if ((flags & L.REQUEST_EXPECT_CONTINUE) !== 0 && !complete && used === 0 && this.exchange.active) {
      this.writer.writeBuffer(CONTINUE);
    }
    return used;
  }

  private readBody(address: number, length: number): number {
    const { framing } = this;
    const used = framing.take(address, length);
    if (used < 0) {
      this.closing = true;
      this.exchange.fail(BAD_CHUNK);
      return length;
    }
    if (framing.complete) {
      this.state = WAIT;
      if (this.phaseTimer.armed) this.path.wheel.cancel(this.phaseTimer);
    }
    this.exchange.requestBytes(address, framing.forward, used, framing.complete);
    return used;
  }

  private hold(address: number, length: number): void {
    if (this.held.length + length > MAX_HELD_BYTES) {
      this.abort();
      return;
    }
    this.held.append(address, length);
    this.pauseRequest();
  }

  /** Ends our side; a client that may still be sending has a moment to read the response and to end its own. */
  private linger(mayStillSend: boolean): void {
    if (this.truncated) {
      this.abort();
      return;
    }
    this.state = LINGER;
    this.held.clear();
    if (!mayStillSend && this.writer.settled) {
      this.socket.destroy();
      return;
    }
    // The moment starts once everything is with the kernel; until then a slow reader has the time of an idle stream.
    this.socket.end(() => {
      if (this.state !== LINGER) return;
      // A client that still sends would get a reset at once, and lose the response.
      if (this.chain.delayedCloseTimeoutMs === 0) this.abort();
      else this.path.wheel.schedule(this.phaseTimer, this.chain.delayedCloseTimeoutMs);
    });
    this.resumeRequest();
    this.path.wheel.schedule(this.phaseTimer, this.chain.streamIdleTimeoutMs || MAX_FLUSH_MS);
  }

  private scheduleIdle(): void {
    const { idleTimeoutMs: idleMs, streamIdleTimeoutMs: streamMs } = this.chain;
    const limitMs = Math.min(idleMs, streamMs) || Math.max(idleMs, streamMs);
    if (limitMs === 0) return;
    const quietMs = this.path.clock.nowMs - Math.max(this.lastActiveMs, this.exchange.lastActiveMs);
    // Not sooner than a quarter of the limit: the other of the two limits may be the one that counts at the moment.
    this.path.wheel.schedule(this.idleTimer, Math.max(limitMs - quietMs, limitMs / 4, 1));
  }
}
