// HTTP/2 codec: one stream of a session, as far as client and server have it in common: its windows and its two ends.

import type { Http2Session } from './http2-session.js';
import { StreamWriter } from './stream-writer.js';

/** Who has ended a stream: its peer, the connection's end, or an error that we found. */
export type StreamEnd = 'peer' | 'closed' | 'error';

/** Used again for later streams of the same connection; 0 as `id` means that it is in no use. */
export abstract class Http2Stream {
  id = 0;
  /** What the peer takes, and what it may send. */
  sendWindow = 0;
  receiveWindow = 0;
  remoteEnded = false;
  localEnded = false;
  /** The peer's head has been seen; a further header block is trailers. */
  headSeen = false;
  /** Where the last frame of it was put, and in which epoch of the output; -1: it can no longer be changed. */
  lastFrameAt = 0;
  lastFrameEpoch = -1;
  /** When data of it was sent last. */
  lastSentMs = 0;
  /** Kind of the head that is written: H2_REQUEST or H2_RESPONSE, with what else the encoder must know. */
  headKind = 0;
  readonly writer: StreamWriter;
  /** Taken by whom it was for, and not told to the peer yet: small updates are saved up. */
  pendingCredit = 0;
  private paused = false;
  /** Received, and not taken by whom it is for. */
  private untaken = 0;

  constructor(protected readonly session: Http2Session) {
    this.writer = new StreamWriter(session, this);
  }

  /** A header block, complete. It must be decoded in every case, since later ones of the connection build on it. */
  abstract onHeaderBlock(address: number, length: number, endStream: boolean): void;
  /** Data, or only its end. The FRAME_HEADER_BYTES before it may be overwritten. */
  abstract onData(address: number, length: number, end: boolean): void;
  /** The peer, an error, or the end of the connection has ended the stream; it is in the session no more. */
  abstract onReset(code: number, end: StreamEnd, reason: string): void;
  /** Our side has ended: END_STREAM is on its way. */
  abstract onLocalEnd(): void;
  /** It is in the session no more, and `id` is 0. */
  abstract onClosed(): void;

  begin(id: number, sendWindow: number, receiveWindow: number): void {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.remoteEnded = false;
    this.localEnded = false;
    this.headSeen = false;
    this.paused = false;
    this.lastFrameEpoch = -1;
    this.untaken = 0;
    this.pendingCredit = 0;
  }

  /** Data has come; it counts against the windows until somebody has taken it. */
  receive(address: number, length: number, end: boolean): void {
    this.untaken += length;
    if (length > 0 || end) this.onData(address, length, end);
    if (!this.paused) this.credit();
  }

  /** Padding counts as well, and nobody has to take it. */
  receivePadding(length: number): void {
    this.untaken += length;
  }

  pauseReceiving(): void {
    this.paused = true;
  }

  resumeReceiving(): void {
    if (!this.paused) return;
    this.paused = false;
    if (this.id !== 0) this.credit();
  }

  /** The session has forgotten the stream: the connection's window gets back what the stream still held. */
  end(): void {
    if (this.untaken > 0) this.session.creditTaken(this.untaken);
    this.untaken = 0;
    this.writer.reset();
    this.id = 0;
    this.onClosed();
  }

  private credit(): void {
    const { untaken } = this;
    if (untaken === 0) return;
    this.untaken = 0;
    this.session.creditTaken(untaken);
    if (this.id !== 0 && !this.remoteEnded) this.session.creditStream(this, untaken);
  }
}
