// Transport: puts an owner on a socket that Node has made: one that connects, or one whose TLS handshake is done.

import type { Socket } from 'node:net';
import { HandleSocket } from './handle-socket.js';
import type { OwnedSocket, SharedRead } from './proxy-socket.js';
import { drivableHandle, streamInternals } from './stream-handles.js';
import { StreamSocket } from './stream-socket.js';

export interface KeptSocket {
  readonly socket: OwnedSocket;
  /** Once connected, and for TLS verified: from here on bytes are read and may be written. */
  begin(): void;
}

/**
 * Nothing may have been read from the socket when it begins.
 *
 * @param piped it leads to a pipe, whose handle has no addresses to ask for
 */
export function keepSocket(keeper: Socket, read: SharedRead, tls: boolean, piped = false): KeptSocket {
  if (streamInternals !== undefined && !piped) {
    const socket = new HandleSocket(read, keeper);
    // Otherwise Node would start to read once the connection is made. TLS has to read for its handshake.
    if (!tls) keeper.pause();
    const begin = (): void => {
      const handle = drivableHandle((keeper as unknown as { _handle: unknown })._handle);
      if (handle === undefined) socket.destroy(new Error(NOT_DRIVABLE));
      else {
        socket.drive(handle);
        socket.resume();
      }
    };
    return { socket, begin };
  }
  const socket = new StreamSocket(keeper, read, tls);
  return { socket, begin: () => socket.resume() };
}

const NOT_DRIVABLE = "this Node's sockets are not as expected; start the sidecar with LATEEN_SOCKETS=streams";
