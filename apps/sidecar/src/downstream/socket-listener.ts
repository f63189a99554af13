// Downstream: one bound address; accepted handles become sockets that read into the core's memory.

import { createServer, type Server, type Socket } from 'node:net';
import { HandleSocket } from '../transport/handle-socket.js';
import type { ProxySocket, SharedRead } from '../transport/proxy-socket.js';
import { descriptorOf, drivableHandle } from '../transport/stream-handles.js';
import { StreamSocket } from '../transport/stream-socket.js';

/** Takes accepted connections; the socket's owner must be set before `accept` returns. */
export interface Acceptor {
  accept(socket: ProxySocket, bound: BoundAddress): void;
  onAcceptError(error: Error): void;
}

/** Node's TCP handles as far as used here; `onconnection` is where a net.Server itself takes connections from. */
interface ListeningHandle {
  onconnection?: (status: number, handle: ClientHandle | undefined) => void;
}
export interface ClientHandle {
  setNoDelay(enable: boolean): number;
  close(): void;
}

export interface BoundAddress {
  readonly address: string;
  readonly port: number;
  /** Of `::`: connections of IPv4 are somebody else's. */
  readonly ipv6Only?: boolean;
}

/** Opens the socket that listens on an address. `key` is the same for the same socket in all processes of a proxy. */
export type OpenSocket = (
  key: string,
  address: BoundAddress,
  backlog: number,
  sharedRead: SharedRead,
) => Promise<SocketListener>;

/**
 * Gives a connection that was accepted to another process of the proxy, which takes it from the listener with this key; false
 * where this process is to keep it.
 */
export type GiveAway = (key: string, connection: ClientHandle) => boolean;

/** A listening socket as other processes can be given it. */
export interface SharedSocket {
  readonly key: string;
  /** Node's TCP handle. */
  readonly handle: unknown;
}

export class SocketListener {
  /** Accepted before a configuration has said who takes them. */
  private waiting: ProxySocket[] = [];
  private acceptor: Acceptor | null = null;
  /** Undefined where there is no other process. */
  giveAway: ((connection: ClientHandle) => boolean) | undefined;

  private constructor(
    private readonly server: Server,
    readonly bound: BoundAddress,
    private readonly sharedRead: SharedRead,
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
      if (status !== 0 || handle === undefined) {
        this.acceptor?.onAcceptError(new Error(`accept failed with status ${status}`));
      } else if (!this.gives(handle)) this.receive(handle);
    };
  }

  /** Not before it is in effect here: the others put it in effect after that. */
  private gives(handle: ClientHandle): boolean {
    return this.giveAway !== undefined && this.acceptor !== null && this.giveAway(handle);
  }

  /** Takes a connection, which another process may have accepted. */
  receive(handle: ClientHandle): void {
    const drivable = drivableHandle(handle);
    if (drivable === undefined) {
      handle.close();
      this.acceptor?.onAcceptError(new Error('the connection cannot be driven'));
      return;
    }
    handle.setNoDelay(true);
    const socket = new HandleSocket(this.sharedRead, null);
    socket.drive(drivable);
    this.take(socket);
  }

  /** Binds; connections wait until `serve` names who takes them. @throws Error (EADDRINUSE, EACCES, ...) */
  static bind(at: BoundAddress, backlog: number, sharedRead: SharedRead): Promise<SocketListener> {
    const { address: host, port, ipv6Only = false } = at;
    return SocketListener.listen(sharedRead, (server, done) => server.listen({ host, port, backlog, ipv6Only }, done));
  }

  /** Listens on a socket that another process has bound, and that it goes on to listen on. @throws Error */
  static adopt(handle: unknown, backlog: number, sharedRead: SharedRead): Promise<SocketListener> {
    // Listening again sets the backlog of the one socket, so it must be the same one.
    return SocketListener.listen(sharedRead, (server, done) => server.listen(handle, backlog, done));
  }

  private static async listen(
    sharedRead: SharedRead,
    begin: (server: Server, done: () => void) => void,
  ): Promise<SocketListener> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      begin(server, () => {
        server.off('error', reject);
        resolve();
      });
    });
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('a socket has no address after binding');
    return new SocketListener(server, { address: bound.address, port: bound.port }, sharedRead);
  }

  /** Of the system. */
  get descriptor(): number {
    return descriptorOf(this.handle);
  }

  /** For other processes. */
  get handle(): unknown {
    return (this.server as unknown as { _handle: unknown })._handle;
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
    acceptor.accept(socket, this.bound);
    socket.resume();
  }
}
