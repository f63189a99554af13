// HTTP/2 codec: one connection: its frames, settings and windows, and the rules that both sides keep (RFC 9113).

import type { DataPath } from '../../transport/data-path.js';
import type { OwnedSocket, SocketOwner } from '../../transport/proxy-socket.js';
import { SocketWriter } from '../../transport/socket-writer.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { DrainListener } from '../message-writer.js';
import { type Flood, FloodGuard } from './flood-guard.js';
import { FrameOutput } from './frame-output.js';
import * as F from './frames.js';
import { HeadSender } from './head-sender.js';
import type { Http2Settings } from './http2-settings.js';
import type { Http2Stream, StreamEnd } from './http2-stream.js';
import type { StreamWriter } from './stream-writer.js';

/** How long a peer has to take the reason why its connection ends. */
const LINGER_MS = 1000;
/** For the last answers to be taken. */
const MAX_FLUSH_MS = 300_000;
/** Streams of which frames may still come after we have reset them. */
const MAX_REMEMBERED_RESETS = 1000;
/** In turns of so many bytes streams share what the connection's window allows. */
const TURN_BYTES = F.MAX_FRAME_BYTES;
const TIMER_LINGER = -1;

/** What is gathered, sent and counted; what a peer's frames mean is in inbound-frames.ts. */
export abstract class Http2Session implements SocketOwner, DrainListener, TimerOwner {
  readonly streams = new Map<number, Http2Stream>();
  readonly writer: SocketWriter;
  readonly output: FrameOutput;
  readonly floods: FloodGuard;
  readonly heads: HeadSender;
  /** Windows of the connection. */
  sendWindow = F.DEFAULT_WINDOW_BYTES;
  receiveWindow = F.DEFAULT_WINDOW_BYTES;
  /** Of the peer's settings. */
  peerStreamWindow = F.DEFAULT_WINDOW_BYTES;
  peerMaxStreams = Number.POSITIVE_INFINITY;
  peerAllowsConnect = false;
  /** GOAWAY with an error was sent, or the socket is gone: nothing counts any more. */
  ending = false;
  /** Slot of the header decoder. */
  readonly decoder: number;
  protected closed = false;
  protected goawaySent = false;
  private pendingCredit = 0;
  private readonly blocked = new Set<Http2Stream>();
  private readonly undrained = new Set<StreamWriter>();
  private drainAsked = false;
  private readonly resets = new Set<number>();
  private readonly lingerTimer = new Timer(this, TIMER_LINGER);

  constructor(
    readonly path: DataPath,
    readonly socket: OwnedSocket,
    readonly settings: Http2Settings,
    /** The connection's window is given back as soon as bytes are here, not when they have been taken. */
    private readonly creditsAtOnce: boolean,
  ) {
    this.writer = new SocketWriter(path.core, path.slots, socket);
    this.floods = new FloodGuard(settings);
    this.output = new FrameOutput(path, this.writer, this.floods);
    this.heads = new HeadSender(this);
    this.decoder = path.core.h2Decoders.take();
    if (this.decoder !== 0) path.core.wasm.h2ResetDecoder(this.decoder);
  }

  abstract onRead(length: number): void;
  abstract onEnd(): void;
  /** A header block of a stream, complete; it must be decoded in every case. */
  abstract onHeaders(streamId: number, address: number, length: number, endStream: boolean): void;
  /** No side has used the stream yet. */
  abstract isIdle(streamId: number): boolean;
  /** The peer's settings have changed. */
  abstract onSettings(): void;
  abstract onGoaway(lastStream: number, code: number): void;
  abstract onPingAnswered(): void;
  /** Everything that the owner of the session has to let go. */
  protected abstract onSessionClosed(error: Error | null): void;
  protected abstract onSessionTimer(kind: number): void;
  /** GOAWAY's last stream: the highest of the peer's that we may have acted on. */
  protected abstract readonly lastPeerStream: number;
  /** We have opened the connection. */
  abstract readonly isClient: boolean;

  // ---- Socket ----------------------------------------------------------------------------------------------------------

  onClosed(error: Error | null): void {
    this.path.clock.tick();
    this.ending = true;
    this.closed = true;
    this.path.wheel.cancel(this.lingerTimer);
    this.endStreams(F.NO_ERROR, 'closed', '');
    this.output.release();
    this.writer.releaseAll();
    if (this.decoder !== 0) this.path.core.h2Decoders.release(this.decoder);
    this.onSessionClosed(error);
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_LINGER) this.socket.destroy();
    else this.onSessionTimer(kind);
  }

  /** The socket has taken most of what was written. */
  onDrained(): void {
    this.drainAsked = false;
    const writers = [...this.undrained];
    this.undrained.clear();
    for (const writer of writers) writer.tellDrained();
  }

  get backedUp(): boolean {
    return this.writer.backedUp;
  }

  /** The writer is told when the socket has taken most of what was written. */
  awaitDrain(writer: StreamWriter): void {
    this.undrained.add(writer);
    if (this.drainAsked) return;
    this.drainAsked = true;
    this.writer.notifyDrained(this);
  }

  /** What both sides begin with, a client after its preface: the settings and the connection's window. */
  protected sendSettings(pairs: readonly (readonly [id: number, value: number])[]): void {
    const payload = Buffer.allocUnsafe(pairs.length * F.SETTING_BYTES);
    pairs.forEach(([id, value], index) => {
      payload.writeUInt16BE(id, index * F.SETTING_BYTES);
      F.put32(payload, index * F.SETTING_BYTES + 2, value);
    });
    this.output.frame(F.FRAME_SETTINGS, 0, 0, payload);
    const more = this.settings.connectionWindowBytes - F.DEFAULT_WINDOW_BYTES;
    if (more <= 0) return;
    this.receiveWindow += more;
    this.sendWindowUpdate(0, more);
  }

  // ---- Streams ---------------------------------------------------------------------------------------------------------

  protected addStream(stream: Http2Stream, id: number): void {
    stream.begin(id, this.peerStreamWindow, this.settings.streamWindowBytes);
    this.streams.set(id, stream);
    this.floods.onStreamOpened();
  }

  /** Ends a stream at once, telling the peer; whom the stream belongs to knows already. */
  resetStream(stream: Http2Stream, code: number): void {
    if (stream.id === 0) return;
    this.sendReset(stream.id, code);
    this.forget(stream);
  }

  /** Ends a stream at once, telling both. */
  failStream(stream: Http2Stream, reason: string, code = F.INTERNAL_ERROR): void {
    const { id } = stream;
    if (id === 0) return;
    this.sendReset(id, code);
    this.drop(stream, code, 'error', reason);
  }

  /** A stream has ended, and the peer knows. */
  drop(stream: Http2Stream, code: number, end: StreamEnd, reason: string): void {
    this.detach(stream);
    stream.onReset(code, end, reason);
    stream.end();
  }

  /** Both sides have ended: the stream is over. */
  settle(stream: Http2Stream): void {
    if (stream.id !== 0 && stream.localEnded && stream.remoteEnded) this.forget(stream);
  }

  sendReset(streamId: number, code: number): void {
    const payload = Buffer.allocUnsafe(4);
    F.put32(payload, 0, code);
    if (this.resets.size >= MAX_REMEMBERED_RESETS) this.resets.delete(this.resets.values().next().value as number);
    this.resets.add(streamId);
    this.path.stats.http2ResetsSent++;
    this.sendControl(F.FRAME_RST_STREAM, 0, streamId, payload);
  }

  /** We have reset it: what still comes for it was sent before the peer knew. */
  wasReset(streamId: number): boolean {
    return this.resets.has(streamId);
  }

  private endStreams(code: number, end: StreamEnd, reason: string): void {
    for (const stream of [...this.streams.values()]) this.drop(stream, code, end, reason);
  }

  private forget(stream: Http2Stream): void {
    this.detach(stream);
    stream.end();
  }

  private detach(stream: Http2Stream): void {
    this.streams.delete(stream.id);
    this.blocked.delete(stream);
    this.undrained.delete(stream.writer);
  }

  // ---- Out -------------------------------------------------------------------------------------------------------------

  sendData(stream: Http2Stream, address: number, length: number): void {
    const at = this.output.reserve(F.FRAME_HEADER_BYTES + length);
    this.path.core.wasm.copy(at + F.FRAME_HEADER_BYTES, address, length);
    this.commitData(stream, at, length);
  }

  sendDataFrom(stream: Http2Stream, source: Buffer, offset: number, length: number): void {
    const at = this.output.reserve(F.FRAME_HEADER_BYTES + length);
    this.path.core.bytes.set(source.subarray(offset, offset + length), at + F.FRAME_HEADER_BYTES);
    this.commitData(stream, at, length);
  }

  /** Ends our side of a stream, with trailers where there are any. */
  sendEnd(stream: Http2Stream, trailers: Buffer | null): void {
    if (stream.localEnded || stream.id === 0) return;
    if (trailers !== null) this.heads.sendTrailers(stream, trailers);
    else if (stream.lastFrameEpoch === this.output.epoch) this.output.markEnd(stream.lastFrameAt);
    else this.output.frame(F.FRAME_DATA, F.FLAG_END_STREAM, stream.id, null);
    if (stream.id === 0) return;
    stream.localEnded = true;
    stream.onLocalEnd();
    this.settle(stream);
  }

  /** A control frame that the peer makes us send; too many that it does not take end the connection. */
  sendControl(type: number, flags: number, streamId: number, payload: Uint8Array | null): void {
    this.output.frame(type, flags, streamId, payload);
    this.check(this.floods.controlSent());
  }

  /** Where a limit was passed the connection ends. */
  check(flood: Flood | null): boolean {
    if (flood === null) return false;
    if (flood.startsWith('outbound')) {
      // What has been gathered may only be waiting for this turn of the event loop to end.
      this.output.flush();
      if (this.writer.settled) {
        this.floods.onSettled();
        return false;
      }
    }
    this.path.stats.http2Floods[flood] = (this.path.stats.http2Floods[flood] ?? 0) + 1;
    this.fail(F.ENHANCE_YOUR_CALM, flood);
    return true;
  }

  /** Tells the peer to leave; `lastStream` is the highest of its streams that is served to its end. */
  sendGoaway(code: number, lastStream: number): void {
    const payload = Buffer.alloc(8);
    F.put32(payload, 0, lastStream);
    F.put32(payload, 4, code);
    this.goawaySent = true;
    this.output.frame(F.FRAME_GOAWAY, 0, 0, payload);
  }

  /** The connection cannot go on: the peer is told why, and all streams end. */
  fail(code: number, reason: string): void {
    if (this.ending) return;
    this.ending = true;
    this.path.log('debug', 'HTTP/2 connection ended by an error of the peer', { code, reason });
    this.path.stats.http2ConnectionErrors++;
    this.sendGoaway(code, this.lastPeerStream);
    this.onFailed(code, reason);
    this.endStreams(code, 'error', reason);
    this.finish(LINGER_MS);
  }

  /** After the last frame: our side ends, and the peer has a moment to read it once the kernel has all of it. */
  finish(flushMs = MAX_FLUSH_MS): void {
    this.ending = true;
    if (this.closed) return;
    this.output.flush();
    this.path.wheel.schedule(this.lingerTimer, flushMs);
    this.socket.end(() => this.path.wheel.schedule(this.lingerTimer, LINGER_MS));
    if (!this.closed) this.socket.resume();
  }

  protected onFailed(_code: number, _reason: string): void {}

  private commitData(stream: Http2Stream, at: number, length: number): void {
    F.putFrameHeader(this.path.core.bytes, at, length, F.FRAME_DATA, 0, stream.id);
    stream.lastFrameAt = at;
    stream.lastFrameEpoch = this.output.commit(F.FRAME_HEADER_BYTES + length);
    stream.lastSentMs = this.path.clock.nowMs;
    stream.sendWindow -= length;
    this.sendWindow -= length;
    this.floods.onDataSent();
  }

  // ---- Windows ---------------------------------------------------------------------------------------------------------

  /** Data waits for a window. */
  block(stream: Http2Stream): void {
    this.blocked.add(stream);
  }

  unblock(stream: Http2Stream): void {
    this.blocked.delete(stream);
  }

  /** A stream's window has opened. */
  pump(stream: Http2Stream): void {
    if (!this.blocked.has(stream)) return;
    while (stream.writer.pump(TURN_BYTES) && this.sendWindow > 0) if (this.ending) return;
  }

  /** The connection's window has opened: sends what waits, a frame of each stream in turn. */
  pumpBlocked(): void {
    for (let more = true; more && this.sendWindow > 0 && !this.ending; ) {
      more = false;
      for (const stream of [...this.blocked]) {
        if (this.sendWindow <= 0) break;
        if (stream.id === 0) continue;
        // Whoever had a turn comes last in the next round.
        this.blocked.delete(stream);
        this.blocked.add(stream);
        if (stream.writer.pump(TURN_BYTES)) more = true;
      }
    }
  }

  /** Bytes of DATA frames are here. */
  creditReceived(bytes: number): void {
    if (this.creditsAtOnce) this.giveCredit(bytes);
  }

  /** Bytes of DATA frames were taken by whom they are for. */
  creditTaken(bytes: number): void {
    if (!this.creditsAtOnce) this.giveCredit(bytes);
  }

  creditStream(stream: Http2Stream, bytes: number): void {
    stream.pendingCredit += bytes;
    if (stream.pendingCredit * 2 < this.settings.streamWindowBytes) return;
    stream.receiveWindow += stream.pendingCredit;
    this.sendWindowUpdate(stream.id, stream.pendingCredit);
    stream.pendingCredit = 0;
  }

  protected sendWindowUpdate(streamId: number, increment: number): void {
    if (this.ending) return;
    const payload = Buffer.allocUnsafe(4);
    F.put32(payload, 0, increment);
    this.output.frame(F.FRAME_WINDOW_UPDATE, 0, streamId, payload);
    this.check(this.floods.frameSent());
  }

  private giveCredit(bytes: number): void {
    this.pendingCredit += bytes;
    if (this.pendingCredit * 2 < this.settings.connectionWindowBytes) return;
    this.receiveWindow += this.pendingCredit;
    this.sendWindowUpdate(0, this.pendingCredit);
    this.pendingCredit = 0;
  }
}
