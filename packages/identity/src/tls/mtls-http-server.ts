// Admin APIs (port 15016): an HTTPS server for HTTP/2 and HTTP/1.1 that admits clients by SPIFFE id on every connection.

import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { SpiffeId } from '../spiffe-id.js';
import type { IdentitySource } from '../workload-identity.js';
import { endAtExpiry } from './expiry.js';
import { serverContextOptions } from './grpc-credentials.js';
import { type PeerRule, requirePeer } from './peer-verification.js';

/** What a handler gets: node:http's or node:http2's objects, as Connect's `connectNodeAdapter` takes them. */
export type MtlsHttpHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

export interface MtlsHttpServerOptions {
  readonly source: IdentitySource;
  /** Clients that may connect at all. */
  readonly allowedClients: PeerRule;
  readonly handler: MtlsHttpHandler;
  readonly address: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Told of each connection that was turned away. */
  readonly onRefused?: (reason: Error, remoteAddress: string) => void;
}

export interface MtlsHttpServer {
  readonly port: number;
  /** Stops accepting, lets open requests end for `graceMs`, then cuts them. */
  close(graceMs?: number): Promise<void>;
}

const peers = new WeakMap<object, SpiffeId>();

/** The verified client of a request that came through `createMtlsHttpServer`. @throws Error for any other request */
export function requestPeer(request: IncomingMessage | Http2ServerRequest): SpiffeId {
  const peer = peers.get(connectionOf(request));
  if (peer === undefined) throw new Error('the request did not come through a verified connection');
  return peer;
}

/** What the peer of a request is filed under: the HTTP/2 session, or the socket of HTTP/1.1. */
function connectionOf(request: IncomingMessage | Http2ServerRequest): object {
  return ('stream' in request ? request.stream.session : undefined) ?? request.socket;
}

/** Starts the server. Rejects when there is no identity yet or the address cannot be bound. */
export async function createMtlsHttpServer(options: MtlsHttpServerOptions): Promise<MtlsHttpServer> {
  const identity = options.source.current;
  if (identity === undefined) throw new Error('cannot start an HTTPS server before the first certificate is there');
  const connections = new OpenConnections();
  const server = createSecureServer(
    {
      ...serverContextOptions(identity),
      allowHTTP1: true,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      if (!peers.has(connectionOf(request))) {
        request.destroy(); // the connection is gone already
        return;
      }
      connections.requestStarted(request, response);
      options.handler(request, response);
    },
  );
  verifyBeforeFirstByte(server, connections, options);
  const unsubscribe = options.source.subscribe((renewed) => server.setSecureContext(serverContextOptions(renewed)));
  const port = await listen(server, options);
  return {
    port,
    close: async (graceMs = 0) => {
      unsubscribe();
      await close(server, connections, graceMs);
    },
  };
}

/** Puts the peer check in front of the protocol code, which therefore never sees bytes of a client not admitted. */
function verifyBeforeFirstByte(
  server: Http2SecureServer,
  connections: OpenConnections,
  { allowedClients, onRefused }: MtlsHttpServerOptions,
): void {
  const protocolListeners = server.listeners('secureConnection') as ((socket: TLSSocket) => void)[];
  server.removeAllListeners('secureConnection');
  server.on('secureConnection', (socket: TLSSocket) => {
    try {
      peers.set(socket, requirePeer(socket, allowedClients));
    } catch (error) {
      onRefused?.(error as Error, socket.remoteAddress ?? 'unknown');
      socket.destroy();
      return;
    }
    endAtExpiry(socket);
    connections.add(socket);
    socket.on('error', () => socket.destroy());
    for (const listener of protocolListeners) listener.call(server, socket);
  });
  server.on('session', (session: ServerHttp2Session) => {
    // The session wraps its socket in a proxy, so the peer is filed under the session itself.
    const peer = verifiedPeerOfSession(session);
    if (peer === undefined) return;
    peers.set(session, peer);
    connections.addSession(session);
  });
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    onRefused?.(error, socket.remoteAddress ?? 'unknown');
    socket.destroy();
  });
}

function verifiedPeerOfSession(session: ServerHttp2Session): SpiffeId | undefined {
  try {
    return requirePeer(session.socket as TLSSocket, () => true);
  } catch {
    session.destroy(); // the socket was closed between the check and the session's start
    return undefined;
  }
}

function listen(server: Http2SecureServer, { address, port }: MtlsHttpServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Ends what is idle at once; what answers a request has `graceMs` to end it. */
function close(server: Http2SecureServer, connections: OpenConnections, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => connections.cut(), graceMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    connections.drain();
  });
}

/** Knows which connections are open and which of those of HTTP/1.1 are answering; HTTP/2 sessions know it themselves. */
class OpenConnections {
  readonly #sockets = new Set<TLSSocket>();
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #answering = new Map<object, number>();
  #draining = false;

  add(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  addSession(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    if (this.#draining) session.close();
  }

  requestStarted(request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse): void {
    if ('stream' in request) return;
    const socket = request.socket as TLSSocket;
    this.#answering.set(socket, (this.#answering.get(socket) ?? 0) + 1);
    response.once('close', () => {
      const left = (this.#answering.get(socket) ?? 1) - 1;
      if (left > 0) this.#answering.set(socket, left);
      else this.#answering.delete(socket);
      if (left === 0 && this.#draining) socket.end();
    });
  }

  drain(): void {
    this.#draining = true;
    for (const session of this.#sessions) session.close();
    for (const socket of this.#sockets) {
      const isHttp1 = socket.alpnProtocol !== 'h2';
      if (isHttp1 && !this.#answering.has(socket)) socket.end();
    }
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
