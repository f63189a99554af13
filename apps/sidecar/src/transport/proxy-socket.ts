// Transport: what owners and writers see of a socket, whichever way it is driven (handle-socket.ts, stream-socket.ts).

import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { READ_BUFFER, READ_BUFFER_BYTES } from '@lateen/filters-wasm';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { StreamHandle } from './stream-handles.js';
import type { Destination } from './system/original-destination.js';

/** Who handles a socket's bytes. Bytes are in the shared read buffer and valid until the call returns. */
export interface SocketOwner {
  /** `length` bytes at READ_BUFFER. */
  onRead(length: number): void;
  /** The same, where they are elsewhere in the memory: of what is a socket to its owner alone. */
  onReadAt?(address: number, length: number): void;
  /** The peer has ended its sending side. */
  onEnd(): void;
  /** The socket is gone; called once. */
  onClosed(error: Error | null): void;
}

/** Who writes to a socket; one for each. */
export interface WriteWatcher {
  /** So many of the oldest writes that were not complete at once are complete now. */
  onWritten(writes: number): void;
}

/** A connected socket that tells one owner directly, without stream events. */
export interface OwnedSocket {
  owner: SocketOwner | null;
  watcher: WriteWatcher | null;
  readonly destroyed: boolean;
  /** Bytes of writes that are not complete. */
  readonly unwrittenBytes: number;
  /** True where the bytes are no longer needed; otherwise the watcher is told, writes completing in their order. */
  write(bytes: Uint8Array): boolean;
  /** Stops reading at once. A TLS socket may still deliver what it has decrypted already. */
  pause(): void;
  /** Starts reading, or starts it again. */
  resume(): void;
  /** Ends the sending side once everything is written; `done` is called when the kernel has it all, not where it fails. */
  end(done?: () => void): void;
  /** Closes at once; the owner is told before this returns. */
  destroy(error?: Error): void;
  /** Closes at once, with a reset where the socket is TCP without TLS: the peer does not take it for an orderly end. */
  resetAndDestroy(): void;
  /** The ALPN that a TLS handshake settled on, empty where there is none. */
  readonly applicationProtocol: string;
  /** What a PROXY protocol header said of the connection: it takes the place of its own addresses below. */
  presented: PresentedAddresses | null;
  /** Where an intercepted connection was opened to: it takes the place of its own local address below. */
  restored: Destination | null;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}

/** An accepted socket, of which it is not known yet whether it speaks TLS. */
export interface ProxySocket extends OwnedSocket {
  /** Of the system; below 0 where there is none. */
  readonly descriptor: number;
  /**
   * Gives the native handle away, for TLS to be put on it; undefined where there is none to drive. This object no longer
   * reads or writes, and closing is up to the taker.
   */
  takeHandle(): StreamHandle | undefined;
  /**
   * Gives the connection to a Node socket, for TLS to be put on it; `first` are bytes that were read already. This
   * object no longer reads or writes; destroying it destroys that socket.
   */
  release(first: Uint8Array | null): Socket;
}

/** Where the client of an accepted connection wanted to go, where somebody has said it: a redirect rule, or a balancer. */
export function destinationOf({ presented, restored }: OwnedSocket): Destination | undefined {
  if (presented !== null) return { address: presented.localAddress, port: presented.localPort };
  return restored ?? undefined;
}

/** The buffer that all sockets read into, one after the other: reads are handled synchronously. */
export interface SharedRead {
  readonly buffer: Uint8Array;
  /** The memory that it is part of. */
  readonly memory: Buffer;
}

/** The shared read buffer of a core's memory. */
export function createSharedRead(memory: Buffer): SharedRead {
  return { buffer: memory.subarray(READ_BUFFER, READ_BUFFER + READ_BUFFER_BYTES), memory };
}

/** Node's `resetAndDestroy` would end the connection first; this is the field by which its `destroy` knows to reset. */
export function resetKeeper(socket: Socket): void {
  const { _handle: handle } = socket as unknown as { _handle: { reset?: unknown } | null };
  // A pipe has nothing to reset.
  if (!isTls(socket) && typeof handle?.reset === 'function')
    (socket as Socket & { resetAndClosing: boolean }).resetAndClosing = true;
  socket.destroy();
}

/** A socket that Node has put TLS on. */
export function isTls(socket: Socket | null): boolean {
  return socket !== null && 'alpnProtocol' in socket;
}

/** What a handshake settled on. */
export function applicationProtocolOf(socket: Socket | null): string {
  return (socket as Partial<TLSSocket> | null)?.alpnProtocol || '';
}

/** Errors reach the owner by `onClosed`; the event only needs somebody who listens. */
export function ignoreError(): void {}
