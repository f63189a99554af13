// Downstream: one HTTP/2 connection of a client; each of its streams is a request with an exchange of its own.

import * as L from '@lateen/filters-wasm';
import { FrameReader } from '../../codec/http2/frame-reader.js';
import * as F from '../../codec/http2/frames.js';
import { Http2Session } from '../../codec/http2/http2-session.js';
import type { Http2Stream } from '../../codec/http2/http2-stream.js';
import { InboundFrames } from '../../codec/http2/inbound-frames.js';
import { Keepalive } from '../../codec/http2/keepalive.js';
import { addressText } from '../../observe/address-text.js';
import type { DataPath } from '../../transport/data-path.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import { Timer } from '../../transport/timer-wheel.js';
import { createConnectionRecord } from '../connection-record.js';
import type { HttpChain } from '../http-chain.js';
import type { ConnectionRegistry, ServedConnection } from '../served-connection.js';
import type { VerifiedClient } from '../tls-acceptor.js';
import { PrematureResets } from './premature-resets.js';
import { ServerStream } from './server-stream.js';

const TIMER_IDLE = 0;
const TIMER_AGE = 1;
const TIMER_DRAIN = 2;
const TIMER_HEADERS = 3;
const TIMER_KEEPALIVE = 4;
/** After the first GOAWAY, for clients that do not answer the PING behind it (Envoy's drain_timeout). */
const DRAIN_MS = 5000;
/** Streams that are kept for later requests. */
const MAX_SPARE_STREAMS = 32;

export class Http2ServerConnection extends Http2Session implements ServedConnection {
  readonly isClient = false;
  record = 0;
  limitBucket = 0;
  peerHint = 0;
  /** Asked of the system while the socket is open, and only where an access log will show them. */
  readonly localAddressText: string;
  readonly remoteAddressText: string;
  private prefaceLeft = F.PREFACE.length;
  private lastStreamId = 0;
  private requestsServed = 0;
  private draining = false;
  /** The last stream that the final GOAWAY named, -1 before it. */
  private lastServed = -1;
  private quietSinceMs: number;
  private readonly reader: FrameReader;
  private readonly inbound: InboundFrames;
  private readonly spare: ServerStream[] = [];
  private readonly premature = new PrematureResets();
  private readonly keepalive: Keepalive;
  private readonly idleTimer = new Timer(this, TIMER_IDLE);
  private readonly ageTimer = new Timer(this, TIMER_AGE);
  private readonly drainTimer = new Timer(this, TIMER_DRAIN);
  private readonly headersTimer = new Timer(this, TIMER_HEADERS);

  constructor(
    path: DataPath,
    socket: OwnedSocket,
    readonly chain: HttpChain,
    readonly serverName: string,
    readonly client: VerifiedClient,
    readonly secure: 0 | 1,
    private readonly registry: ConnectionRegistry,
  ) {
    super(path, socket, chain.http2, false);
    this.inbound = new InboundFrames(this);
    this.reader = new FrameReader(path, this.inbound);
    this.keepalive = new Keepalive(this, new Timer(this, TIMER_KEEPALIVE));
    path.clock.tick();
    this.quietSinceMs = path.clock.nowMs;
    if (chain.connectionRecordNeeded) this.needRecord();
    this.localAddressText = chain.accessLog === undefined ? '' : addressText(socket.localAddress, socket.localPort);
    this.remoteAddressText = chain.accessLog === undefined ? '' : addressText(socket.remoteAddress, socket.remotePort);
    if (chain.maxConnectionDurationMs > 0) path.wheel.schedule(this.ageTimer, chain.maxConnectionDurationMs);
    this.scheduleIdle();
  }

  /** Says our settings; a connection without room for its header decoder is told to come later. */
  start(): void {
    if (this.decoder === 0) {
      this.fail(F.ENHANCE_YOUR_CALM, 'there is no room for another HTTP/2 connection');
      return;
    }
    const { settings } = this;
    this.sendSettings([
      [F.SETTINGS_MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams],
      [F.SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindowBytes],
      ...(settings.allowConnect ? ([[F.SETTINGS_ENABLE_CONNECT_PROTOCOL, 1]] as const) : []),
    ]);
    this.keepalive.start();
  }

  // ---- Socket ----------------------------------------------------------------------------------------------------------

  onRead(length: number): void {
    this.path.clock.tick();
    if (this.ending) return;
    this.keepalive.onActivity();
    const preface = this.readPreface(length);
    if (preface < 0) return;
    this.path.readBufferBusy = true;
    if (preface < length) this.reader.read(L.READ_BUFFER + preface, length - preface);
    this.path.readBufferBusy = false;
    const limitMs = this.chain.requestHeadersTimeoutMs;
    if (!this.inbound.inHeaders) this.path.wheel.cancel(this.headersTimer);
    else if (limitMs > 0 && !this.headersTimer.armed) this.path.wheel.schedule(this.headersTimer, limitMs);
  }

  /** Bytes that were read before the connection was this object's; they may be in the read buffer. */
  onBytes(bytes: Uint8Array): void {
    this.path.core.bytes.set(bytes, L.READ_BUFFER);
    this.onRead(bytes.length);
  }

  onEnd(): void {
    this.socket.destroy();
  }

  // ---- Control ---------------------------------------------------------------------------------------------------------

  /** Tells the client to open no more streams, in two steps so that none is lost that is on its way (RFC 9113, 6.8). */
  drain(): void {
    if (this.draining || this.ending) return;
    this.draining = true;
    this.sendGoaway(F.NO_ERROR, F.MAX_STREAM_ID);
    // The answer to a PING comes after everything that the client sent before it knew.
    this.keepalive.ping();
    this.path.wheel.schedule(this.drainTimer, DRAIN_MS);
  }

  abort(): void {
    this.socket.destroy();
  }

  onPingAnswered(): void {
    this.keepalive.onAnswered();
    if (this.draining && this.lastServed < 0) this.refuseFurther();
  }

  onGoaway(): void {}

  onSettings(): void {}

  isIdle(streamId: number): boolean {
    return streamId > this.lastStreamId || (streamId & 1) === 0;
  }

  needRecord(): number {
    if (this.record === 0) this.record = createConnectionRecord(this.path.core, this);
    return this.record;
  }

  protected get lastPeerStream(): number {
    return this.lastStreamId;
  }

  protected onSessionTimer(kind: number): void {
    if (kind === TIMER_IDLE) this.onIdleTimer();
    else if (kind === TIMER_AGE) this.drain();
    else if (kind === TIMER_DRAIN) this.refuseFurther();
    else if (kind === TIMER_HEADERS) this.fail(F.ENHANCE_YOUR_CALM, 'a header block did not end in time');
    else this.keepalive.onTimer();
  }

  protected override onFailed(): void {
    this.reader.stopped = true;
  }

  protected onSessionClosed(): void {
    const { wheel, core } = this.path;
    wheel.cancel(this.idleTimer);
    wheel.cancel(this.ageTimer);
    wheel.cancel(this.drainTimer);
    wheel.cancel(this.headersTimer);
    this.keepalive.stop();
    this.reader.release();
    this.inbound.release();
    if (this.record !== 0) core.connections.release(this.record);
    if (this.limitBucket > 0) core.connectionBuckets.release(this.limitBucket);
    this.registry.onConnectionGone(this);
  }

  // ---- Streams ---------------------------------------------------------------------------------------------------------

  onHeaders(streamId: number, address: number, length: number, endStream: boolean): void {
    const known = this.streams.get(streamId);
    if (known !== undefined) {
      known.onHeaderBlock(address, length, endStream);
      return;
    }
    if ((streamId & 1) === 0) {
      this.fail(F.PROTOCOL_ERROR, 'a client opened a stream with an even number');
      return;
    }
    if (streamId <= this.lastStreamId) {
      if (!this.wasReset(streamId)) this.fail(F.STREAM_CLOSED, 'a head on a closed stream');
      else this.decodeHead(address, length, L.H2_TRAILERS | L.H2_END_STREAM);
      return;
    }
    this.lastStreamId = streamId;
    const kind = L.H2_REQUEST | (endStream ? L.H2_END_STREAM : 0);
    const decoded = this.decodeHead(address, length, this.settings.allowConnect ? kind | L.H2_ALLOW_PROTOCOL : kind);
    if (this.ending) return;
    if (decoded === L.H2_ERROR_MALFORMED) {
      if (this.settings.malformedEndsStreamOnly) this.sendReset(streamId, F.PROTOCOL_ERROR);
      else this.fail(F.PROTOCOL_ERROR, 'a malformed head');
    } else if (this.streams.size >= this.settings.maxConcurrentStreams || this.lastServed >= 0) {
      this.sendReset(streamId, F.REFUSED_STREAM);
    } else {
      this.open(streamId, decoded, length, endStream);
    }
  }

  /** Decodes a header block to H2_HEAD_BUFFER: its length, or H2_ERROR_* where only the stream is concerned. */
  decodeHead(address: number, length: number, kind: number): number {
    const { wasm } = this.path.core;
    const decoded = wasm.h2DecodeHead(this.decoder, address, length, kind, L.H2_HEAD_BUFFER, L.MAX_HEAD_BYTES);
    if (decoded === L.H2_ERROR_COMPRESSION) this.fail(F.COMPRESSION_ERROR, 'a header block cannot be decoded');
    else if (decoded === L.H2_ERROR_FLOOD) this.fail(F.ENHANCE_YOUR_CALM, 'a head has too many fields');
    return decoded;
  }

  /** A message is not as RFC 9113, 8.1 wants it. */
  onMalformed(stream: ServerStream, reason: string): void {
    if (this.settings.malformedEndsStreamOnly) this.failStream(stream, reason, F.PROTOCOL_ERROR);
    else this.fail(F.PROTOCOL_ERROR, reason);
  }

  onPrematureReset(): void {
    if (this.ending || !this.premature.onPrematureReset()) return;
    this.path.stats.http2Floods.premature_resets = (this.path.stats.http2Floods.premature_resets ?? 0) + 1;
    this.fail(F.ENHANCE_YOUR_CALM, 'too many streams were reset as soon as they were opened');
  }

  /** A stream is free for another request. */
  onRequestDone(stream: ServerStream): void {
    this.quietSinceMs = this.path.clock.nowMs;
    this.premature.onStreamClosed();
    if (this.closed) return;
    if (this.spare.length < MAX_SPARE_STREAMS) this.spare.push(stream);
    if (this.lastServed >= 0 && this.streams.size === 0 && !this.ending) this.finish();
  }

  private open(streamId: number, headLength: number, wireLength: number, endStream: boolean): void {
    const stream = this.spare.pop() ?? new ServerStream(this);
    this.addStream(stream, streamId);
    this.requestsServed++;
    const { maxRequestsPerConnection } = this.chain;
    const last = maxRequestsPerConnection > 0 && this.requestsServed >= maxRequestsPerConnection;
    if (last || this.path.leaving || this.chain.draining) this.drain();
    stream.startRequest(headLength, wireLength + F.FRAME_HEADER_BYTES, endStream);
    if (stream.id === streamId) this.settle(stream);
  }

  /** The second step of draining: what comes from here on was sent by a client that had been told. */
  private refuseFurther(): void {
    if (this.lastServed >= 0 || this.ending) return;
    this.path.wheel.cancel(this.drainTimer);
    this.lastServed = this.lastStreamId;
    this.sendGoaway(F.NO_ERROR, this.lastServed);
    if (this.streams.size === 0) this.finish();
  }

  private readPreface(length: number): number {
    if (this.prefaceLeft === 0) return 0;
    const { bytes } = this.path.core;
    const start = F.PREFACE.length - this.prefaceLeft;
    const count = Math.min(this.prefaceLeft, length);
    if (F.PREFACE.compare(bytes, L.READ_BUFFER, L.READ_BUFFER + count, start, start + count) !== 0) {
      this.fail(F.PROTOCOL_ERROR, 'the connection does not begin as HTTP/2');
      return -1;
    }
    this.prefaceLeft -= count;
    return count;
  }

  // ---- Time ------------------------------------------------------------------------------------------------------------

  private onIdleTimer(): void {
    const { nowMs } = this.path.clock;
    const { idleTimeoutMs, streamIdleTimeoutMs: streamMs } = this.chain;
    if (streamMs > 0) for (const stream of [...this.streams.values()]) this.checkQuiet(stream, nowMs - streamMs);
    if (this.streams.size === 0 && idleTimeoutMs > 0 && nowMs - this.quietSinceMs >= idleTimeoutMs) this.drain();
    if (!this.ending) this.scheduleIdle();
  }

  /** Nothing may stand still: neither the exchange, nor a client that does not take its answer. */
  private checkQuiet(each: Http2Stream, sinceMs: number): void {
    const stream = each as ServerStream;
    if (stream.exchange.active) {
      if (stream.exchange.lastActiveMs <= sinceMs) stream.exchange.onStreamIdle();
    } else if (stream.lastSentMs <= sinceMs) this.failStream(stream, 'the answer was not taken', F.CANCEL);
  }

  private scheduleIdle(): void {
    const { idleTimeoutMs: idleMs, streamIdleTimeoutMs: streamMs } = this.chain;
    const limitMs = Math.min(idleMs, streamMs) || Math.max(idleMs, streamMs);
    if (limitMs > 0) this.path.wheel.schedule(this.idleTimer, Math.max(limitMs / 4, 1));
  }
}
