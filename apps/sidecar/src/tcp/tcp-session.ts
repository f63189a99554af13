// TCP: one client's connection and the one to an endpoint that it is joined with, to the end of both.

import { addressesOf } from '../downstream/listener-filters/proxy-header.js';
import type { ConnectionRegistry, ServedConnection } from '../downstream/served-connection.js';
import type { VerifiedClient } from '../downstream/tls-acceptor.js';
import { describeError } from '../exchange/local-reply.js';
import { parseEndpointWorkload, type WorkloadFacts } from '../exchange/peer-metadata.js';
import { FLAG, forEachFlag } from '../exchange/response-flags.js';
import { ConnectionCheck, type ConnectionOutcome } from '../external-authorization/connection-check.js';
import { addressText } from '../observe/address-text.js';
import type { DataPath } from '../transport/data-path.js';
import { destinationOf, type OwnedSocket } from '../transport/proxy-socket.js';
import type { Destination } from '../transport/system/original-destination.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { AskedHost } from '../upstream/requested/requested-endpoints.js';
import { pickCluster, type TcpChain } from './tcp-chain.js';
import { type ConnectOutcome, type OpenedConnection, TcpConnector } from './tcp-connector.js';
import { tcpLogRecord } from './tcp-log-record.js';
import type { TcpMetrics, TcpSeries } from './tcp-metrics.js';
import { type SideEvents, TcpSide } from './tcp-side.js';

const TIMER_IDLE = 0;
const TIMER_AGE = 1;

/** What all sessions share. */
export interface TcpProxyParts {
  readonly metrics: TcpMetrics;
  /** How this node introduces itself to peers. */
  readonly introduction: Buffer;
}

/** An accepted connection and what was learned of it. */
export interface AcceptedConnection {
  readonly socket: OwnedSocket;
  readonly serverName: string;
  readonly client: VerifiedClient;
  readonly secure: boolean;
}

export class TcpSession
  implements ServedConnection, ConnectOutcome, ConnectionOutcome, AskedHost, SideEvents, TimerOwner
{
  private readonly downstream: TcpSide;
  private upstream: TcpSide | null = null;
  private readonly connector: TcpConnector;
  private readonly startTimeMs = Date.now();
  private readonly startMs: number;
  private lastActiveMs: number;
  private flags = 0;
  private failureReason = '';
  /** Null where nobody decides who may. */
  private readonly check: ConnectionCheck | null;
  /** It is known whether the connection may pass. */
  private checked = true;
  /** Why it may not, by whom it was asked: access rules, or an authorizer; empty where it may. */
  private denial = '';
  private askedInVain = false;
  private started = false;
  private readonly exchanges: boolean;
  private readonly noted = new Map<string, string>();
  private receivedBytes = 0;
  private sentBytes = 0;
  private readonly clusterName: string;
  private upstreamSecurityId = 0;
  private upstreamLocalAddress: string | undefined;
  private readonly localAddress: string;
  private readonly remoteAddress: string;
  /** Undefined until the peer is known, and where there are no metrics. */
  private series: TcpSeries | undefined;
  private over = false;
  private readonly idleTimer = new Timer(this, TIMER_IDLE);
  private readonly ageTimer = new Timer(this, TIMER_AGE);

  constructor(
    private readonly path: DataPath,
    readonly chain: TcpChain,
    private readonly parts: TcpProxyParts,
    private readonly accepted: AcceptedConnection,
    private readonly registry: ConnectionRegistry,
  ) {
    const { socket, secure } = accepted;
    path.clock.tick();
    path.stats.tcpCxTotal++;
    path.stats.tcpCxActive++;
    this.startMs = path.clock.nowMs;
    this.lastActiveMs = this.startMs;
    const logs = chain.accessLog !== undefined;
    this.localAddress = logs ? addressText(socket.localAddress, socket.localPort) : '';
    this.remoteAddress = logs ? addressText(socket.remoteAddress, socket.remotePort) : '';
    this.check = chain.checks.length === 0 ? null : new ConnectionCheck(path, chain.checks, accepted, this.noted, this);
    this.checked = this.check === null;
    this.check?.begin();
    this.exchanges = this.denial === '' && hasAgreedOn(socket, secure, chain.exchangeProtocol);
    this.downstream = new TcpSide(path, socket, secure, this, this.exchanges);
    socket.owner = this.downstream;
    this.introduce();
    if (chain.idleTimeoutMs > 0) path.wheel.schedule(this.idleTimer, chain.idleTimeoutMs);
    if (chain.maxDurationMs > 0) path.wheel.schedule(this.ageTimer, chain.maxDurationMs);
    this.clusterName = pickCluster(chain);
    this.connector = new TcpConnector(path, chain, this, () => addressesOf(socket));
  }

  /** Connects to an endpoint. `first` are bytes of the client that were read already. */
  start(first: Uint8Array | null): void {
    this.started = true;
    if (first !== null && this.denial === '') this.downstream.onBytes(first);
    if (this.checked) this.proceed();
  }

  onConnectionChecked(denial: string, askedInVain: boolean): void {
    this.checked = true;
    this.denial = denial;
    this.askedInVain = askedInVain;
    if (askedInVain) this.flags |= FLAG.UAEX;
    if (!this.started || this.over) return;
    this.path.clock.tick();
    this.introduce();
    this.proceed();
  }

  /** Nobody introduces himself to who may not be here. */
  private introduce(): void {
    if (!this.exchanges || !this.checked || this.denial !== '') return;
    this.downstream.writer.writeBuffer(this.parts.introduction);
  }

  private proceed(): void {
    if (this.denial !== '') this.downstream.destroy();
    else if (!this.downstream.closed) this.connector.connect(this.clusterName, this);
  }

  /** Where the client wants to go, by its ClientHello. */
  authority(): string {
    const { forwardPort } = this.chain;
    const { serverName } = this.accepted;
    return forwardPort === 0 || serverName === '' ? '' : `${serverName}:${forwardPort}`;
  }

  destination(): Destination | undefined {
    return destinationOf(this.accepted.socket);
  }

  /** It is no request. */
  header(): undefined {}

  onConnected(connection: OpenedConnection): void {
    const { socket, secure, cluster, securityId } = connection;
    this.upstreamSecurityId = securityId;
    if (this.chain.accessLog !== undefined) {
      this.upstreamLocalAddress = addressText(socket.localAddress, socket.localPort);
    }
    const exchanges = hasAgreedOn(socket, secure, cluster.exchangeProtocol);
    const upstream = new TcpSide(this.path, socket, secure, this, exchanges);
    socket.owner = upstream;
    this.upstream = upstream;
    if (exchanges) upstream.writer.writeBuffer(this.parts.introduction);
    upstream.connect(this.downstream);
    this.downstream.connect(upstream);
    if (connection.first !== undefined) upstream.onBytes(connection.first);
    this.countOpened();
  }

  onConnectFailed(flags: number, reason: string): void {
    this.flags |= flags;
    this.failureReason = reason;
    this.downstream.destroy();
  }

  /** Byte streams have no end that a proxy could wait for: they go on until the drain ends. */
  drain(): void {}

  /** At once, also where a peer has not taken what was written to it: it may never. */
  abort(): void {
    this.downstream.reset();
    this.upstream?.reset();
  }

  onTimer(kind: number): void {
    this.path.clock.tick();
    if (kind === TIMER_AGE) {
      this.flags |= FLAG.DT;
      this.destroy();
      return;
    }
    const leftMs = this.lastActiveMs + this.chain.idleTimeoutMs - this.path.clock.nowMs;
    if (leftMs > 0) this.path.wheel.schedule(this.idleTimer, leftMs);
    else this.destroy();
  }

  // ---- Sides ----------------------------------------------------------------------------------------------------------

  onForwarded(from: TcpSide, length: number): void {
    this.lastActiveMs = this.path.clock.nowMs;
    if (from === this.downstream) {
      this.receivedBytes += length;
      if (this.series !== undefined) this.series.receivedBytes += length;
    } else {
      this.sentBytes += length;
      if (this.series !== undefined) this.series.sentBytes += length;
    }
  }

  onIntroduced(): void {
    if (this.upstream !== null) this.countOpened();
  }

  onSideEnded(): void {
    this.closeWhereDone();
  }

  onFlushed(): void {
    this.closeWhereDone();
  }

  onSideClosed(side: TcpSide, error: Error | null): void {
    const { downstream, upstream } = this;
    if (side === upstream) this.connector.release();
    const complete = side.ended && side.flushed;
    const other = side === downstream ? upstream : downstream;
    if (!complete) {
      if (side === upstream && error !== null && this.failureReason === '') this.failureReason = describeError(error);
      other?.cut();
    }
    if (!downstream.closed || this.over) return;
    if (upstream === null) this.connector.cancel();
    if (upstream === null || upstream.closed) this.finish();
  }

  /** Both directions have ended and everything has left. */
  private closeWhereDone(): void {
    const { downstream, upstream } = this;
    if (upstream === null || !downstream.ended || !upstream.ended) return;
    if (downstream.flushed && upstream.flushed) this.destroy();
  }

  private destroy(): void {
    this.downstream.destroy();
    this.upstream?.destroy();
  }

  // ---- Accounts -------------------------------------------------------------------------------------------------------

  /** The peer is known, or nothing more will be: what was counted so far goes to its series. */
  private countOpened(): void {
    const { chain } = this;
    if (chain.metricScope === 0 || this.series !== undefined) return;
    const asked = chain.inbound ? this.downstream : this.upstream;
    if (!this.over && asked?.introducing) return;
    const series = this.seriesNow();
    series.opened++;
    series.receivedBytes += this.receivedBytes;
    series.sentBytes += this.sentBytes;
    this.series = series;
  }

  private seriesNow(): TcpSeries {
    const { chain } = this;
    const slot = this.path.tables.clusterSlot(this.clusterName);
    return this.parts.metrics.seriesOf({
      scope: chain.metricScope,
      cluster: slot < 0 ? undefined : this.path.clusters[slot],
      peer: this.peer(),
      securityId: chain.inbound ? this.accepted.client.securityId : this.upstreamSecurityId,
      flags: this.flags,
    });
  }

  private peer(): WorkloadFacts | undefined {
    if (this.chain.inbound) return this.downstream.peer;
    if (this.upstream?.peer !== undefined) return this.upstream.peer;
    const workload = this.connector.endpoint?.config?.metadata?.filterMetadata.istio?.workload;
    return typeof workload === 'string' ? parseEndpointWorkload(workload) : undefined;
  }

  private finish(): void {
    this.over = true;
    this.check?.cancel();
    const { path, chain, connector } = this;
    path.wheel.cancel(this.idleTimer);
    path.wheel.cancel(this.ageTimer);
    path.stats.tcpCxActive--;
    path.stats.tcpCxReceivedBytes += this.receivedBytes;
    path.stats.tcpCxSentBytes += this.sentBytes;
    forEachFlag(this.flags, (name) => {
      path.stats.rqByFlag[name] = (path.stats.rqByFlag[name] ?? 0) + 1;
    });
    if (chain.metricScope !== 0) {
      this.countOpened();
      this.seriesNow().closed++;
    }
    chain.accessLog?.(
      tcpLogRecord({
        startTimeMs: this.startTimeMs,
        durationMs: path.clock.nowMs - this.startMs,
        flags: this.flags,
        failureReason: this.failureReason,
        terminationDetails: this.askedInVain ? '' : this.denial,
        details: this.askedInVain ? this.denial : '',
        noted: this.noted,
        bytesReceived: this.receivedBytes,
        bytesSent: this.sentBytes,
        upstreamHost: connector.endpoint?.addressText,
        upstreamCluster: this.clusterName,
        upstreamStatName: path.clusters[path.tables.clusterSlot(this.clusterName)]?.statName ?? this.clusterName,
        upstreamLocalAddress: this.upstreamLocalAddress,
        downstreamLocalAddress: this.localAddress,
        downstreamRemoteAddress: this.remoteAddress,
        serverName: this.accepted.serverName,
        peerPrincipal: this.accepted.client.principal,
        attemptCount: connector.attempts,
      }),
    );
    this.registry.onConnectionGone(this);
  }
}

/** The handshake settled on this ALPN. */
function hasAgreedOn(socket: OwnedSocket, secure: boolean, protocol: string): boolean {
  return secure && protocol !== '' && socket.applicationProtocol === protocol;
}
