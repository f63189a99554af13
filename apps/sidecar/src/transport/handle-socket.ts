// Transport: a socket driven through Node's native handle: no stream, no event and no allocation for each read or write.

import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import {
  applicationProtocolOf,
  ignoreError,
  type ProxySocket,
  resetKeeper,
  type SharedRead,
  type SocketOwner,
  type WriteWatcher,
} from './proxy-socket.js';
import {
  type AddressParts,
  END_OF_FILE,
  type StreamHandle,
  type StreamInternals,
  streamInternals,
  systemError,
  type WriteRequest,
} from './stream-handles.js';
import type { Destination } from './system/original-destination.js';

// Only used where the internals were found.
const internals = streamInternals as StreamInternals;

const CONNECTION_RESET = -constants.errno.ECONNRESET;

/** A request that was not needed, because its write was complete at once. */
let spare: WriteRequest | null = null;

function onHandleRead(this: StreamHandle): void {
  const length = internals.results[internals.readResult]!;
  const socket = this.driver as HandleSocket;
  // Node takes what this returns for the next buffer.
  if (length > 0) socket.owner?.onRead(length);
  else if (length !== 0) socket.onReadEnded(length);
}

function onHandleWritten(this: WriteRequest, status: number, handle: StreamHandle): void {
  (handle.driver as HandleSocket).onRequestWritten(status);
}

function closeHandle(handle: StreamHandle): void {
  if (handle.destroySSL === undefined) handle.close();
  else handle.close(() => handle.destroySSL?.());
}

/**
 * Drives an accepted handle alone, or the one that a Node socket (`keeper`) has made, from its connect or its TLS
 * handshake on. The keeper then only closes it. There is one write request under way at a time, as TLS demands;
 * what is written meanwhile goes out together.
 */
export class HandleSocket implements ProxySocket {
  owner: SocketOwner | null = null;
  watcher: WriteWatcher | null = null;
  destroyed = false;
  unwrittenBytes = 0;
  private handle: StreamHandle | null = null;
  presented: PresentedAddresses | null = null;
  restored: Destination | null = null;
  private writesUnderWay = 0;
  private bytesUnderWay = 0;
  private queue: Uint8Array[] | null = null;
  private broken = false;
  private ending = false;
  private ended: (() => void) | undefined;
  private endSent = false;
  private endSeen = false;

  constructor(
    private readonly read: SharedRead,
    private keeper: Socket | null,
  ) {
    if (keeper !== null) this.closeWith(keeper);
  }

  /** From here on this object reads and writes. */
  drive(handle: StreamHandle): void {
    if (this.destroyed) return;
    this.handle = handle;
    handle.driver = this;
    handle.onread = onHandleRead;
    handle.useUserBuffer(this.read.buffer);
  }

  get descriptor(): number {
    return this.handle?.fd ?? -1;
  }
  get applicationProtocol(): string {
    return this.handle?.getALPNNegotiatedProtocol?.() || applicationProtocolOf(this.keeper);
  }
  get remoteAddress(): string | undefined {
    return this.presented?.remoteAddress ?? this.peer().address;
  }
  get remotePort(): number | undefined {
    return this.presented?.remotePort ?? this.peer().port;
  }
  get localAddress(): string | undefined {
    return this.presented?.localAddress ?? this.restored?.address ?? this.self().address;
  }
  get localPort(): number | undefined {
    return this.presented?.localPort ?? this.restored?.port ?? this.self().port;
  }

  write(bytes: Uint8Array): boolean {
    if (this.destroyed || this.broken || bytes.length === 0) return true;
    if (this.handle === null) throw new Error('a socket was written to before it was connected');
    if (this.writesUnderWay === 0) return this.send(bytes);
    if (this.queue === null) this.queue = [bytes];
    else this.queue.push(bytes);
    this.unwrittenBytes += bytes.length;
    return false;
  }

  pause(): void {
    const { handle } = this;
    if (handle === null || handle.reading !== true) return;
    handle.reading = false;
    handle.readStop();
  }

  resume(): void {
    const { handle } = this;
    if (handle === null || handle.reading === true || this.endSeen) return;
    handle.reading = true;
    const error = handle.readStart();
    if (error !== 0) this.breakLater(error, 'read');
  }

  end(done?: () => void): void {
    if (this.ending || this.handle === null) return;
    this.ending = true;
    this.ended = done;
    if (this.writesUnderWay === 0) this.sendEnd();
  }

  destroy(error?: Error): void {
    if (this.destroyed) return;
    const { handle, keeper } = this;
    this.handle = null;
    if (keeper !== null) keeper.destroy(error);
    else if (handle !== null) closeHandle(handle);
    this.tellClosed(error);
  }

  resetAndDestroy(): void {
    if (this.destroyed) return;
    const { handle, keeper } = this;
    this.handle = null;
    if (keeper !== null) resetKeeper(keeper);
    else if (handle !== null && (handle.destroySSL !== undefined || handle.reset?.() !== 0)) closeHandle(handle);
    this.tellClosed(undefined);
  }

  takeHandle(): StreamHandle | undefined {
    const { handle } = this;
    if (handle === null || this.keeper !== null) return undefined;
    this.pause();
    this.handle = null;
    return handle;
  }

  release(first: Uint8Array | null): Socket {
    this.pause();
    const options = { handle: this.handle, allowHalfOpen: true, manualStart: true };
    const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
    if (first !== null) socket.unshift(Buffer.from(first));
    this.handle = null;
    this.keeper = socket;
    this.closeWith(socket);
    return socket;
  }

  /** The handle reports the peer's end, or an error. */
  onReadEnded(status: number): void {
    if (this.handle === null) return;
    if (status !== END_OF_FILE) {
      this.destroy(systemError(status, 'read'));
      return;
    }
    // A reset is told once, and OpenSSL's own writes (of session tickets) keep what they are told to themselves: what is
    // read next looks like an end, and what is written from then on is never complete.
    if (this.isSending && this.handle.destroySSL !== undefined && this.handle.getpeername({}) !== 0) {
      this.destroy(systemError(CONNECTION_RESET, 'read'));
      return;
    }
    this.endSeen = true;
    this.owner?.onEnd();
    if (this.endSent) this.destroy();
  }

  /** The request that was under way is complete. */
  onRequestWritten(status: number): void {
    if (this.handle === null) return;
    if (status < 0) {
      this.breakLater(status, 'write');
      return;
    }
    let writes = this.writesUnderWay;
    this.writesUnderWay = 0;
    this.unwrittenBytes -= this.bytesUnderWay;
    const { queue } = this;
    if (queue !== null) {
      this.queue = null;
      if (this.sendQueue(queue)) writes += queue.length;
    }
    this.watcher?.onWritten(writes);
    if (this.ending && this.writesUnderWay === 0) this.sendEnd();
  }

  /** Our end has not been sent: a connection whose peer has ended is still there. */
  private get isSending(): boolean {
    return !this.ending || this.writesUnderWay > 0;
  }

  private closeWith(keeper: Socket): void {
    keeper.on('error', ignoreError);
    keeper.once('close', () => this.destroy(keeper.errored ?? undefined));
  }

  private send(bytes: Uint8Array): boolean {
    const request = spare ?? new internals.WriteRequest();
    spare = null;
    request.oncomplete = onHandleWritten;
    const error = (this.handle as StreamHandle).writeBuffer(request, bytes);
    if (error === 0 && internals.results[internals.writeWasAsync] === 0) {
      spare = request;
      return true;
    }
    if (error !== 0) {
      this.breakLater(error, 'write');
      return true;
    }
    request.bytes = bytes;
    this.writesUnderWay = 1;
    this.bytesUnderWay = bytes.length;
    this.unwrittenBytes += bytes.length;
    return false;
  }

  /** Writes that waited, in one request; their bytes are counted as unwritten already. */
  private sendQueue(queue: readonly Uint8Array[]): boolean {
    let bytes = 0;
    for (const each of queue) bytes += each.length;
    const request = new internals.WriteRequest();
    request.oncomplete = onHandleWritten;
    const error = (this.handle as StreamHandle).writev(request, queue, true);
    if (error !== 0 || internals.results[internals.writeWasAsync] === 0) {
      this.unwrittenBytes -= bytes;
      if (error !== 0) this.breakLater(error, 'write');
      return true;
    }
    request.bytes = queue;
    this.writesUnderWay = queue.length;
    this.bytesUnderWay = bytes;
    return false;
  }

  private sendEnd(): void {
    const { handle, keeper } = this;
    if (handle === null || this.broken || this.endSent) return;
    const finish = (): void => {
      this.endSent = true;
      const { ended } = this;
      this.ended = undefined;
      if (this.destroyed) return;
      ended?.();
      // As Node's own sockets: with both sides ended nothing is left.
      if (this.endSeen) this.destroy();
    };
    if (keeper !== null) {
      keeper.end(finish);
      return;
    }
    const request = new internals.ShutdownRequest();
    request.oncomplete = (status) => {
      if (status < 0 && !this.destroyed) this.breakLater(status, 'shutdown');
      else finish();
    };
    const error = handle.shutdown(request);
    if (error === 1) finish();
    else if (error !== 0) this.breakLater(error, 'shutdown');
  }

  /** Who writes is in the middle of something: the owner is told afterwards, as Node's sockets do. */
  private breakLater(status: number, syscall: string): void {
    if (this.broken) return;
    this.broken = true;
    process.nextTick(() => this.destroy(systemError(status, syscall)));
  }

  private tellClosed(error: Error | undefined): void {
    this.destroyed = true;
    this.queue = null;
    const { owner } = this;
    this.owner = null;
    owner?.onClosed(error ?? null);
  }

  private peer(): AddressParts {
    const parts: AddressParts = {};
    this.handle?.getpeername(parts);
    return parts;
  }

  private self(): AddressParts {
    const parts: AddressParts = {};
    this.handle?.getsockname(parts);
    return parts;
  }
}
