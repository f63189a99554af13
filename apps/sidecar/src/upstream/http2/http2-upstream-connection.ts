// Upstream: one HTTP/2 connection to an endpoint, with as many requests at a time as both sides allow.

import * as L from '@lateen/filters-wasm';
import { FrameReader } from '../../codec/http2/frame-reader.js';
import * as F from '../../codec/http2/frames.js';
import { Http2Session } from '../../codec/http2/http2-session.js';
import { InboundFrames } from '../../codec/http2/inbound-frames.js';
import { Keepalive } from '../../codec/http2/keepalive.js';
import { describeError } from '../../exchange/local-reply.js';
import { addressText } from '../../observe/address-text.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import { Timer } from '../../transport/timer-wheel.js';
import type { ConnectionOwner } from '../connection-owner.js';
import type { PooledConnection } from '../connection-pool.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import type { UpstreamRequest } from '../upstream-request.js';
import type { UpstreamTransport } from '../upstream-transport.js';
import { ClientStream } from './client-stream.js';

const TIMER_IDLE = 0;
const TIMER_KEEPALIVE = 1;
const TIMER_AGE = 2;
/** A server that allows few would refuse what comes before it has said so: the first request does not wait, the others do. */
const STREAMS_BEFORE_SETTINGS = 1;
/** Streams that are kept for later requests. */
const MAX_SPARE_STREAMS = 32;

export class Http2UpstreamConnection extends Http2Session implements PooledConnection {
  readonly isClient = true;
  readonly resuming = false;
  offered = false;
  readonly localAddressText: string;
  /** The server has said something: it has taken the connection. */
  heard = false;
  /** Answers that were complete. */
  served = 0;
  failureReason = '';
  private nextStreamId = 1;
  private requestsLeft: number;
  /** The server has said what it takes. */
  settingsSeen = false;
  /** It takes no more requests, and ends with its last one. */
  private leaving = false;
  private quietSinceMs: number;
  private readonly reader: FrameReader;
  private readonly inbound: InboundFrames;
  private readonly spare: ClientStream[] = [];
  private readonly unsettled: ClientStream[] = [];
  private readonly keepalive: Keepalive;
  private readonly idleTimer = new Timer(this, TIMER_IDLE);
  private readonly ageTimer = new Timer(this, TIMER_AGE);

  constructor(
    private readonly owner: ConnectionOwner,
    socket: OwnedSocket,
    readonly cluster: UpstreamCluster,
    readonly transport: UpstreamTransport,
    readonly counted: boolean,
    readonly securityId: number,
  ) {
    // Its window is given back at once, or a few clients that read slowly would stop all others of the connection. What
    // may be under way is bounded by the windows of the streams.
    super(owner.path, socket, cluster.http.http2, true);
    this.inbound = new InboundFrames(this);
    this.reader = new FrameReader(this.path, this.inbound);
    this.keepalive = new Keepalive(this, new Timer(this, TIMER_KEEPALIVE));
    this.localAddressText = addressText(socket.localAddress, socket.localPort);
    this.requestsLeft = cluster.maxRequestsPerConnection || Number.POSITIVE_INFINITY;
    this.path.clock.tick();
    this.quietSinceMs = this.path.clock.nowMs;
  }

  /** Says that it is HTTP/2, and our settings. */
  begin(): void {
    if (this.decoder === 0) {
      this.failureReason = 'no room for another HTTP/2 connection';
      this.leaving = true;
      this.socket.destroy();
      return;
    }
    const at = this.output.reserve(F.PREFACE.length);
    this.path.core.bytes.set(F.PREFACE, at);
    this.output.commit(F.PREFACE.length);
    this.sendSettings([
      [F.SETTINGS_ENABLE_PUSH, 0],
      [F.SETTINGS_INITIAL_WINDOW_SIZE, this.settings.streamWindowBytes],
    ]);
    this.keepalive.start();
    const { idleTimeoutMs, maxConnectionDurationMs } = this.cluster;
    if (idleTimeoutMs > 0) this.path.wheel.schedule(this.idleTimer, idleTimeoutMs);
    if (maxConnectionDurationMs > 0) this.path.wheel.schedule(this.ageTimer, maxConnectionDurationMs);
  }

  // ---- Pool ------------------------------------------------------------------------------------------------------------

  get settling(): boolean {
    return !this.settingsSeen && !this.leaving;
  }

  get free(): number {
    if (this.leaving || this.ending) return 0;
    const allowed = this.settingsSeen ? this.peerMaxStreams : STREAMS_BEFORE_SETTINGS;
    const streams = Math.min(this.settings.maxConcurrentStreams, allowed) - this.streams.size;
    return Math.max(0, Math.min(streams, this.requestsLeft));
  }

  start(request: UpstreamRequest): void {
    const stream = this.spare.pop() ?? new ClientStream(this);
    this.addStream(stream, this.nextStreamId);
    this.nextStreamId += 2;
    this.requestsLeft--;
    if (this.requestsLeft <= 0 || this.nextStreamId > F.MAX_STREAM_ID) this.leave();
    stream.start(request);
  }

  /** `proceed` is called once the server's settings are known. */
  whenSettled(stream: ClientStream): void {
    this.unsettled.push(stream);
  }

  retire(): void {
    this.leave();
    this.endIfDone();
  }

  close(): void {
    this.socket.destroy();
  }

  /** A stream is free for another request. */
  onStreamDone(stream: ClientStream): void {
    this.quietSinceMs = this.path.clock.nowMs;
    if (this.closed) return;
    if (this.spare.length < MAX_SPARE_STREAMS) this.spare.push(stream);
    this.endIfDone();
    if (!this.ending) this.owner.onAvailable(this);
  }

  // ---- Socket ----------------------------------------------------------------------------------------------------------

  onRead(length: number): void {
    this.path.clock.tick();
    if (this.ending) return;
    this.heard = true;
    this.keepalive.onActivity();
    this.path.readBufferBusy = true;
    this.reader.read(L.READ_BUFFER, length);
    this.path.readBufferBusy = false;
  }

  onEnd(): void {
    this.socket.destroy();
  }

  // ---- Session ---------------------------------------------------------------------------------------------------------

  onSettings(): void {
    this.settingsSeen = true;
    for (const stream of this.unsettled.splice(0)) stream.proceed();
    if (this.free === 0) this.owner.withdraw(this);
    this.owner.onSettled(this);
  }

  /** Streams above the last were never looked at: they may be tried again, whatever they ask for (RFC 9113, 6.8). */
  onGoaway(lastStream: number, code: number): void {
    if (code !== F.NO_ERROR) this.failureReason = `GOAWAY with code ${code}`;
    this.leave();
    for (const stream of [...this.streams.values()]) {
      if (stream.id > lastStream) this.drop(stream, F.REFUSED_STREAM, 'peer', 'GOAWAY');
    }
    this.endIfDone();
  }

  onPingAnswered(): void {
    this.keepalive.onAnswered();
  }

  isIdle(streamId: number): boolean {
    return streamId >= this.nextStreamId || (streamId & 1) === 0;
  }

  onHeaders(streamId: number, address: number, length: number, endStream: boolean): void {
    const stream = this.streams.get(streamId);
    if (stream !== undefined) stream.onHeaderBlock(address, length, endStream);
    else if (this.isIdle(streamId)) this.fail(F.PROTOCOL_ERROR, 'a head on a stream that was never opened');
    else this.decodeHead(address, length, L.H2_TRAILERS | L.H2_END_STREAM);
  }

  /** Decodes a header block to H2_HEAD_BUFFER: its length, or H2_ERROR_* where only the stream is concerned. */
  decodeHead(address: number, length: number, kind: number): number {
    const { wasm } = this.path.core;
    const decoded = wasm.h2DecodeHead(this.decoder, address, length, kind, L.H2_HEAD_BUFFER, L.MAX_HEAD_BYTES);
    if (decoded === L.H2_ERROR_COMPRESSION) this.fail(F.COMPRESSION_ERROR, 'a header block cannot be decoded');
    else if (decoded === L.H2_ERROR_FLOOD) this.fail(F.ENHANCE_YOUR_CALM, 'a head has too many fields');
    return decoded;
  }

  protected get lastPeerStream(): number {
    return 0;
  }

  protected override onFailed(_code: number, reason: string): void {
    this.reader.stopped = true;
    this.failureReason = reason;
    this.leave();
  }

  protected onSessionTimer(kind: number): void {
    if (kind === TIMER_KEEPALIVE) {
      this.keepalive.onTimer();
      return;
    }
    if (kind === TIMER_AGE) {
      this.retire();
      return;
    }
    const quietMs = this.streams.size > 0 ? 0 : this.path.clock.nowMs - this.quietSinceMs;
    const { idleTimeoutMs } = this.cluster;
    if (quietMs >= idleTimeoutMs) this.retire();
    else this.path.wheel.schedule(this.idleTimer, idleTimeoutMs - quietMs);
  }

  protected onSessionClosed(error: Error | null): void {
    this.path.wheel.cancel(this.idleTimer);
    this.path.wheel.cancel(this.ageTimer);
    this.keepalive.stop();
    this.reader.release();
    this.inbound.release();
    this.owner.onGone(this, null, error === null ? this.failureReason : describeError(error));
  }

  private leave(): void {
    this.leaving = true;
    this.owner.onLeaving(this);
  }

  private endIfDone(): void {
    if (!this.leaving || this.streams.size > 0 || this.ending) return;
    if (!this.goawaySent) this.sendGoaway(F.NO_ERROR, 0);
    this.output.flush();
    this.socket.destroy();
  }
}
