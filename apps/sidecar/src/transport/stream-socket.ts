// Transport: a socket driven through Node's public streams; slower, and used where the native handles are not given out.

import type { Socket } from 'node:net';
import { READ_BUFFER, READ_BUFFER_BYTES } from '@lateen/filters-wasm';
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
import { descriptorOf } from './stream-handles.js';
import type { Destination } from './system/original-destination.js';

const EMPTY = Buffer.alloc(0);

export class StreamSocket implements ProxySocket {
  owner: SocketOwner | null = null;
  watcher: WriteWatcher | null = null;
  destroyed = false;
  presented: PresentedAddresses | null = null;
  restored: Destination | null = null;
  private released = false;
  private readonly onData = (chunk: Uint8Array): void => this.deliver(chunk);
  private readonly onEnd = (): void => this.owner?.onEnd();
  private readonly onWritten = (): void => this.watcher?.onWritten(1);

  constructor(
    private readonly socket: Socket,
    private readonly read: SharedRead,
    /** TLS writes never complete at once, so their callback goes with the write itself. */
    private readonly tls: boolean,
  ) {
    socket.on('error', ignoreError);
    socket.once('close', () => this.tellClosed(socket.errored ?? null));
  }

  get unwrittenBytes(): number {
    return this.socket.writableLength;
  }
  get descriptor(): number {
    return descriptorOf((this.socket as unknown as { _handle: unknown })._handle);
  }
  get applicationProtocol(): string {
    return applicationProtocolOf(this.socket);
  }
  get remoteAddress(): string | undefined {
    return this.presented?.remoteAddress ?? this.socket.remoteAddress;
  }
  get remotePort(): number | undefined {
    return this.presented?.remotePort ?? this.socket.remotePort;
  }
  get localAddress(): string | undefined {
    return this.presented?.localAddress ?? this.restored?.address ?? this.socket.localAddress;
  }
  get localPort(): number | undefined {
    return this.presented?.localPort ?? this.restored?.port ?? this.socket.localPort;
  }

  write(bytes: Uint8Array): boolean {
    if (this.destroyed || bytes.length === 0) return true;
    if (this.tls) {
      this.socket.write(bytes, this.onWritten);
      return false;
    }
    this.socket.write(bytes);
    if (this.socket.writableLength === 0) return true;
    this.socket.write(EMPTY, this.onWritten);
    return false;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    if (this.destroyed || this.released) return;
    if (this.socket.listenerCount('data') === 0) {
      this.socket.on('data', this.onData);
      this.socket.once('end', this.onEnd);
    }
    this.socket.resume();
  }

  end(done?: () => void): void {
    this.socket.end((error?: Error | null) => {
      if (!error) done?.();
    });
  }

  destroy(error?: Error): void {
    this.socket.destroy(error);
    this.tellClosed(error ?? null);
  }

  resetAndDestroy(): void {
    resetKeeper(this.socket);
    this.tellClosed(null);
  }

  takeHandle(): undefined {
    return undefined;
  }

  release(first: Uint8Array | null): Socket {
    this.released = true;
    this.socket.off('data', this.onData);
    this.socket.off('end', this.onEnd);
    this.socket.pause();
    if (first !== null) this.socket.unshift(Buffer.from(first));
    return this.socket;
  }

  private deliver(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length && this.owner !== null; offset += READ_BUFFER_BYTES) {
      const part = chunk.subarray(offset, offset + READ_BUFFER_BYTES);
      this.read.memory.set(part, READ_BUFFER);
      this.owner.onRead(part.length);
    }
  }

  private tellClosed(error: Error | null): void {
    if (this.destroyed) return;
    this.destroyed = true;
    const { owner } = this;
    this.owner = null;
    owner?.onClosed(error);
  }
}
