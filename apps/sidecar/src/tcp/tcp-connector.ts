// TCP: opens the connection to an endpoint: picks, limits, tries again; and holds what that took until it is released.

import { LIMIT_CONNECTIONS, PICK_NO_CLUSTER } from '@lateen/filters-wasm';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import { FLAG } from '../exchange/response-flags.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket } from '../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { UpstreamCluster } from '../upstream/upstream-cluster.js';
import { describeError } from '../upstream/upstream-connection.js';
import { TCP_OFFER, type TransportEvents } from '../upstream/upstream-transport.js';
import { hashSource } from './source-hash.js';

/** A connection that can be written to. Whoever takes it sets the socket's owner before returning. */
export interface OpenedConnection {
  readonly socket: OwnedSocket;
  readonly secure: boolean;
  readonly endpoint: Endpoint;
  readonly cluster: UpstreamCluster;
  readonly principal: string;
  readonly securityId: number;
}

export interface ConnectOutcome {
  onConnected(connection: OpenedConnection): void;
  /** @param flags FLAG bits @param reason the transport's words, empty where there are none */
  onConnectFailed(flags: number, reason: string): void;
}

export class TcpConnector implements TransportEvents, TimerOwner {
  /** The endpoint of the last attempt. */
  endpoint: Endpoint | null = null;
  attempts = 0;
  private clusterSlot = -1;
  private socket: OwnedSocket | null = null;
  private connecting = false;
  private limited = false;
  private resuming = false;
  private withoutSession = false;
  private timedOut = false;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly maxAttempts: number,
    private readonly hashesSource: boolean,
    private readonly outcome: ConnectOutcome,
    /** Whom the connection is for. */
    private readonly client: () => PresentedAddresses | undefined,
  ) {}

  /** Starts; the outcome is told once, perhaps before this returns. */
  connect(clusterName: string): void {
    this.clusterSlot = this.path.tables.clusterSlot(clusterName);
    this.attempt();
  }

  /** Gives up a connection that is on its way. Nothing is told. */
  cancel(): void {
    this.path.wheel.cancel(this.timer);
    if (!this.connecting) return;
    this.connecting = false;
    if (this.socket !== null) {
      this.socket.owner = null;
      this.socket.destroy();
    }
    this.release();
  }

  /** The connection that was opened has ended. */
  release(): void {
    const { core, stats } = this.path;
    const { endpoint } = this;
    if (endpoint === null || !this.limited) return;
    this.limited = false;
    core.wasm.release(this.clusterSlot, LIMIT_CONNECTIONS);
    core.wasm.endpointEnd(endpoint.slot);
    endpoint.tcpConnections--;
    stats.upstreamCxActive--;
  }

  onReady(principal: string, securityId: number): void {
    const { endpoint, socket } = this;
    if (!this.connecting || endpoint === null || socket === null) return;
    this.connecting = false;
    this.path.wheel.cancel(this.timer);
    endpoint.outlier?.succeeded();
    const { transport, cluster } = endpoint;
    this.outcome.onConnected({ socket, secure: transport.tls, endpoint, cluster, principal, securityId });
  }

  /** Nothing is read before the connection is somebody's. */
  onRead(): void {}

  onEnd(): void {
    this.socket?.destroy();
  }

  onClosed(error: Error | null): void {
    if (!this.connecting) return;
    this.connecting = false;
    this.path.clock.tick();
    this.path.wheel.cancel(this.timer);
    const { endpoint } = this;
    if (endpoint !== null) endpoint.stats.cxConnectFail++;
    this.path.stats.upstreamCxConnectFail++;
    this.release();
    // The peer, or we, no longer accept what was remembered: a full handshake decides.
    if (this.resuming && !this.timedOut && !this.withoutSession) {
      this.withoutSession = true;
      this.attempts--;
      this.attempt();
      return;
    }
    endpoint?.outlier?.failedLocally(this.timedOut);
    if (this.attempts < this.maxAttempts) this.attempt();
    else this.outcome.onConnectFailed(FLAG.UF | FLAG.URX, error === null ? '' : describeError(error));
  }

  onTimer(): void {
    this.path.stats.upstreamCxConnectTimeout++;
    this.timedOut = true;
    this.socket?.destroy();
  }

  private attempt(): void {
    const { core, stats } = this.path;
    if (this.hashesSource) hashSource(this.path, this.client()?.remoteAddress ?? '');
    const slot = core.wasm.pick(this.clusterSlot, 0, 1);
    const endpoint = slot < 0 ? undefined : this.path.endpoints[slot];
    if (endpoint === undefined) {
      this.outcome.onConnectFailed(slot === PICK_NO_CLUSTER ? FLAG.NC : FLAG.UH, '');
      return;
    }
    if (core.wasm.acquire(this.clusterSlot, LIMIT_CONNECTIONS) === 0) {
      this.outcome.onConnectFailed(FLAG.UO, '');
      return;
    }
    this.limited = true;
    this.endpoint = endpoint;
    this.attempts++;
    this.connecting = true;
    this.timedOut = false;
    core.wasm.endpointBegin(slot);
    endpoint.tcpConnections++;
    endpoint.stats.cxTotal++;
    stats.upstreamCxTotal++;
    stats.upstreamCxActive++;
    this.path.wheel.schedule(this.timer, endpoint.cluster.connectTimeoutMs);
    const { transport, cluster } = endpoint;
    const client = transport.clientBound ? this.client() : undefined;
    const { socket, resuming } = transport.open(endpoint, this, TCP_OFFER, client, cluster.keepAliveMs);
    this.socket = socket;
    this.resuming = resuming;
  }
}
