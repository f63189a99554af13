// TCP: opens the connection to an endpoint: picks, limits, tries again; and holds what that took until it is released.

import { LIMIT_CONNECTIONS, LIMIT_REQUESTS, PICK_NO_CLUSTER, READ_BUFFER } from '@lateen/filters-wasm';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import { HostSearch, type SearchingRequest } from '../exchange/filters/host-search.js';
import { describeError, type LocalReply } from '../exchange/local-reply.js';
import { FLAG } from '../exchange/response-flags.js';
import { clusterCounts } from '../observe/cluster-counts.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket } from '../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { AskedHost } from '../upstream/requested/requested-endpoints.js';
import type { UpstreamCluster } from '../upstream/upstream-cluster.js';
import { TCP_OFFER, type TransportEvents, TUNNEL_OFFER } from '../upstream/upstream-transport.js';
import { ConnectAnswer, type TunnelSettings, tunnelHead } from './connect-tunnel.js';
import { PooledTunnel, type TunnelOwner } from './pooled-tunnel.js';
import { hashSource } from './source-hash.js';
import type { TcpChain } from './tcp-chain.js';

/** A connection that can be written to. Whoever takes it sets the socket's owner before returning. */
export interface OpenedConnection {
  readonly socket: OwnedSocket;
  readonly secure: boolean;
  readonly endpoint: Endpoint;
  readonly cluster: UpstreamCluster;
  readonly principal: string;
  readonly securityId: number;
  /** What came behind the answer to a CONNECT. */
  readonly first?: Uint8Array;
}

export interface ConnectOutcome {
  onConnected(connection: OpenedConnection): void;
  /** @param flags FLAG bits @param reason the transport's words, empty where there are none */
  onConnectFailed(flags: number, reason: string): void;
}

/** Requests of HTTP/2, or by POST, go over the endpoint's pool; a CONNECT of HTTP/1.1 has a connection of its own. */
function asksByPool({ postPath }: TunnelSettings, { http }: UpstreamCluster): boolean {
  return postPath !== undefined || http.protocol === 'http2' || http.protocol === 'negotiated';
}

export class TcpConnector implements TransportEvents, TunnelOwner, TimerOwner, SearchingRequest {
  /** The endpoint of the last attempt. */
  endpoint: Endpoint | null = null;
  attempts = 0;
  /** Of the host that the connection names, where it does. */
  private found: Endpoint | null = null;
  private search: HostSearch | null = null;
  private clusterSlot = -1;
  private socket: OwnedSocket | null = null;
  private connecting = false;
  /** The LIMIT_* of which it holds one, -1 = none. */
  private limit = -1;
  private resuming = false;
  private withoutSession = false;
  private timedOut = false;
  /** An upstream that is a proxy has been asked for a connection. */
  private asked: { readonly answer: ConnectAnswer; readonly opened: OpenedConnection } | null = null;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly settings: Pick<TcpChain, 'maxConnectAttempts' | 'hashesSource' | 'tunnel'>,
    private readonly outcome: ConnectOutcome,
    /** Whom the connection is for. */
    private readonly client: () => PresentedAddresses | undefined,
  ) {}

  /**
   * Starts; the outcome is told once, perhaps before this returns.
   *
   * @param asked what the connection says of where it goes, for clusters that leave it to connections
   */
  connect(clusterName: string, asked: AskedHost): void {
    this.clusterSlot = this.path.tables.clusterSlot(clusterName);
    const isToldWhere = asked.authority() !== '' || asked.destination() !== undefined;
    if (!isToldWhere || this.path.forwardHosts[this.clusterSlot] === undefined) {
      this.attempt();
      return;
    }
    this.search = new HostSearch(this.path, this);
    this.search.begin(this.clusterSlot, asked);
  }

  onHostFound(endpoint: Endpoint): void {
    this.found = endpoint;
    this.attempt();
  }

  onNoHost({ flags, details }: LocalReply): void {
    this.outcome.onConnectFailed(flags, details);
  }

  /** Gives up a connection that is on its way. Nothing is told. */
  cancel(): void {
    this.search?.cancel();
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
    const { limit } = this;
    if (endpoint === null || limit < 0) return;
    this.limit = -1;
    core.wasm.release(this.clusterSlot, limit);
    core.wasm.endpointEnd(endpoint.slot);
    if (limit !== LIMIT_CONNECTIONS) return;
    endpoint.tcpConnections--;
    stats.upstreamCxActive--;
  }

  onReady(principal: string, securityId: number): void {
    const { endpoint, socket } = this;
    if (!this.connecting || endpoint === null || socket === null) return;
    const { transport, cluster } = endpoint;
    const opened = { socket, secure: transport.tls, endpoint, cluster, principal, securityId };
    const { tunnel } = this.settings;
    if (tunnel === undefined) this.finish(opened);
    else this.askForTunnel(tunnel, opened);
  }

  /** Nothing but the answer to a CONNECT is read before the connection is somebody's. */
  onRead(length: number): void {
    const { asked } = this;
    if (asked === null || !this.connecting) return;
    try {
      const first = asked.answer.add(this.path.core.bytes.subarray(READ_BUFFER, READ_BUFFER + length));
      if (first !== undefined) this.finish({ ...asked.opened, first });
    } catch (error) {
      this.socket?.destroy(error as Error);
    }
  }

  private askForTunnel(tunnel: TunnelSettings, opened: OpenedConnection): void {
    const { cluster, socket } = opened;
    this.resuming = false;
    this.asked = { answer: new ConnectAnswer(), opened };
    // The proxy that is asked has its own way to go.
    this.path.wheel.schedule(this.timer, cluster.connectTimeoutMs);
    socket.write(tunnelHead(tunnel));
  }

  onAsked(): void {
    if (this.connecting && this.endpoint !== null) {
      this.path.wheel.schedule(this.timer, this.endpoint.cluster.connectTimeoutMs);
    }
  }

  onTunnelOpen(securityId: number): void {
    const { endpoint, socket } = this;
    if (!this.connecting || endpoint === null || socket === null) return;
    const { transport, cluster } = endpoint;
    this.finish({ socket, secure: transport.tls, endpoint, cluster, principal: '', securityId });
  }

  private finish(opened: OpenedConnection): void {
    this.connecting = false;
    this.asked = null;
    this.path.wheel.cancel(this.timer);
    opened.endpoint.outlier?.succeeded();
    this.outcome.onConnected(opened);
  }

  onEnd(): void {
    this.socket?.destroy();
  }

  onClosed(error: Error | null): void {
    if (!this.connecting) return;
    this.connecting = false;
    this.path.clock.tick();
    this.path.wheel.cancel(this.timer);
    const { endpoint } = this;
    // Pools count their own.
    if (endpoint !== null && this.limit === LIMIT_CONNECTIONS) {
      endpoint.stats.cxConnectFail++;
      this.path.stats.upstreamCxConnectFail++;
    }
    this.release();
    // The peer, or we, no longer accept what was remembered: a full handshake decides.
    if (this.resuming && !this.timedOut && !this.withoutSession) {
      this.withoutSession = true;
      this.attempts--;
      this.attempt();
      return;
    }
    endpoint?.outlier?.failedLocally(this.timedOut);
    if (this.attempts < this.settings.maxConnectAttempts) {
      this.attempt();
      return;
    }
    const counts = clusterCounts(this.path, this.clusterSlot);
    if (counts !== null) counts.connectAttemptsExceeded++;
    this.outcome.onConnectFailed(FLAG.UF | FLAG.URX, error === null ? '' : describeError(error));
  }

  onTimer(): void {
    this.path.stats.upstreamCxConnectTimeout++;
    const counts = clusterCounts(this.path, this.clusterSlot);
    if (counts !== null) counts.connectTimeout++;
    this.timedOut = true;
    this.socket?.destroy();
  }

  private attempt(): void {
    const { core, stats } = this.path;
    if (this.settings.hashesSource) hashSource(this.path, this.client()?.remoteAddress ?? '');
    const slot = this.found === null ? core.wasm.pick(this.clusterSlot, 0, 1) : this.found.slot;
    const endpoint = slot < 0 ? undefined : this.path.endpoints[slot];
    const counts = clusterCounts(this.path, this.clusterSlot);
    if (endpoint === undefined) {
      if (slot === PICK_NO_CLUSTER) stats.tcpCxNoRoute++;
      else if (counts !== null) counts.noneHealthy++;
      this.outcome.onConnectFailed(slot === PICK_NO_CLUSTER ? FLAG.NC : FLAG.UH, '');
      return;
    }
    const { tunnel } = this.settings;
    const pooled = tunnel !== undefined && asksByPool(tunnel, endpoint.cluster);
    const limit = pooled ? LIMIT_REQUESTS : LIMIT_CONNECTIONS;
    if (core.wasm.acquire(this.clusterSlot, limit) === 0) {
      if (counts !== null) {
        if (pooled) counts.pendingOverflow++;
        else counts.connectionOverflow++;
      }
      this.outcome.onConnectFailed(FLAG.UO, '');
      return;
    }
    this.limit = limit;
    this.endpoint = endpoint;
    this.attempts++;
    this.connecting = true;
    this.asked = null;
    this.timedOut = false;
    core.wasm.endpointBegin(slot);
    if (pooled) {
      const asking = new PooledTunnel(endpoint, tunnel, this.client(), this);
      this.socket = asking;
      this.resuming = false;
      asking.begin();
      return;
    }
    endpoint.tcpConnections++;
    endpoint.stats.cxTotal++;
    stats.upstreamCxTotal++;
    stats.upstreamCxActive++;
    this.path.wheel.schedule(this.timer, endpoint.cluster.connectTimeoutMs);
    const { transport, cluster } = endpoint;
    const offer = tunnel === undefined ? TCP_OFFER : TUNNEL_OFFER;
    const client = transport.clientBound ? this.client() : undefined;
    const { socket, resuming } = transport.open(endpoint, this, offer, client, cluster.keepAliveMs);
    this.socket = socket;
    this.resuming = resuming;
  }
}
