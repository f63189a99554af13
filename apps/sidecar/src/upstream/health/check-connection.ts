// Health checks: the connection that checks of one endpoint go over; it is no part of the endpoint's pool, nor of its limits.

import type { UpstreamFailure } from '../../exchange/local-reply.js';
import type { DataPath } from '../../transport/data-path.js';
import type { ConnectionOwner, DialTarget } from '../connection-owner.js';
import type { PooledConnection } from '../connection-pool.js';
import { Http2Connector } from '../http2/http2-connector.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import { UpstreamConnection } from '../upstream-connection.js';
import type { UpstreamRequest } from '../upstream-request.js';
import type { AlpnOffer, UpstreamTransport } from '../upstream-transport.js';

/** That a check makes before it has failed: one that offers what is remembered, and one that does not. */
const MAX_CONNECTIONS = 2;

export class CheckConnection implements ConnectionOwner {
  private connection: PooledConnection | null = null;
  private waiting: UpstreamRequest | null = null;
  /** Connections that the request which waits has had made. */
  private opened = 0;

  constructor(
    readonly path: DataPath,
    readonly target: DialTarget,
    private readonly cluster: UpstreamCluster,
    readonly transport: UpstreamTransport,
    readonly protocol: 'http1' | 'http2',
    readonly offer: AlpnOffer | undefined,
    timeoutMs: number,
  ) {
    // The check's own time limit counts, and nothing but the peer ends the connection between two checks.
    const endless = { idleTimeoutMs: 0, maxRequestsPerConnection: 0, maxConnectionDurationMs: 0 };
    this.cluster = { ...cluster, ...endless, connectTimeoutMs: timeoutMs + 1_000 };
  }

  /** Sends a request over the connection that there is, or a new one. */
  send(request: UpstreamRequest): void {
    const { connection } = this;
    if (connection !== null && connection.free > 0) {
      connection.start(request);
      return;
    }
    this.waiting = request;
    this.opened = 0;
    if (connection === null) this.open();
  }

  /** Ends what is under way; its request is not told. */
  close(): void {
    this.waiting = null;
    const { connection } = this;
    this.connection = null;
    connection?.close();
  }

  onConnected(connection: PooledConnection, made = connection): void {
    if (this.connection !== connection) {
      made.close();
      return;
    }
    this.connection = made;
    this.onAvailable(made);
  }

  onSettled(connection: PooledConnection): void {
    this.onAvailable(connection);
  }

  onAvailable(connection: PooledConnection): void {
    const { waiting } = this;
    if (connection !== this.connection || waiting === null || connection.free === 0) return;
    this.waiting = null;
    connection.start(waiting);
  }

  withdraw(): void {}

  /** The peer takes no more requests over it. */
  onLeaving(connection: PooledConnection): void {
    if (connection !== this.connection) return;
    this.connection = null;
    if (this.waiting !== null) this.open();
  }

  onGone(connection: PooledConnection, connectFailure: UpstreamFailure | null, reason: string): void {
    if (connection !== this.connection) return;
    this.connection = null;
    const { waiting } = this;
    if (waiting === null) return;
    // The peer, or we, no longer accept what was remembered, or it went away between two checks.
    const again = connectFailure === null || (connection.resuming && connectFailure === 'connect');
    if (again && this.opened < MAX_CONNECTIONS) this.open();
    else {
      this.waiting = null;
      waiting.onUpstreamFailed(connectFailure ?? 'closed', reason, true);
    }
  }

  private open(): void {
    this.opened++;
    const connection =
      this.protocol === 'http1'
        ? new UpstreamConnection(this, this.cluster, this.transport, false)
        : new Http2Connector(this, this.cluster, this.transport, false);
    this.connection = connection;
    connection.open();
  }
}
