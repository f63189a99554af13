// Transport: a TCP socket that reads into the core's memory and tells its owner directly, without stream events.

import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { READ_BUFFER, READ_BUFFER_BYTES } from '@lateen/filters-wasm';

/** Who handles a socket's bytes. Bytes are in the shared read buffer and valid until the call returns. */
export interface SocketOwner {
  /** `length` bytes at READ_BUFFER. */
  onRead(length: number): void;
  /** The peer has ended its sending side. */
  onEnd(): void;
  /** The socket is gone; called once. */
  onClosed(error: Error | null): void;
}

/** The part of Node's stream handles that is used; unchanged since Node 10. */
interface StreamHandle {
  reading: boolean;
  readStop(): number;
}

/** A socket with an owner: a ProxySocket, or a TLS socket that `adoptTlsSocket` was called on. */
export type OwnedSocket = Socket & { owner: SocketOwner | null };

/** What `net` and `tls` take as `onread`; one object for all sockets, because reads are handled synchronously. */
export interface SharedRead {
  readonly buffer: Uint8Array;
  readonly callback: (this: unknown, length: number, buffer: Uint8Array) => boolean;
}

/** The shared read buffer of a core's memory. */
export function createSharedRead(memory: Buffer): SharedRead {
  return {
    buffer: memory.subarray(READ_BUFFER, READ_BUFFER + READ_BUFFER_BYTES),
    callback: function onSharedRead(length) {
      // Node calls this as a method of the socket.
      (this as OwnedSocket).owner?.onRead(length);
      return true;
    },
  };
}

/** Stops reading at once. A TLS socket may still deliver what it has decrypted already. */
export function pauseReading(socket: OwnedSocket): void {
  const handle = (socket as unknown as { _handle: StreamHandle | null })._handle;
  if (handle === null || !handle.reading) return;
  handle.reading = false;
  handle.readStop();
}

/** Starts reading again. */
export function resumeReading(socket: OwnedSocket): void {
  if (!socket.destroyed) socket._read(0);
}

/**
 * Overrides the two methods through which a socket reports end and destruction: an 'end' listener would cost a stream
 * state and a tick for each connection.
 */
export class ProxySocket extends Socket {
  owner: SocketOwner | null = null;

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk === null && this.owner !== null) {
      this.owner.onEnd();
      if (this.destroyed) return false;
    }
    return super.push(chunk, encoding);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const owner = this.owner;
    this.owner = null;
    super._destroy(error, callback);
    owner?.onClosed(error);
  }
}

/** Errors reach the owner by `onClosed`; the event only needs somebody who listens. */
export function ignoreError(): void {}

/**
 * Makes a TLS socket tell its owner in the same way. `shared` is given on the accepting side, where Node ignores the
 * `onread` option: the socket is then set up as that option would have done, or, where this Node does not allow it, its
 * chunks are copied into the shared buffer.
 */
export function adoptTlsSocket(
  socket: TLSSocket,
  owner: SocketOwner | null,
  shared: { readonly read: SharedRead; readonly memory: Buffer } | null,
): OwnedSocket {
  const owned = socket as unknown as OwnedSocket;
  owned.owner = owner;
  owned.on('error', ignoreError);
  owned.once('close', closeOwner);
  if (shared === null) owned.once('end', endOwner);
  else {
    owned.push = (chunk: Uint8Array | null) => pushToOwner(owned, chunk, shared.memory);
    readIntoSharedBuffer(owned, shared.read);
  }
  return owned;
}

/** A stream handle that can be given its read buffer, as `net` does for `onread`. */
interface BufferedHandle {
  useUserBuffer?(buffer: Uint8Array): void;
}

/** The keys under which `net` keeps the parts of `onread`; found once, on a socket that was made with the option. */
let onreadKeys: { readonly buffer: symbol; readonly callback: symbol; readonly generator: symbol } | null | undefined;

function findOnreadKeys(read: SharedRead): typeof onreadKeys {
  const probe = new Socket({ onread: read } as ConstructorParameters<typeof Socket>[0]);
  const symbols = Object.getOwnPropertySymbols(probe);
  const key = (name: string): symbol | undefined => symbols.find(({ description }) => description === name);
  const [buffer, callback, generator] = [key('kBuffer'), key('kBufferCb'), key('kBufferGen')];
  if (buffer === undefined || callback === undefined || generator === undefined) return null;
  return { buffer, callback, generator };
}

/** Saves an ArrayBuffer for each read; without it everything works, a little slower. */
function readIntoSharedBuffer(socket: OwnedSocket, read: SharedRead): void {
  if (onreadKeys === undefined) onreadKeys = findOnreadKeys(read);
  const handle = (socket as unknown as { _handle: BufferedHandle | null })._handle;
  if (onreadKeys === null || onreadKeys === undefined || handle?.useUserBuffer === undefined) return;
  const fields = socket as unknown as Record<symbol, unknown>;
  fields[onreadKeys.buffer] = read.buffer;
  fields[onreadKeys.callback] = read.callback;
  fields[onreadKeys.generator] = null;
  handle.useUserBuffer(read.buffer);
}

/** Taking chunks at push() leaves out the readable stream's queue, its events and a tick for each read. */
function pushToOwner(socket: OwnedSocket, chunk: Uint8Array | null, memory: Buffer): boolean {
  if (chunk === null) {
    socket.owner?.onEnd();
    return true;
  }
  for (let offset = 0; offset < chunk.length && socket.owner !== null; offset += READ_BUFFER_BYTES) {
    const part = chunk.length <= READ_BUFFER_BYTES ? chunk : chunk.subarray(offset, offset + READ_BUFFER_BYTES);
    memory.set(part, READ_BUFFER);
    socket.owner.onRead(part.length);
  }
  return true;
}

function closeOwner(this: OwnedSocket): void {
  const owner = this.owner;
  this.owner = null;
  owner?.onClosed(this.errored ?? null);
}

function endOwner(this: OwnedSocket): void {
  this.owner?.onEnd();
}
