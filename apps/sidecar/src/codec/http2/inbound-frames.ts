// HTTP/2 codec: what a peer's frames mean to the session, and which of them end the stream or the connection.

import type { FrameHandler } from './frame-reader.js';
import * as F from './frames.js';
import { HeaderBlock } from './header-block.js';
import type { Http2Session } from './http2-session.js';
import type { Http2Stream } from './http2-stream.js';

export class InboundFrames implements FrameHandler {
  private readonly block: HeaderBlock;
  private settingsSeen = false;
  /** The stream of the present DATA frame; null where its data is dropped. */
  private dataStream: Http2Stream | null = null;
  private dataStreamId = 0;
  private dataEnds = false;

  constructor(private readonly session: Http2Session) {
    this.block = new HeaderBlock(session.path);
  }

  /** A header block has begun and not ended. */
  get inHeaders(): boolean {
    return this.block.streamId !== 0;
  }

  release(): void {
    this.block.release();
    this.dataStream = null;
  }

  onConnectionError(code: number, reason: string): void {
    this.session.fail(code, reason);
  }

  onFrame(type: number, flags: number, streamId: number, address: number, length: number): void {
    if (!this.settingsSeen && !(type === F.FRAME_SETTINGS && (flags & F.FLAG_ACK) === 0)) {
      this.fail(F.PROTOCOL_ERROR, 'the first frame is not SETTINGS');
      return;
    }
    if (this.block.streamId !== 0 && (type !== F.FRAME_CONTINUATION || streamId !== this.block.streamId)) {
      this.fail(F.PROTOCOL_ERROR, 'a header block is interrupted by another frame');
      return;
    }
    switch (type) {
      case F.FRAME_HEADERS:
        this.onHeaders(flags, streamId, address, length);
        return;
      case F.FRAME_CONTINUATION:
        this.onContinuation(flags, streamId, address, length);
        return;
      case F.FRAME_PRIORITY:
        this.onPriority(streamId, address, length);
        return;
      case F.FRAME_RST_STREAM:
        this.onReset(streamId, address, length);
        return;
      case F.FRAME_SETTINGS:
        this.onSettings(flags, streamId, address, length);
        return;
      case F.FRAME_PUSH_PROMISE:
        this.fail(F.PROTOCOL_ERROR, 'PUSH_PROMISE is not allowed');
        return;
      case F.FRAME_PING:
        this.onPing(flags, streamId, address, length);
        return;
      case F.FRAME_GOAWAY:
        if (streamId !== 0) this.fail(F.PROTOCOL_ERROR, 'GOAWAY on a stream');
        else if (length < 8) this.fail(F.FRAME_SIZE_ERROR, 'GOAWAY of a wrong size');
        else this.session.onGoaway(F.read31(this.bytes, address), F.read32(this.bytes, address + 4));
        return;
      case F.FRAME_WINDOW_UPDATE:
        this.onWindowUpdate(streamId, address, length);
    }
    // Unknown types are ignored (RFC 9113, 4.1).
  }

  onDataFrame(streamId: number, flags: number, payloadLength: number, dataLength: number): void {
    const { session } = this;
    this.dataStream = null;
    this.dataEnds = (flags & F.FLAG_END_STREAM) !== 0;
    if (!this.settingsSeen || this.block.streamId !== 0 || streamId === 0) {
      this.fail(F.PROTOCOL_ERROR, 'DATA where it is not allowed');
      return;
    }
    if (session.check(session.floods.payload(payloadLength, this.dataEnds))) return;
    session.receiveWindow -= payloadLength;
    if (session.receiveWindow < 0) {
      this.fail(F.FLOW_CONTROL_ERROR, 'more data than the window of the connection allows');
      return;
    }
    session.creditReceived(payloadLength);
    const stream = session.streams.get(streamId);
    if (stream === undefined || stream.remoteEnded || !stream.headSeen) {
      this.onStrayData(streamId, stream, payloadLength);
      return;
    }
    stream.receiveWindow -= payloadLength;
    if (stream.receiveWindow < 0) {
      session.creditTaken(payloadLength);
      session.failStream(stream, 'more data than the window of the stream allows', F.FLOW_CONTROL_ERROR);
      return;
    }
    this.dataStream = stream;
    this.dataStreamId = streamId;
    stream.receivePadding(payloadLength - dataLength);
  }

  onData(address: number, length: number, last: boolean): void {
    const stream = this.dataStream;
    if (stream === null) return;
    if (stream.id !== this.dataStreamId) {
      // It has ended in the middle of the frame; the rest of it was counted with the connection.
      this.session.creditTaken(length);
      return;
    }
    const end = last && this.dataEnds;
    if (end) stream.remoteEnded = true;
    stream.receive(address, length, end);
    if (end) this.session.settle(stream);
  }

  private get bytes(): Buffer {
    return this.session.path.core.bytes;
  }

  private fail(code: number, reason: string): void {
    this.session.fail(code, reason);
  }

  private onStrayData(streamId: number, stream: Http2Stream | undefined, payloadLength: number): void {
    const { session } = this;
    session.creditTaken(payloadLength);
    if (stream?.remoteEnded) {
      session.failStream(stream, 'DATA after the end of the stream', F.STREAM_CLOSED);
    } else if (stream !== undefined || session.isIdle(streamId)) this.fail(F.PROTOCOL_ERROR, 'DATA before HEADERS');
    else if (!session.wasReset(streamId)) this.fail(F.STREAM_CLOSED, 'DATA on a closed stream');
  }

  private onHeaders(flags: number, streamId: number, address: number, length: number): void {
    const { session, bytes } = this;
    let at = address;
    let end = address + length;
    if (streamId === 0) {
      this.fail(F.PROTOCOL_ERROR, 'HEADERS without a stream');
      return;
    }
    if ((flags & F.FLAG_PADDED) !== 0) {
      const padding = length === 0 ? 0 : bytes[at]!;
      at++;
      end -= padding;
    }
    if ((flags & F.FLAG_PRIORITY) !== 0) {
      if (at + 5 <= end && F.read31(bytes, at) === streamId) {
        this.fail(F.PROTOCOL_ERROR, 'a stream depends on itself');
        return;
      }
      at += 5;
    }
    if (at > end) {
      this.fail(F.PROTOCOL_ERROR, 'HEADERS with more padding than bytes');
      return;
    }
    const last = (flags & F.FLAG_END_HEADERS) !== 0;
    const endStream = (flags & F.FLAG_END_STREAM) !== 0;
    if (session.check(session.floods.payload(end - at, endStream))) return;
    session.floods.headersBegan();
    this.block.begin(streamId, endStream);
    this.addFragment(streamId, at, end - at, last);
  }

  private onContinuation(flags: number, streamId: number, address: number, length: number): void {
    const { session } = this;
    if (this.block.streamId === 0) {
      this.fail(F.PROTOCOL_ERROR, 'CONTINUATION without HEADERS');
      return;
    }
    if (session.check(session.floods.continuation() ?? session.floods.payload(length, false))) return;
    this.addFragment(streamId, address, length, (flags & F.FLAG_END_HEADERS) !== 0);
  }

  private addFragment(streamId: number, address: number, length: number, last: boolean): void {
    const { block, session } = this;
    if (!block.add(address, length, last)) {
      this.fail(F.ENHANCE_YOUR_CALM, 'a header block is larger than allowed');
      return;
    }
    if (last) session.onHeaders(streamId, block.address, block.length, block.endStream);
  }

  private onPriority(streamId: number, address: number, length: number): void {
    const { session } = this;
    if (streamId === 0) this.fail(F.PROTOCOL_ERROR, 'PRIORITY without a stream');
    else if (session.check(session.floods.priority())) return;
    else if (length !== 5) this.streamError(streamId, F.FRAME_SIZE_ERROR, 'PRIORITY of a wrong size');
    else if (F.read31(this.bytes, address) === streamId) {
      this.streamError(streamId, F.PROTOCOL_ERROR, 'a stream depends on itself');
    }
    // What it says is deprecated (RFC 9113, 5.3.2), and changes nothing here.
  }

  private streamError(streamId: number, code: number, reason: string): void {
    const stream = this.session.streams.get(streamId);
    if (stream === undefined) this.session.sendReset(streamId, code);
    else this.session.failStream(stream, reason, code);
  }

  private onReset(streamId: number, address: number, length: number): void {
    const { session } = this;
    if (streamId === 0 || session.isIdle(streamId)) {
      this.fail(F.PROTOCOL_ERROR, 'RST_STREAM on a stream that was never opened');
      return;
    }
    if (length !== 4) {
      this.fail(F.FRAME_SIZE_ERROR, 'RST_STREAM of a wrong size');
      return;
    }
    session.path.stats.http2ResetsReceived++;
    const stream = session.streams.get(streamId);
    if (stream !== undefined) session.drop(stream, F.read32(this.bytes, address), 'peer', '');
  }

  private onPing(flags: number, streamId: number, address: number, length: number): void {
    if (streamId !== 0) this.fail(F.PROTOCOL_ERROR, 'PING on a stream');
    else if (length !== 8) this.fail(F.FRAME_SIZE_ERROR, 'PING of a wrong size');
    else if ((flags & F.FLAG_ACK) !== 0) this.session.onPingAnswered();
    else this.session.sendControl(F.FRAME_PING, F.FLAG_ACK, 0, this.bytes.subarray(address, address + 8));
  }

  private onWindowUpdate(streamId: number, address: number, length: number): void {
    const { session } = this;
    if (length !== 4) {
      this.fail(F.FRAME_SIZE_ERROR, 'WINDOW_UPDATE of a wrong size');
      return;
    }
    if (session.check(session.floods.windowUpdate())) return;
    const increment = F.read31(this.bytes, address);
    if (streamId === 0) {
      session.sendWindow += increment;
      if (increment === 0) this.fail(F.PROTOCOL_ERROR, 'WINDOW_UPDATE of nothing');
      else if (session.sendWindow > F.MAX_WINDOW_BYTES) this.fail(F.FLOW_CONTROL_ERROR, 'a window is too large');
      else session.pumpBlocked();
      return;
    }
    const stream = session.streams.get(streamId);
    if (stream === undefined) {
      if (session.isIdle(streamId)) this.fail(F.PROTOCOL_ERROR, 'WINDOW_UPDATE on a stream that was never opened');
      return;
    }
    stream.sendWindow += increment;
    if (increment === 0) session.failStream(stream, 'WINDOW_UPDATE of nothing', F.PROTOCOL_ERROR);
    else if (stream.sendWindow > F.MAX_WINDOW_BYTES) {
      session.failStream(stream, 'a window is too large', F.FLOW_CONTROL_ERROR);
    } else session.pump(stream);
  }

  private onSettings(flags: number, streamId: number, address: number, length: number): void {
    if (streamId !== 0) {
      this.fail(F.PROTOCOL_ERROR, 'SETTINGS on a stream');
      return;
    }
    if ((flags & F.FLAG_ACK) !== 0) {
      if (length !== 0) this.fail(F.FRAME_SIZE_ERROR, 'SETTINGS of a wrong size');
      return;
    }
    if (length % F.SETTING_BYTES !== 0) {
      this.fail(F.FRAME_SIZE_ERROR, 'SETTINGS of a wrong size');
      return;
    }
    this.settingsSeen = true;
    const { bytes, session } = this;
    for (let at = address; at < address + length; at += F.SETTING_BYTES) {
      this.applySetting((bytes[at]! << 8) | bytes[at + 1]!, F.read32(bytes, at + 2));
      if (session.ending) return;
    }
    session.sendControl(F.FRAME_SETTINGS, F.FLAG_ACK, 0, null);
    if (session.ending) return;
    session.onSettings();
    session.pumpBlocked();
  }

  private applySetting(id: number, value: number): void {
    const { session } = this;
    switch (id) {
      case F.SETTINGS_HEADER_TABLE_SIZE:
        // We use no table; a peer that wants a smaller one than the default waits to be told of it (RFC 7541, 4.2).
        if (value < DEFAULT_TABLE_BYTES) session.heads.tableUpdateDue = true;
        return;
      case F.SETTINGS_ENABLE_PUSH:
        if (value > 1 || (session.isClient && value === 1)) this.fail(F.PROTOCOL_ERROR, 'a setting has a wrong value');
        return;
      case F.SETTINGS_MAX_CONCURRENT_STREAMS:
        session.peerMaxStreams = value;
        return;
      case F.SETTINGS_INITIAL_WINDOW_SIZE:
        this.changeWindows(value);
        return;
      case F.SETTINGS_MAX_FRAME_SIZE:
        if (value < F.MAX_FRAME_BYTES || value > 16_777_215) this.fail(F.PROTOCOL_ERROR, 'a setting has a wrong value');
        return;
      case F.SETTINGS_ENABLE_CONNECT_PROTOCOL:
        if (value > 1) this.fail(F.PROTOCOL_ERROR, 'a setting has a wrong value');
        session.peerAllowsConnect = value === 1;
    }
  }

  /** Applies to streams that are open as well (RFC 9113, 6.9.2). */
  private changeWindows(value: number): void {
    const { session } = this;
    if (value > F.MAX_WINDOW_BYTES) {
      this.fail(F.FLOW_CONTROL_ERROR, 'a window is too large');
      return;
    }
    const change = value - session.peerStreamWindow;
    session.peerStreamWindow = value;
    for (const stream of session.streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > F.MAX_WINDOW_BYTES) {
        this.fail(F.FLOW_CONTROL_ERROR, 'a window is too large');
        return;
      }
    }
  }
}

const DEFAULT_TABLE_BYTES = 4096;
