// Upstream: the connections to one endpoint that speak the same protocol, and the requests that wait for one.

import { LIMIT_CONNECTIONS, LIMIT_PENDING } from '@lateen/filters-wasm';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { UpstreamFailure } from '../exchange/local-reply.js';
import { clusterCounts } from '../observe/cluster-counts.js';
import type { DataPath } from '../transport/data-path.js';
import type { ConnectionOwner, DialTarget } from './connection-owner.js';
import type { Endpoint } from './endpoint.js';
import { Http2Connector } from './http2/http2-connector.js';
import { TcpUpstream } from './tcp/tcp-upstream.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import { UpstreamConnection } from './upstream-connection.js';
import type { UpstreamRequest } from './upstream-request.js';
import type { UpstreamTransport } from './upstream-transport.js';

/** `negotiated`: HTTP/2 where the server takes it in the TLS handshake, HTTP/1.1 otherwise. `tcp`: what is in tunnels. */
export type UpstreamProtocol = 'http1' | 'http2' | 'negotiated' | 'tcp';

/** What a pool knows of its connections, those that are still being made included. */
export interface PooledConnection {
  readonly cluster: UpstreamCluster;
  readonly transport: UpstreamTransport;
  /** It holds one unit of the cluster's connection limit. */
  readonly counted: boolean;
  /** It offered a remembered TLS session. */
  readonly resuming: boolean;
  /** It is on the pool's list of those that take requests. */
  offered: boolean;
  /** So many more requests it takes now. */
  readonly free: number;
  /** How many it will take is not known yet. */
  readonly settling: boolean;
  start(request: UpstreamRequest): void;
  /** Ends as soon as nothing is lost by it. */
  retire(): void;
  close(): void;
}

export class ConnectionPool implements ConnectionOwner {
  /** Those that take requests, used last last, so that surplus connections grow idle and close. */
  private readonly ready: PooledConnection[] = [];
  private readonly connections = new Set<PooledConnection>();
  private connectingCount = 0;
  private pendingFirst: UpstreamRequest | null = null;
  private pendingLast: UpstreamRequest | null = null;
  private pendingCount = 0;
  private leaving = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly protocol: UpstreamProtocol,
    /** The only client that its connections are for; undefined: any. */
    readonly client?: PresentedAddresses | undefined,
  ) {}

  get path(): DataPath {
    return this.endpoint.path;
  }

  get target(): DialTarget {
    return this.endpoint;
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  /** Nothing will come of it. */
  get isEmpty(): boolean {
    return this.connections.size === 0 && this.pendingCount === 0;
  }

  /** Binds a connection to the request, now or when there is one; the answer is one of the request's callbacks. */
  acquire(request: UpstreamRequest): void {
    const { ready } = this;
    if (ready.length > 0) {
      const connection = ready[ready.length - 1]!;
      if (connection.free <= 1) this.withdraw(connection);
      this.bind(connection, request);
      return;
    }
    const { path, cluster } = this.endpoint;
    if (path.core.wasm.acquire(cluster.slot, LIMIT_PENDING) === 0) {
      request.onUpstreamFailed('overflow', '', false);
      return;
    }
    this.enqueue(request);
    this.openIfAllowed();
  }

  /** Takes a request out of the queue, for example because its client has left. */
  abandon(request: UpstreamRequest): void {
    if (request.pendingOn !== this) return;
    let previous: UpstreamRequest | null = null;
    for (let each = this.pendingFirst; each !== null; each = each.nextPending) {
      if (each === request) {
        this.unlink(previous, each);
        if (this.isEmpty) this.endpoint.poolEmptied(this);
        return;
      }
      previous = each;
    }
  }

  /** A new connection is ready; it may be another object than the one that was being made. */
  onConnected(connection: PooledConnection, made: PooledConnection = connection): void {
    this.connectingCount--;
    if (made !== connection) {
      this.connections.delete(connection);
      this.connections.add(made);
    }
    this.onSettled(made);
  }

  /** It is known how many requests a connection takes; that may be fewer than was expected. */
  onSettled(connection: PooledConnection): void {
    this.onAvailable(connection);
    if (this.pendingCount > 0) this.openIfAllowed();
  }

  /** A connection takes a request, or several. */
  onAvailable(connection: PooledConnection): void {
    const { endpoint } = this;
    const current = connection.transport === endpoint.transport;
    while (current && this.pendingFirst !== null && connection.free > 0) {
      const request = this.pendingFirst;
      this.unlink(null, request);
      this.bind(connection, request);
    }
    if (connection.free === 0) return;
    if (!endpoint.live || !current || this.leaving) connection.retire();
    else if (!connection.offered) {
      connection.offered = true;
      this.ready.push(connection);
    }
  }

  /** A connection takes no more requests for the moment, or for ever. */
  withdraw(connection: PooledConnection): void {
    if (!connection.offered) return;
    connection.offered = false;
    const { ready } = this;
    if (ready[ready.length - 1] === connection) ready.pop();
    else ready.splice(ready.indexOf(connection), 1);
  }

  /** A connection ends with its last request: who waits needs another one. */
  onLeaving(connection: PooledConnection): void {
    this.withdraw(connection);
    if (this.pendingCount > 0 && this.endpoint.live && !this.leaving) this.openIfAllowed();
  }

  /** A connection has gone; where it never connected, a waiting request fails with it. */
  onGone(connection: PooledConnection, connectFailure: UpstreamFailure | null, reason: string): void {
    this.withdraw(connection);
    this.connections.delete(connection);
    const { path, stats } = this.endpoint;
    if (connection.counted) path.core.wasm.release(connection.cluster.slot, LIMIT_CONNECTIONS);
    path.stats.upstreamCxActive--;
    if (connectFailure !== null) {
      this.connectingCount--;
      stats.cxConnectFail++;
      if (connectFailure === 'connect-timeout') {
        const counts = clusterCounts(path, connection.cluster.slot);
        if (counts !== null) counts.connectTimeout++;
      }
      path.stats.upstreamCxConnectFail++;
      // The peer, or we, no longer accept what was remembered: a full handshake decides.
      if (connection.resuming && connectFailure === 'connect') this.openIfAllowed();
      else this.failPending(connectFailure, reason);
    } else if (this.pendingFirst !== null) this.openIfAllowed();
    if (this.connections.size === 0) this.endpoint.poolEmptied(this);
  }

  /** The configuration changed: connections that are idle and no longer wanted close. */
  retireIdle(): void {
    const { live, transport } = this.endpoint;
    for (const connection of [...this.ready]) if (!live || connection.transport !== transport) connection.retire();
  }

  /** New requests have another pool: connections end when nothing is lost by it. */
  leave(): void {
    this.leaving = true;
    for (const connection of [...this.ready]) connection.retire();
  }

  closeAll(): void {
    for (const connection of [...this.connections]) connection.close();
  }

  private bind(connection: PooledConnection, request: UpstreamRequest): void {
    this.endpoint.stats.rqTotal++;
    this.endpoint.path.stats.upstreamRqTotal++;
    connection.start(request);
  }

  private openIfAllowed(): void {
    // A connection that is on its way serves one waiting request, or many; more are opened only for the others.
    if (this.expected >= this.pendingCount) return;
    const { endpoint } = this;
    const { path, cluster, transport } = endpoint;
    const allowed = path.core.wasm.acquire(cluster.slot, LIMIT_CONNECTIONS) === 1;
    // As Envoy: an endpoint without any connection gets one over the limit, or its queue would never move.
    if (!allowed && this.connections.size > 0) return;
    endpoint.stats.cxTotal++;
    path.stats.upstreamCxTotal++;
    path.stats.upstreamCxActive++;
    const Connection = CONNECTIONS[this.protocol];
    const connection = new Connection(this, cluster, transport, allowed);
    this.connections.add(connection);
    this.connectingCount++;
    connection.open();
  }

  /** So many requests will be taken by connections that are being made. */
  private get expected(): number {
    if (this.protocol === 'http1' || this.protocol === 'tcp') return this.connectingCount;
    let expected = 0;
    for (const { settling } of this.connections) if (settling) expected += STREAMS_EXPECTED;
    return expected;
  }

  private failPending(failure: UpstreamFailure, reason: string): void {
    // The oldest fails with the connection; the rest too when nothing is left that could serve them.
    do {
      const request = this.pendingFirst;
      if (request === null) return;
      this.unlink(null, request);
      request.onUpstreamFailed(failure, reason, true);
    } while (this.connections.size === 0);
  }

  private enqueue(request: UpstreamRequest): void {
    request.pendingOn = this;
    request.nextPending = null;
    if (this.pendingLast === null) this.pendingFirst = request;
    else this.pendingLast.nextPending = request;
    this.pendingLast = request;
    this.pendingCount++;
  }

  private unlink(previous: UpstreamRequest | null, request: UpstreamRequest): void {
    if (previous === null) this.pendingFirst = request.nextPending;
    else previous.nextPending = request.nextPending;
    if (this.pendingLast === request) this.pendingLast = previous;
    request.nextPending = null;
    request.pendingOn = null;
    this.pendingCount--;
    this.endpoint.path.core.wasm.release(this.endpoint.cluster.slot, LIMIT_PENDING);
  }
}

const CONNECTIONS = {
  http1: UpstreamConnection,
  http2: Http2Connector,
  negotiated: Http2Connector,
  tcp: TcpUpstream,
} as const;

/** What most servers take at a time. */
const STREAMS_EXPECTED = 100;
