// Upstream: how a connection to an endpoint is made: plain TCP here, TLS in upstream-tls.ts.

import { type PresentedAddresses, writeProxyHeader } from '../downstream/listener-filters/proxy-header.js';
import type { DataPath } from '../transport/data-path.js';
import { keepSocket } from '../transport/keep-socket.js';
import type { OwnedSocket, SocketOwner } from '../transport/proxy-socket.js';
import type { DialTarget } from './connection-owner.js';
import { dial, isPipe } from './dial.js';

/** What a transport tells of a connection that it was asked for. */
export interface TransportEvents extends SocketOwner {
  /** Connected, and for TLS: verified. Only from here on may bytes be written. */
  onReady(peerPrincipal: string, securityId: number): void;
}

/** Two endpoints with the same `key` are reached in the same way. */
export interface UpstreamTransport {
  readonly key: string;
  readonly tls: boolean;
  /** Connections begin with whom they are for, so each of them serves one client alone. */
  readonly clientBound: boolean;
  /**
   * @param client whom the connection is for, where it is for one client alone
   * @param keepAliveMs after how long a silence the connection is probed, where it is
   */
  open(
    target: DialTarget,
    events: TransportEvents,
    offer: AlpnOffer,
    client: PresentedAddresses | undefined,
    keepAliveMs?: number,
  ): OpenedSocket;
}

/** What a TLS handshake offers, by what the connection is for. */
export interface AlpnOffer {
  /** Where the configuration names no protocols. */
  readonly unset: readonly string[];
  /**
   * In the place of the protocol by which sidecars introduce themselves, which is for plain TCP alone: where a port takes both,
   * its server tells HTTP from TCP by this. Istio's proxy does it by a filter of the listener.
   */
  readonly instead: readonly string[] | undefined;
  /** In the place of all that the configuration of the transport names. */
  readonly always?: readonly string[] | undefined;
}

export const TCP_OFFER: AlpnOffer = { unset: [], instead: undefined };
/** A proxy is asked for somebody else, to whom an introduction of ours would be bytes of the client. */
export const TUNNEL_OFFER: AlpnOffer = { unset: [], instead: ['istio'] };
export const HTTP_1_OFFER: AlpnOffer = {
  unset: [],
  instead: ['istio-http/1.1', 'istio-http/1.0', 'istio', 'http/1.1'],
};
export const HTTP_2_OFFER: AlpnOffer = { unset: ['h2'], instead: ['istio-h2', 'istio', 'h2'] };
export const NEGOTIATED_OFFER: AlpnOffer = { unset: ['h2', 'http/1.1'], instead: ['h2', 'http/1.1'] };

export interface OpenedSocket {
  readonly socket: OwnedSocket;
  /** A remembered session is offered: where that fails, a connection without it may succeed. */
  readonly resuming: boolean;
}

/** The version of the PROXY protocol that connections begin with; 0 = they do not. */
export type ProxyVersion = 0 | 1 | 2;

/** TCP without TLS. */
export function createPlainTransport(path: DataPath, proxyVersion: ProxyVersion = 0): UpstreamTransport {
  return {
    key: `raw_buffer ${proxyVersion}`,
    tls: false,
    clientBound: proxyVersion !== 0,
    open(target, events, _offer, client, keepAliveMs) {
      const keeper = dial(target, keepAliveMs);
      const { socket, begin } = keepSocket(keeper, path.sharedRead, false, isPipe(target));
      socket.owner = events;
      keeper.once('connect', () => {
        if (proxyVersion !== 0) keeper.write(writeProxyHeader(proxyVersion, client));
        begin();
        events.onReady('', 0);
      });
      return { socket, resuming: false };
    },
  };
}
