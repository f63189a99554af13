// Downstream: one request of a HTTP/2 client: gives its body to an exchange in HTTP/1.1's form, and takes the answer.

import * as L from '@lateen/filters-wasm';
import { CHUNKS_END, putChunkStart, putChunksEnd } from '../../codec/http2/chunk-framing.js';
import * as F from '../../codec/http2/frames.js';
import { Http2Stream } from '../../codec/http2/http2-stream.js';
import { Exchange } from '../../exchange/exchange.js';
import type { ExchangeClient } from '../../exchange/exchange-client.js';
import {
  HEAD_TOO_LARGE,
  type LocalReply,
  REQUEST_TIMEOUT,
  refusedHead,
  UPGRADE_NOT_ENABLED,
} from '../../exchange/local-reply.js';
import { FLAG } from '../../exchange/response-flags.js';
import { destinationOf } from '../../transport/proxy-socket.js';
import type { Destination } from '../../transport/system/original-destination.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { HttpChain } from '../http-chain.js';
import { asksForHead } from '../http1/asks-for-head.js';
import { addressesOf, type PresentedAddresses } from '../listener-filters/proxy-header.js';
import type { VerifiedClient } from '../tls-acceptor.js';
import type { Http2ServerConnection } from './server-connection.js';
import { Tunnel } from './tunnel.js';

/** Envoy's overload.premature_reset_min_stream_lifetime_seconds. */
const PREMATURE_MS = 1000;
/** Enough for a method and what ends it. */
const METHOD_BYTES = 8;
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

/** Used again for later requests of its connection, with its exchange. */
export class ServerStream extends Http2Stream implements ExchangeClient, TimerOwner {
  readonly chain: HttpChain;
  readonly framesMessages = true;
  readonly closing = false;
  readonly exchange: Exchange;
  startMs = 0;
  /** BODY_* of the request, and what its length says is still to come. */
  private bodyKind = 0;
  private bodyLeft = 0;
  private chunkOpen = false;
  /** The peer has ended the stream: nothing is sent for it any more. */
  private gone = false;
  private tunnel: Tunnel | null = null;
  private readonly requestTimer = new Timer(this, 0);

  constructor(private readonly connection: Http2ServerConnection) {
    super(connection);
    this.chain = connection.chain;
    this.headKind = L.H2_RESPONSE;
    this.exchange = new Exchange(connection.path, this);
  }

  // ---- What the exchange knows of its client ---------------------------------------------------------------------------

  get record(): number {
    return this.connection.record;
  }
  needRecord(): number {
    return this.connection.needRecord();
  }
  get secure(): number {
    return this.connection.secure;
  }
  get securityId(): number {
    return this.connection.client.securityId;
  }
  get peerPrincipal(): string {
    return this.connection.client.principal;
  }
  get client(): VerifiedClient {
    return this.connection.client;
  }
  get limitBucket(): number {
    return this.connection.limitBucket;
  }
  set limitBucket(bucket: number) {
    this.connection.limitBucket = bucket;
  }
  get peerHint(): number {
    return this.connection.peerHint;
  }
  set peerHint(peer: number) {
    this.connection.peerHint = peer;
  }
  get destination(): Destination | undefined {
    return destinationOf(this.connection.socket);
  }

  get addresses(): PresentedAddresses | undefined {
    return addressesOf(this.connection.socket);
  }

  get localAddressText(): string {
    return this.connection.localAddressText;
  }
  get remoteAddressText(): string {
    return this.connection.remoteAddressText;
  }
  get serverName(): string {
    return this.connection.serverName;
  }

  // ---- Request ---------------------------------------------------------------------------------------------------------

  /** What is at H2_HEAD_BUFFER begins with the method. */
  private refuse(reply: LocalReply): void {
    const { bytes } = this.connection.path.core;
    this.exchange.refuse(reply, asksForHead(bytes, L.H2_HEAD_BUFFER, L.H2_HEAD_BUFFER + METHOD_BYTES));
  }

  /** The head in HTTP/1.1's form is at H2_HEAD_BUFFER, `wireLength` bytes of HPACK; a negative length: it was too large, and only its method is there. */
  startRequest(headLength: number, wireLength: number, endStream: boolean): void {
    const { path } = this.connection;
    const { core } = path;
    this.headSeen = true;
    this.remoteEnded = endStream;
    this.gone = false;
    this.tunnel = null;
    this.chunkOpen = false;
    this.bodyKind = L.BODY_NONE;
    this.bodyLeft = 0;
    this.startMs = path.clock.nowMs;
    this.lastSentMs = this.startMs;
    if (headLength < 0) {
      this.refuse(HEAD_TOO_LARGE);
      return;
    }
    const { listenerRecord } = this.chain;
    const parsed = core.wasm.parseRequest(L.H2_HEAD_BUFFER, headLength, 0, listenerRecord, this.record);
    if (parsed <= 0) {
      this.refuse(refusedHead(-parsed || 400));
      return;
    }
    const flags = core.i32[L.REQ_FLAGS >> 2]!;
    const upgrade = (flags & L.REQUEST_UPGRADE) !== 0;
    if (!upgrade && (core.i32[L.H2_DECODED_FLAGS >> 2]! & L.H2_DECODED_PROTOCOL) !== 0) {
      this.exchange.refuse(UPGRADE_NOT_ENABLED);
      return;
    }
    const tunnels = upgrade || (flags & L.REQUEST_CONNECT) !== 0;
    if (tunnels) {
      this.tunnel = new Tunnel(this.exchange, endStream);
      // Until it is there nobody takes what comes.
      this.pauseReceiving();
    }
    this.bodyKind = core.i32[L.REQ_BODY >> 2]!;
    this.bodyLeft = this.bodyKind === L.BODY_LENGTH ? core.f64[L.REQ_CONTENT_LENGTH >> 3]! : 0;
    if (!endStream && !tunnels && this.chain.requestTimeoutMs > 0) {
      path.wheel.schedule(this.requestTimer, this.chain.requestTimeoutMs);
    }
    const expects = (flags & L.REQUEST_EXPECT_CONTINUE) !== 0 && !endStream && !tunnels;
    this.exchange.begin(parsed, L.H2_HEAD_BUFFER, 0, wireLength - parsed, endStream || tunnels);
    if (expects && this.id !== 0 && this.exchange.active) {
      core.bytes.set(CONTINUE, L.H2_HEAD_BUFFER);
      this.writer.writeInterim(L.H2_HEAD_BUFFER, CONTINUE.length);
    }
  }

  /** Trailers: a head was seen before. */
  onHeaderBlock(address: number, length: number, endStream: boolean): void {
    const { connection, exchange } = this;
    const decoded = connection.decodeHead(address, length, L.H2_TRAILERS | L.H2_END_STREAM);
    if (this.id === 0) return;
    if (this.remoteEnded) {
      connection.failStream(this, 'a head after the end of the stream', F.STREAM_CLOSED);
      return;
    }
    if (decoded < 0 || !endStream || this.bodyLeft > 0) {
      connection.onMalformed(this, 'malformed trailers');
      return;
    }
    this.remoteEnded = true;
    connection.path.wheel.cancel(this.requestTimer);
    if (this.tunnel !== null) this.tunnel.take(connection.path.core, L.H2_HEAD_BUFFER, 0, true);
    else if (exchange.active) {
      exchange.requestTrailers(L.H2_HEAD_BUFFER, decoded);
      this.endBody(length);
    }
    connection.settle(this);
  }

  onData(address: number, length: number, end: boolean): void {
    const { exchange } = this;
    if (this.tunnel !== null) {
      this.tunnel.take(this.connection.path.core, address, length, end);
      return;
    }
    if (exchange.active) exchange.noteRequestData(address, length);
    if (this.bodyKind !== L.BODY_CHUNKED) {
      this.bodyLeft -= length;
      if (this.bodyLeft < 0 || (end && this.bodyLeft > 0)) {
        this.connection.onMalformed(this, 'the body is not as long as content-length says');
        return;
      }
      if (exchange.active) exchange.requestBytes(address, length, length + F.FRAME_HEADER_BYTES, end);
    } else if (exchange.active) {
      if (length > 0) {
        const added = putChunkStart(this.connection.path.core.bytes, address, length, this.chunkOpen);
        this.chunkOpen = true;
        exchange.requestBytes(address - added, length + added, length + F.FRAME_HEADER_BYTES, false);
      }
      if (end && exchange.active) this.endBody(0);
    }
    if (end) this.connection.path.wheel.cancel(this.requestTimer);
  }

  onReset(): void {
    this.gone = true;
    const { connection, exchange } = this;
    const premature =
      exchange.active && !exchange.responseStarted && connection.path.clock.nowMs - this.startMs < PREMATURE_MS;
    exchange.onClientGone();
    if (premature) connection.onPrematureReset();
  }

  onTimer(): void {
    this.connection.path.clock.tick();
    this.exchange.fail(REQUEST_TIMEOUT);
  }

  // ---- Response --------------------------------------------------------------------------------------------------------

  pauseRequest(): void {
    this.pauseReceiving();
  }

  resumeRequest(): void {
    if (this.tunnel === null || this.tunnel.isOpen) this.resumeReceiving();
  }

  closeAfterResponse(): void {}

  responseTruncated(): void {}

  abort(): void {
    if (this.id !== 0 && !this.gone) this.connection.resetStream(this, F.INTERNAL_ERROR);
  }

  beginTunnel(): void {
    this.resumeReceiving();
    this.tunnel?.open(this.connection.path.core);
  }

  endTunnel(): void {
    this.writer.endMessage();
  }

  onExchangeDone(): void {
    const { connection } = this;
    connection.path.wheel.cancel(this.requestTimer);
    if (this.id === 0) {
      connection.onRequestDone(this);
      return;
    }
    if (this.gone) return;
    this.lastSentMs = connection.path.clock.nowMs;
    if (!this.writer.ended) connection.resetStream(this, this.brokenTunnel ? F.CONNECT_ERROR : F.INTERNAL_ERROR);
    else if (this.localEnded && !this.remoteEnded) connection.resetStream(this, F.NO_ERROR);
    else if (!this.remoteEnded) this.resumeReceiving();
  }

  /** The connection at the other end of a CONNECT has failed (RFC 9113, 8.5). */
  private get brokenTunnel(): boolean {
    return this.exchange.connect && (this.exchange.flags & FLAG.UC) !== 0;
  }

  onLocalEnd(): void {
    if (!this.exchange.active && !this.remoteEnded) this.connection.resetStream(this, F.NO_ERROR);
  }

  onClosed(): void {
    // In the middle of the exchange's last step the stream is not free yet: it will be told.
    if (!this.exchange.active) this.connection.onRequestDone(this);
  }

  /** The end of a body that came without its length: its last chunk. */
  private endBody(wireLength: number): void {
    const { core } = this.connection.path;
    if (this.bodyKind !== L.BODY_CHUNKED) {
      this.exchange.requestBytes(L.H2_HEAD_BUFFER, 0, wireLength, true);
      return;
    }
    const length = putChunksEnd(core.bytes, CHUNKS_END, this.chunkOpen);
    this.exchange.requestBytes(CHUNKS_END, length, wireLength, true);
  }
}
