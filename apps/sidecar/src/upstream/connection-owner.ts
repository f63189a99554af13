// Upstream: whom a connection belongs to and tells what becomes of it: an endpoint's pool, or its health check.

import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { UpstreamFailure } from '../exchange/local-reply.js';
import type { DataPath } from '../transport/data-path.js';
import type { PooledConnection, UpstreamProtocol } from './connection-pool.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import type { AlpnOffer } from './upstream-transport.js';

/** Where a connection goes. The same object stands for the same peer: TLS sessions are remembered by it. */
export interface DialTarget {
  /** IP address; of a pipe its path, or its name after `@` where it has none in the file system. */
  readonly address: string;
  /** 0 for a pipe. */
  readonly port: number;
  readonly cluster: Pick<UpstreamCluster, 'exchangeProtocol' | 'source'>;
}

export interface ConnectionOwner {
  readonly path: DataPath;
  readonly target: DialTarget;
  readonly protocol: UpstreamProtocol;
  /** The only client that its connections are for; undefined: any. */
  readonly client?: PresentedAddresses | undefined;
  /** What TLS handshakes offer, where it is not what the protocol offers. */
  readonly offer?: AlpnOffer | undefined;

  /** A new connection is ready; it may be another object than the one that was being made. */
  onConnected(connection: PooledConnection, made?: PooledConnection): void;
  /** It is known how many requests a connection takes. */
  onSettled(connection: PooledConnection): void;
  /** A connection takes a request, or several. */
  onAvailable(connection: PooledConnection): void;
  /** A connection takes no more requests for the moment, or for ever. */
  withdraw(connection: PooledConnection): void;
  /** A connection ends with its last request. */
  onLeaving(connection: PooledConnection): void;
  /** A connection has gone; `connectFailure` where it never connected. */
  onGone(connection: PooledConnection, connectFailure: UpstreamFailure | null, reason: string): void;
}
