// Upstream: one endpoint with its pools of connections: one, or one for each protocol that its clients speak.

import type {
  LbEndpoint,
  LocalityLbEndpoints,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import { addressText } from '../observe/address-text.js';
import type { DataPath } from '../transport/data-path.js';
import { ConnectionPool } from './connection-pool.js';
import type { EndpointHealth } from './health/endpoint-health.js';
import type { OutlierMonitor } from './outliers/outlier-monitor.js';
import type { UpstreamCluster } from './upstream-cluster.js';
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

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

const NO_LOCALITY: Locality = { region: '', zone: '', subZone: '' };

/** Lives as long as its slot: it survives configuration swaps while cluster and address stay the same. */
export class Endpoint {
  readonly stats = new EndpointStats();
  /** Connections of TCP proxies; they belong to their sessions and are in no pool. */
  tcpConnections = 0;
  /** False once the configuration no longer has it: connections close when they fall idle. */
  live = true;
  /** When its cluster got it, or got it back: clock of the data path. */
  joinedMs: number;
  /** When a request last asked for its host (ms since the epoch): then it is in no table. 0: it is in one. */
  requestedAtMs = 0;
  config: LbEndpoint | undefined;
  locality: Locality = NO_LOCALITY;
  priority = 0;
  /** Interned peer metadata from the endpoint's `istio.workload`, 0 = none. */
  workloadPeer = 0;
  /** Where its cluster has outlier detection. */
  outlier: OutlierMonitor | null = null;
  /** Where its cluster has health checks. */
  health: EndpointHealth | null = null;
  private pool: ConnectionPool;
  /** Where the client's protocol decides: for clients of HTTP/2. */
  private http2Pool: ConnectionPool | null = null;
  /** Where connections are for one client alone, and those of tunnels that end here. */
  private readonly clientPools = new Map<string, ConnectionPool>();
  /** Pools of an earlier configuration that still have connections. */
  private readonly leaving = new Set<ConnectionPool>();

  constructor(
    readonly path: DataPath,
    readonly slot: number,
    readonly address: string,
    readonly port: number,
    public cluster: UpstreamCluster,
    public transport: UpstreamTransport,
  ) {
    this.joinedMs = path.clock.nowMs;
    this.pool = new ConnectionPool(this, protocolOf(cluster));
  }

  /** Takes over what a new configuration says of it. */
  update(
    cluster: UpstreamCluster,
    transport: UpstreamTransport,
    config: LbEndpoint,
    group?: LocalityLbEndpoints | undefined,
  ): void {
    const sameProtocol = this.cluster.http.key === cluster.http.key;
    this.cluster = cluster;
    this.config = config;
    this.locality = group?.locality ?? NO_LOCALITY;
    this.priority = group?.priority ?? 0;
    if (!this.live) this.joinedMs = this.path.clock.nowMs;
    this.live = true;
    if (sameProtocol && this.transport.key === transport.key) return;
    this.transport = transport;
    if (!sameProtocol) this.replacePools();
    this.retireIdle();
  }

  get addressText(): string {
    return addressText(this.address, this.port);
  }

  get connectionCount(): number {
    let count = this.tcpConnections;
    for (const pool of this.pools()) count += pool.connectionCount;
    return count;
  }

  /** Pools that are kept for single clients. */
  get clientPoolCount(): number {
    return this.clientPools.size;
  }

  /** Binds a connection to the request, now or when there is one; the answer is one of the request's callbacks. */
  acquire(request: UpstreamRequest): void {
    if (this.transport.clientBound || request.terminates) {
      const pool = this.poolOf(request);
      pool.acquire(request);
      // Refused at once: no connection will end that would take it away.
      if (pool.isEmpty) this.poolEmptied(pool);
    } else if (this.cluster.http.protocol !== 'downstream' || !request.http2) this.pool.acquire(request);
    else {
      this.http2Pool ??= new ConnectionPool(this, 'http2');
      this.http2Pool.acquire(request);
    }
  }

  /** A pool has no connection left. Those of single clients are not kept. */
  poolEmptied(pool: ConnectionPool): void {
    if (pool.client === undefined) return;
    const key = keyOf(pool.client, pool.protocol);
    // The client may have got another one meanwhile.
    if (this.clientPools.get(key) === pool) this.clientPools.delete(key);
  }

  /** Connections that begin with whom they are for are used again by the same client only; those of tunnels by nobody. */
  private poolOf(request: UpstreamRequest): ConnectionPool {
    const client = (this.transport.clientBound ? request.clientAddresses : undefined) ?? NOBODY;
    const downstream = this.cluster.http.protocol === 'downstream' && request.http2;
    const protocol = request.terminates ? 'tcp' : downstream ? 'http2' : protocolOf(this.cluster);
    const key = keyOf(client, protocol);
    const pool = this.clientPools.get(key) ?? new ConnectionPool(this, protocol, client);
    this.clientPools.set(key, pool);
    return pool;
  }

  /** The configuration changed: other transport, or gone altogether. */
  retireIdle(): void {
    for (const pool of this.pools()) pool.retireIdle();
  }

  closeAll(): void {
    this.live = false;
    for (const pool of this.pools()) pool.closeAll();
  }

  private *pools(): Iterable<ConnectionPool> {
    yield this.pool;
    if (this.http2Pool !== null) yield this.http2Pool;
    yield* this.clientPools.values();
    yield* this.leaving;
  }

  /** The protocol has changed: what waits for a connection or has one goes on with the old pools. */
  private replacePools(): void {
    for (const pool of this.leaving) if (pool.connectionCount === 0) this.leaving.delete(pool);
    this.leaving.add(this.pool);
    if (this.http2Pool !== null) this.leaving.add(this.http2Pool);
    for (const pool of this.leaving) pool.leave();
    this.pool = new ConnectionPool(this, protocolOf(this.cluster));
    this.http2Pool = null;
  }
}

const NOBODY: PresentedAddresses = { remoteAddress: '', remotePort: 0, localAddress: '', localPort: 0 };

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: PresentedAddresses, protocol: string): string {
  return `${protocol} ${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

function protocolOf({ http }: UpstreamCluster): ConnectionPool['protocol'] {
  return http.protocol === 'downstream' ? 'http1' : http.protocol;
}
