// Upstream: a connection that is being made and will speak HTTP/2, or what its TLS handshake settles on.

import { describeError, type UpstreamFailure } from '../../exchange/local-reply.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import type { ConnectionOwner } from '../connection-owner.js';
import type { PooledConnection } from '../connection-pool.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import { UpstreamConnection } from '../upstream-connection.js';
import { HTTP_2_OFFER, NEGOTIATED_OFFER, type TransportEvents, type UpstreamTransport } from '../upstream-transport.js';
import { Http2UpstreamConnection } from './http2-upstream-connection.js';

export class Http2Connector implements PooledConnection, TransportEvents, TimerOwner {
  resuming = false;
  offered = false;
  readonly free = 0;
  readonly settling = true;
  private socket!: OwnedSocket;
  private openedMs = 0;
  private failure: UpstreamFailure = 'connect';
  private connecting = true;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly owner: ConnectionOwner,
    readonly cluster: UpstreamCluster,
    readonly transport: UpstreamTransport,
    readonly counted: boolean,
  ) {}

  open(): void {
    const { path, target, protocol, client } = this.owner;
    path.clock.tick();
    this.openedMs = path.clock.nowMs;
    path.wheel.schedule(this.timer, this.cluster.connectTimeoutMs);
    const offer = this.owner.offer ?? (protocol === 'negotiated' ? NEGOTIATED_OFFER : HTTP_2_OFFER);
    const { socket, resuming } = this.transport.open(target, this, offer, client, this.cluster.keepAliveMs);
    this.socket = socket;
    this.resuming = resuming;
  }

  onReady(principal: string, securityId: number): void {
    if (!this.connecting) return;
    this.connecting = false;
    const { owner, socket, cluster, transport, counted } = this;
    owner.path.wheel.cancel(this.timer);
    if (owner.protocol === 'negotiated' && socket.applicationProtocol !== 'h2') {
      const connection = new UpstreamConnection(owner, cluster, transport, counted);
      connection.adopt(socket, this.openedMs, principal, securityId);
      owner.onConnected(this, connection);
      return;
    }
    const connection = new Http2UpstreamConnection(owner, socket, cluster, transport, counted, securityId);
    socket.owner = connection;
    connection.begin();
    owner.onConnected(this, connection);
  }

  onTimer(): void {
    this.owner.path.clock.tick();
    this.owner.path.stats.upstreamCxConnectTimeout++;
    this.failure = 'connect-timeout';
    this.socket.destroy();
  }

  onClosed(error: Error | null): void {
    if (!this.connecting) return;
    this.connecting = false;
    const { path } = this.owner;
    path.clock.tick();
    path.wheel.cancel(this.timer);
    this.owner.onGone(this, this.failure, error === null ? '' : describeError(error));
  }

  close(): void {
    this.socket.destroy();
  }

  retire(): void {
    this.close();
  }

  start(): void {
    throw new Error('a connection that is being made was given a request');
  }

  /** Nothing is read before the connection is somebody's. */
  onRead(): void {}

  onEnd(): void {
    this.socket.destroy();
  }
}
