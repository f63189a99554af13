// Upstream: one request to a HTTP/2 server and its response, which the exchange gets in HTTP/1.1's form.

import * as L from '@lateen/filters-wasm';
import { CHUNKS_END, putChunkStart, putChunksEnd } from '../../codec/http2/chunk-framing.js';
import * as F from '../../codec/http2/frames.js';
import { Http2Stream, type StreamEnd } from '../../codec/http2/http2-stream.js';
import type { UpstreamFailure } from '../../exchange/local-reply.js';
import { Timer } from '../../transport/timer-wheel.js';
import type { UpstreamRequest } from '../upstream-request.js';
import { MAX_FLUSH_MS, type UpstreamStream } from '../upstream-stream.js';
import type { Http2UpstreamConnection } from './http2-upstream-connection.js';

/** Used again for later requests of its connection. */
export class ClientStream extends Http2Stream implements UpstreamStream {
  wireBytes = 0;
  private request: UpstreamRequest | null = null;
  /** BODY_* of the response, and what its length says is still to come. */
  private bodyKind = 0;
  private bodyLeft = 0;
  private chunkOpen = false;
  /** 101, which is 200 here: bytes go both ways as they are. */
  private tunnel = false;
  /** For the server's settings, which say whether it takes the request. */
  private waiting = false;
  /** Made for the first tunnel that leaves something to be written. */
  private flushTimer: Timer | null = null;

  constructor(private readonly connection: Http2UpstreamConnection) {
    super(connection);
  }

  get securityId(): number {
    return this.connection.securityId;
  }

  get localAddressText(): string {
    return this.connection.localAddressText;
  }

  start(request: UpstreamRequest): void {
    this.request = request;
    this.wireBytes = 0;
    this.chunkOpen = false;
    this.headKind = request.secure ? L.H2_REQUEST | L.H2_HTTPS : L.H2_REQUEST;
    if (request.upgrade) this.headKind |= L.H2_UPGRADE;
    this.writer.chunked = request.bodyChunked;
    this.tunnel = false;
    this.waiting = request.upgrade && !this.connection.settingsSeen;
    if (this.waiting) this.connection.whenSettled(this);
    else this.proceed();
  }

  /** Whether the server takes extended CONNECT (RFC 8441) is known. */
  proceed(): void {
    const { request, connection } = this;
    this.waiting = false;
    if (request === null) return;
    if (request.upgrade && !connection.peerAllowsConnect) {
      connection.drop(this, F.PROTOCOL_ERROR, 'error', 'the upstream does not take extended CONNECT');
    } else request.onUpstreamReady(this);
  }

  endTunnel(): void {
    this.writer.endMessage();
  }

  leaveTunnel(): void {
    this.request = null;
    this.writer.endMessage();
    if (this.id === 0) return;
    this.flushTimer ??= new Timer({ onTimer: () => this.connection.resetStream(this, F.CANCEL) }, 0);
    this.connection.path.wheel.schedule(this.flushTimer, MAX_FLUSH_MS);
  }

  pause(): void {
    this.pauseReceiving();
  }

  resume(): void {
    this.resumeReceiving();
  }

  close(): void {
    this.request = null;
    // A stream that the server has not seen yet cannot be reset.
    if (this.waiting) this.connection.drop(this, F.CANCEL, 'closed', '');
    else this.connection.resetStream(this, F.CANCEL);
  }

  onHeaderBlock(address: number, length: number, endStream: boolean): void {
    this.wireBytes += length + F.FRAME_HEADER_BYTES;
    if (this.headSeen) this.onTrailers(address, length, endStream);
    else this.onHead(address, length, endStream);
  }

  onData(address: number, length: number, end: boolean): void {
    const { request } = this;
    if (request === null) return;
    this.wireBytes += length + F.FRAME_HEADER_BYTES;
    if (this.tunnel) {
      if (length > 0) request.onResponseBytes(address, length, false);
      if (end && this.request === request) request.onTunnelEnd();
      return;
    }
    if (this.bodyKind !== L.BODY_CHUNKED) {
      this.bodyLeft -= length;
      if (this.bodyLeft < 0 || (end && this.bodyLeft > 0)) {
        this.failProtocol('the body is not as long as content-length says');
        return;
      }
      if (length > 0) request.onResponseBytes(address, length, false);
    } else if (length > 0) {
      let added = 0;
      if (request.responseChunkMode === L.CHUNK_MODE_FRAMED) {
        added = putChunkStart(this.connection.path.core.bytes, address, length, this.chunkOpen);
      }
      this.chunkOpen = true;
      request.onResponseBytes(address - added, length + added, false);
    }
    if (end && this.request === request) this.finish(request);
  }

  onReset(code: number, end: StreamEnd, reason: string): void {
    const { request, connection } = this;
    this.request = null;
    if (request === null) return;
    if (this.tunnel && this.remoteEnded && code === F.NO_ERROR && end === 'peer') {
      // It has said everything, and wants to hear no more (RFC 9113, 8.1).
      request.onResponseEnd(this.wireBytes);
      return;
    }
    // In TLS 1.3 a client sees success before the server's refusal: a server that took it would have sent its settings.
    const refusedByTls = end === 'closed' && connection.transport.tls && !connection.heard;
    const failure = refusedByTls ? 'tls' : failureOf(code, end);
    const words = end === 'closed' && connection.failureReason !== '' ? connection.failureReason : reason;
    request.onUpstreamFailed(failure, words, connection.served === 0);
  }

  onLocalEnd(): void {}

  onClosed(): void {
    if (this.flushTimer !== null) this.connection.path.wheel.cancel(this.flushTimer);
    this.connection.onStreamDone(this);
  }

  private onHead(address: number, length: number, endStream: boolean): void {
    const { connection, request } = this;
    const { core } = connection.path;
    let kind = endStream ? L.H2_RESPONSE | L.H2_END_STREAM : L.H2_RESPONSE;
    if (request?.upgrade) kind |= L.H2_UPGRADE;
    const decoded = connection.decodeHead(address, length, kind);
    if (this.id === 0 || request === null) return;
    const context = (request.upgrade ? L.RESPONSE_TO_UPGRADE : 0) | (endStream ? L.RESPONSE_TO_ENDED : 0);
    const parsed =
      decoded <= 0
        ? -502
        : core.wasm.parseResponse(L.H2_HEAD_BUFFER, decoded, 0, request.method, context, request.listenerRecord);
    const informational = (core.i32[L.RESP_FLAGS >> 2]! & L.RESPONSE_INFORMATIONAL) !== 0;
    if (parsed <= 0 || (informational && endStream)) {
      this.failProtocol('a malformed response head');
      return;
    }
    if (informational) {
      request.onInterimHead();
      return;
    }
    this.headSeen = true;
    this.remoteEnded = endStream;
    this.bodyKind = core.i32[L.RESP_BODY >> 2]!;
    this.bodyLeft = this.bodyKind === L.BODY_LENGTH ? core.f64[L.RESP_CONTENT_LENGTH >> 3]! : 0;
    if (request.onResponseHead(core.i32[L.RESP_STATUS >> 2]!)) {
      // The request is tried again elsewhere.
      this.request = null;
      if (this.remoteEnded && this.localEnded) connection.settle(this);
      else connection.resetStream(this, F.CANCEL);
      return;
    }
    this.tunnel = (core.i32[L.RESP_FLAGS >> 2]! & L.RESPONSE_UPGRADE) !== 0;
    request.onResponseBytes(L.H2_HEAD_BUFFER, 0, true);
    if (this.tunnel) {
      if (this.request === request) request.onTunnel();
      if (endStream && this.request === request) request.onTunnelEnd();
      return;
    }
    if (endStream && this.request === request) this.finish(request);
  }

  private onTrailers(address: number, length: number, endStream: boolean): void {
    const { connection, request } = this;
    const decoded = connection.decodeHead(address, length, L.H2_TRAILERS | L.H2_END_STREAM);
    if (this.id === 0 || request === null) return;
    if (decoded < 0 || !endStream || this.remoteEnded || this.bodyLeft > 0) {
      this.failProtocol('malformed trailers');
      return;
    }
    this.remoteEnded = true;
    if (this.tunnel) {
      request.onTunnelEnd();
      connection.settle(this);
      return;
    }
    if (decoded > 0) request.onResponseTrailers(L.H2_HEAD_BUFFER, decoded);
    if (this.request === request) this.finish(request);
  }

  /** The response is complete: the stream is free before the exchange is told, which may bring the next request. */
  private finish(request: UpstreamRequest): void {
    const { connection, wireBytes, chunkOpen } = this;
    if (this.bodyKind === L.BODY_CHUNKED && request.responseChunkMode === L.CHUNK_MODE_FRAMED) {
      const { bytes } = connection.path.core;
      request.onResponseBytes(CHUNKS_END, putChunksEnd(bytes, CHUNKS_END, chunkOpen), false);
      if (this.request !== request) return;
    }
    this.request = null;
    connection.served++;
    if (this.localEnded) connection.settle(this);
    else connection.resetStream(this, F.CANCEL);
    request.onResponseEnd(wireBytes);
  }

  private failProtocol(reason: string): void {
    this.connection.failStream(this, reason, F.PROTOCOL_ERROR);
  }
}

function failureOf(code: number, end: StreamEnd): UpstreamFailure {
  if (end === 'closed') return 'closed';
  if (end === 'error') return 'protocol';
  return code === F.REFUSED_STREAM ? 'refused' : 'reset';
}
