// Upstream: one endpoint with its keep-alive connections and the requests that wait for one.

import { LIMIT_CONNECTIONS, LIMIT_PENDING } from '@lateen/filters-wasm';
import type { LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { UpstreamFailure } from '../exchange/local-reply.js';
import type { DataPath } from '../transport/data-path.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import { UpstreamConnection } from './upstream-connection.js';
import type { UpstreamRequest } from './upstream-request.js';
import type { UpstreamTransport } from './upstream-transport.js';

/** Counters of one endpoint, for the admin API. */
export class EndpointStats {
  cxTotal = 0;
  cxConnectFail = 0;
  rqTotal = 0;
  rqSuccess = 0;
  rqError = 0;
  rqTimeout = 0;
}

/** Lives as long as its slot: it survives configuration swaps while cluster and address stay the same. */
export class Endpoint {
  readonly stats = new EndpointStats();
  /** Last used last, so that surplus connections grow idle and close. */
  private readonly idle: UpstreamConnection[] = [];
  private readonly connections = new Set<UpstreamConnection>();
  private connectingCount = 0;
  private pendingFirst: UpstreamRequest | null = null;
  private pendingLast: UpstreamRequest | null = null;
  pendingCount = 0;
  /** Connections of TCP proxies; they belong to their sessions and are in no pool. */
  tcpConnections = 0;
  /** False once the configuration no longer has it: connections close when they fall idle. */
  live = true;
  config: LbEndpoint | undefined;
  locality = { region: '', zone: '', subZone: '' };
  /** Interned peer metadata from the endpoint's `istio.workload`, 0 = none. */
  workloadPeer = 0;

  constructor(
    readonly path: DataPath,
    readonly slot: number,
    readonly address: string,
    readonly port: number,
    public cluster: UpstreamCluster,
    public transport: UpstreamTransport,
  ) {}

  /** Takes over what a new configuration says of it. */
  update(cluster: UpstreamCluster, transport: UpstreamTransport, config: LbEndpoint): void {
    this.cluster = cluster;
    this.config = config;
    this.live = true;
    if (this.transport.key === transport.key) return;
    this.transport = transport;
    this.retireIdle();
  }

  get addressText(): string {
    return this.address.includes(':') ? `[${this.address}]:${this.port}` : `${this.address}:${this.port}`;
  }

  get connectionCount(): number {
    return this.connections.size + this.tcpConnections;
  }

  /** Binds a connection to the request, now or when there is one; the answer is one of the request's callbacks. */
  acquire(request: UpstreamRequest): void {
    const connection = this.idle.pop();
    if (connection !== undefined) {
      this.bind(connection, request);
      return;
    }
    const { wasm } = this.path.core;
    if (wasm.acquire(this.cluster.slot, LIMIT_PENDING) === 0) {
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
        return;
      }
      previous = each;
    }
  }

  /** A new connection is ready. */
  onConnected(connection: UpstreamConnection): void {
    this.connectingCount--;
    this.onAvailable(connection);
  }

  /** A connection is ready for its next request. */
  onAvailable(connection: UpstreamConnection): void {
    const request = this.pendingFirst;
    if (request !== null && connection.transport === this.transport) {
      this.unlink(null, request);
      this.bind(connection, request);
    } else if (this.live && connection.transport === this.transport) {
      this.idle.push(connection);
    } else {
      connection.close();
    }
  }

  /** A connection has gone; where it never connected, a waiting request fails with it. */
  onGone(connection: UpstreamConnection, connectFailure: UpstreamFailure | null, reason: string): void {
    const index = this.idle.indexOf(connection);
    if (index >= 0) this.idle.splice(index, 1);
    this.connections.delete(connection);
    if (connection.counted) this.path.core.wasm.release(connection.cluster.slot, LIMIT_CONNECTIONS);
    this.path.stats.upstreamCxActive--;
    if (connectFailure !== null) {
      this.connectingCount--;
      this.stats.cxConnectFail++;
      this.path.stats.upstreamCxConnectFail++;
      // The peer, or we, no longer accept what was remembered: a full handshake decides.
      if (connection.resuming && connectFailure === 'connect') this.openIfAllowed();
      else this.failPending(connectFailure, reason);
    } else if (this.pendingFirst !== null) this.openIfAllowed();
  }

  /** The configuration changed: other transport, or gone altogether. */
  retireIdle(): void {
    for (const connection of [...this.idle])
      if (!this.live || connection.transport !== this.transport) connection.close();
  }

  closeAll(): void {
    this.live = false;
    for (const connection of [...this.connections]) connection.close();
  }

  private bind(connection: UpstreamConnection, request: UpstreamRequest): void {
    this.stats.rqTotal++;
    this.path.stats.upstreamRqTotal++;
    connection.start(request);
  }

  private openIfAllowed(): void {
    // A connection that is on its way serves one waiting request; more are opened only for the others.
    if (this.connectingCount >= this.pendingCount) return;
    const allowed = this.path.core.wasm.acquire(this.cluster.slot, LIMIT_CONNECTIONS) === 1;
    // As Envoy: an endpoint without any connection gets one over the limit, or its queue would never move.
    if (!allowed && this.connections.size > 0) return;
    this.stats.cxTotal++;
    this.path.stats.upstreamCxTotal++;
    this.path.stats.upstreamCxActive++;
    const connection = new UpstreamConnection(this, this.cluster, this.transport, allowed);
    this.connections.add(connection);
    this.connectingCount++;
    connection.open();
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
    this.path.core.wasm.release(this.cluster.slot, LIMIT_PENDING);
  }
}
