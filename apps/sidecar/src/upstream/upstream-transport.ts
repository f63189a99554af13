// Upstream: how a connection to an endpoint is made: plain TCP here, TLS in upstream-tls.ts.

import { connect } from 'node:net';
import type { DataPath } from '../transport/data-path.js';
import { keepSocket } from '../transport/keep-socket.js';
import type { OwnedSocket, SocketOwner } from '../transport/proxy-socket.js';
import type { Endpoint } from './endpoint.js';

/** What a transport tells of a connection that it was asked for. */
export interface TransportEvents extends SocketOwner {
  /** Connected, and for TLS: verified. Only from here on may bytes be written. */
  onReady(peerPrincipal: string, securityId: number): void;
}

/** Two endpoints with the same `key` are reached in the same way. */
export interface UpstreamTransport {
  readonly key: string;
  readonly tls: boolean;
  /** `alpn` is offered in a TLS handshake where the configuration names no protocols. */
  open(endpoint: Endpoint, events: TransportEvents, alpn: readonly string[], keepAliveMs?: number): OpenedSocket;
}

export interface OpenedSocket {
  readonly socket: OwnedSocket;
  /** A remembered session is offered: where that fails, a connection without it may succeed. */
  readonly resuming: boolean;
}

/** As options of a socket that connects. */
export function keepAlive(keepAliveMs: number | undefined): { keepAlive?: true; keepAliveInitialDelay?: number } {
  return keepAliveMs === undefined ? {} : { keepAlive: true, keepAliveInitialDelay: keepAliveMs };
}

/** TCP without TLS. */
export function createPlainTransport(path: DataPath): UpstreamTransport {
  return {
    key: 'raw_buffer',
    tls: false,
    open(endpoint, events, _alpn, keepAliveMs) {
      const to = { host: endpoint.address, port: endpoint.port };
      const keeper = connect({ ...to, allowHalfOpen: true, noDelay: true, ...keepAlive(keepAliveMs) });
      const { socket, begin } = keepSocket(keeper, path.sharedRead, false);
      socket.owner = events;
      keeper.once('connect', () => {
        begin();
        events.onReady('', 0);
      });
      return { socket, resuming: false };
    },
  };
}
