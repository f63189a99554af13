// TCP: one socket of a proxied connection: what it reads goes to the other side, no faster than that side takes it.

import { READ_BUFFER } from '@lateen/filters-wasm';
import type { DrainListener } from '../codec/message-writer.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket, SocketOwner } from '../transport/proxy-socket.js';
import { SocketWriter } from '../transport/socket-writer.js';
import { IntroductionReader } from './peer-exchange.js';

/** What a side tells of itself. */
export interface SideEvents {
  /** Bytes of the connection itself are on their way to the other side. */
  onForwarded(from: TcpSide, length: number): void;
  /** The peer's introduction has been read, or there is none. */
  onIntroduced(side: TcpSide): void;
  /** Nothing more will be read; the other side has been told, if there is one. */
  onSideEnded(side: TcpSide): void;
  /** All that was written has left, with the end after it. */
  onFlushed(side: TcpSide): void;
  onSideClosed(side: TcpSide, error: Error | null): void;
}

export class TcpSide implements SocketOwner, DrainListener {
  readonly writer: SocketWriter;
  /** The peer has ended its sending side. */
  ended = false;
  /** Our sending side has ended and everything has left. */
  flushed = false;
  closed = false;
  private other: TcpSide | null = null;
  private paused = false;
  private ending = false;
  private cutting = false;
  /** Bytes that came before there was another side; bounded, since reading stops with the first of them. */
  private early: Buffer[] = [];
  private readonly introduction: IntroductionReader | null;
  /** The peer may still introduce itself. */
  introducing: boolean;

  /** @param introduces the peer begins by saying who it is */
  constructor(
    private readonly path: DataPath,
    readonly socket: OwnedSocket,
    private readonly secure: boolean,
    private readonly events: SideEvents,
    introduces: boolean,
  ) {
    this.writer = new SocketWriter(path.core, path.slots, socket);
    this.introduction = introduces ? new IntroductionReader() : null;
    this.introducing = introduces;
  }

  /** What the peer said of itself. */
  get peer(): IntroductionReader['peer'] {
    return this.introduction?.peer;
  }

  /** From here on bytes go to `other`; those that came early go first. */
  connect(other: TcpSide): void {
    this.other = other;
    const { early } = this;
    this.early = [];
    for (const bytes of early) this.forwardBuffer(bytes);
    if (this.ended) other.end();
    else if (!other.writer.backedUp) this.resume();
    else {
      this.pause();
      other.writer.notifyDrained(this);
    }
  }

  /** Bytes that were read before the socket was this object's. */
  onBytes(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.path.core.bytes.set(bytes, READ_BUFFER);
    this.onRead(bytes.length);
  }

  onRead(length: number): void {
    this.path.clock.tick();
    if (this.introducing && this.introduction !== null) {
      this.readIntroduction(this.introduction, length);
      return;
    }
    this.onReadAt(READ_BUFFER, length);
  }

  onReadAt(address: number, length: number): void {
    const { other } = this;
    if (other === null) {
      this.early.push(Buffer.from(this.path.core.bytes.subarray(address, address + length)));
      this.pause();
      return;
    }
    // The other side has gone: nobody is left to read it.
    if (other.closed) return;
    this.events.onForwarded(this, length);
    other.writer.writeCopy(address, length);
    this.pauseWhileBackedUp(other);
  }

  onEnd(): void {
    if (this.ended) return;
    this.path.clock.tick();
    this.ended = true;
    if (this.introducing && this.introduction !== null) {
      this.introducing = false;
      this.forwardBuffer(this.introduction.rest());
      this.events.onIntroduced(this);
    }
    this.other?.end();
    this.events.onSideEnded(this);
  }

  onClosed(error: Error | null): void {
    this.path.clock.tick();
    this.closed = true;
    this.early = [];
    this.writer.releaseAll();
    this.events.onSideClosed(this, error);
  }

  /** The other side has taken most of what was written to it. */
  onDrained(): void {
    if (!this.ended && !this.closed && !this.cutting) this.resume();
  }

  /** Ends our sending side after what was written; the peer may go on sending. */
  end(): void {
    if (this.closed) return;
    this.ending = true;
    this.socket.end(() => {
      if (this.closed) return;
      this.flushed = true;
      if (this.cutting) this.socket.destroy();
      else this.events.onFlushed(this);
    });
  }

  /** Closes after what was written. Where that was not ended, the peer sees that it was cut, and not that it is whole. */
  cut(): void {
    if (this.closed || this.cutting) return;
    this.cutting = true;
    this.pause();
    if (this.flushed) this.socket.destroy();
    else if (this.ending)
      return; // destroyed when flushed
    else this.writer.whenSettled(() => this.reset());
  }

  /** Closes at once, without a sign of failure. */
  destroy(): void {
    if (!this.closed) this.socket.destroy();
  }

  /** Closes at once, and so that the peer sees that it was cut. */
  reset(): void {
    if (this.closed) return;
    // TLS shows a cut by the missing alert, TCP only by a reset.
    if (this.secure) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  private readIntroduction(introduction: IntroductionReader, length: number): void {
    let rest: Buffer | undefined;
    try {
      rest = introduction.add(this.path.core.bytes.subarray(READ_BUFFER, READ_BUFFER + length));
    } catch (error) {
      this.socket.destroy(error as Error);
      return;
    }
    if (rest === undefined) return;
    this.introducing = false;
    this.events.onIntroduced(this);
    this.forwardBuffer(rest);
  }

  /** Forwards bytes outside the memory: the rare ones at the beginning of a connection. */
  private forwardBuffer(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const { other } = this;
    if (other === null) {
      this.early.push(bytes);
      this.pause();
      return;
    }
    if (other.closed) return;
    this.events.onForwarded(this, bytes.length);
    other.writer.writeBuffer(bytes);
    this.pauseWhileBackedUp(other);
  }

  private pauseWhileBackedUp(other: TcpSide): void {
    if (this.paused || !other.writer.backedUp) return;
    this.pause();
    other.writer.notifyDrained(this);
  }

  private pause(): void {
    this.paused = true;
    this.socket.pause();
  }

  private resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.socket.resume();
  }
}
