// Downstream: one bound address; accepted handles become sockets that read into the core's memory.

import { createServer, type Server } from 'node:net';
import { ignoreError, ProxySocket, type SharedRead } from '../transport/proxy-socket.js';

/** Takes accepted connections; the socket's owner must be set before `accept` returns. */
export interface Acceptor {
  accept(socket: ProxySocket, boundPort: number): void;
  onAcceptError(error: Error): void;
}

/** Node's TCP handles as far as used here; `onconnection` is where a net.Server itself takes connections from. */
interface ListeningHandle {
  onconnection: (status: number, handle: ClientHandle | undefined) => void;
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
    // Taking the handle here makes one socket for each connection instead of one that is thrown away and one that reads.
    const listening = (server as unknown as { _handle: ListeningHandle })._handle;
    listening.onconnection = (status, handle) => {
      if (status !== 0 || handle === undefined) {
        this.acceptor?.onAcceptError(new Error(`accept failed with status ${status}`));
        return;
      }
      handle.setNoDelay(true);
      const options = { handle, allowHalfOpen: true, onread: sharedRead, manualStart: true };
      const socket = new ProxySocket(options as unknown as ConstructorParameters<typeof ProxySocket>[0]);
      socket.on('error', ignoreError);
      if (this.acceptor === null) this.waiting.push(socket);
      else this.hand(socket, this.acceptor);
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

  private hand(socket: ProxySocket, acceptor: Acceptor): void {
    acceptor.accept(socket, this.bound.port);
    if (!socket.destroyed) socket.read(0);
  }
}
