// Downstream: one bound address; accepted handles become sockets that read into the core's memory.

import { createServer, type Server, type Socket } from 'node:net';
import { HandleSocket } from '../transport/handle-socket.js';
import type { ProxySocket, SharedRead } from '../transport/proxy-socket.js';
import { drivableHandle } from '../transport/stream-handles.js';
import { StreamSocket } from '../transport/stream-socket.js';

/** Takes accepted connections; the socket's owner must be set before `accept` returns. */
export interface Acceptor {
  accept(socket: ProxySocket, boundPort: number): void;
  onAcceptError(error: Error): void;
}

/** Node's TCP handles as far as used here; `onconnection` is where a net.Server itself takes connections from. */
interface ListeningHandle {
  onconnection?: (status: number, handle: ClientHandle | undefined) => void;
}
interface ClientHandle {
  setNoDelay(enable: boolean): number;
}

export interface BoundAddress {
  readonly address: string;
  readonly port: number;
}

export class SocketListener {
  /** Accepted before a configuration has said who takes them. */
  private waiting: ProxySocket[] = [];
  private acceptor: Acceptor | null = null;

  private constructor(
    private readonly server: Server,
    readonly bound: BoundAddress,
    sharedRead: SharedRead,
  ) {
    server.on('error', (error) => this.acceptor?.onAcceptError(error));
    const listening = (server as unknown as { _handle: ListeningHandle | null })._handle;
    if (drivableHandle(listening) === undefined || typeof listening?.onconnection !== 'function') {
      server.on('connection', (socket: Socket) => {
        socket.setNoDelay(true);
        this.take(new StreamSocket(socket, sharedRead, false));
      });
      return;
    }
    // Taking the handle here makes one small object for each connection instead of Node's socket.
    listening.onconnection = (status, handle) => {
      const drivable = drivableHandle(handle);
      if (status !== 0 || handle === undefined || drivable === undefined) {
        this.acceptor?.onAcceptError(new Error(`accept failed with status ${status}`));
        return;
      }
      handle.setNoDelay(true);
      const socket = new HandleSocket(sharedRead, null);
      socket.drive(drivable);
      this.take(socket);
    };
  }

  /** Binds; connections wait until `serve` names who takes them. @throws Error (EADDRINUSE, EACCES, ...) */
  static async bind(address: string, port: number, backlog: number, sharedRead: SharedRead): Promise<SocketListener> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port, backlog }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error(`${address}:${port} has no address after binding`);
    return new SocketListener(server, { address: bound.address, port: bound.port }, sharedRead);
  }

  /** Says who takes connections from now on. */
  serve(acceptor: Acceptor): void {
    this.acceptor = acceptor;
    const { waiting } = this;
    this.waiting = [];
    for (const socket of waiting) this.hand(socket, acceptor);
  }

  /** Stops accepting; connections are not touched. */
  close(): void {
    this.server.close();
    for (const socket of this.waiting) socket.destroy();
    this.waiting = [];
  }

  private take(socket: ProxySocket): void {
    if (this.acceptor === null) this.waiting.push(socket);
    else this.hand(socket, this.acceptor);
  }

  private hand(socket: ProxySocket, acceptor: Acceptor): void {
    acceptor.accept(socket, this.bound.port);
    socket.resume();
  }
}
