// Transport: what every connection of the data path shares; made once by pipeline.ts.

import type { Core, Tables } from '@lateen/filters-wasm';
import type { TokenVerifier } from '@lateen/jwt';
import type { ConnectionLimits, DataPlaneOptions, DataPlaneStats } from '../data-plane.js';
import type { MirrorMemory } from '../exchange/mirrors/mirrored-request.js';
import type { AuthorizerLoad } from '../external-authorization/authorizer-counts.js';
import type { LimitServiceStatistics } from '../limit-service/limit-counts.js';
import type { ClusterCounts } from '../observe/cluster-counts.js';
import type { QuotaBuckets } from '../quota/quota-buckets.js';
import type { TunnelMetrics } from '../tcp/tunnel-metrics.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { HostFinder } from '../upstream/requested/requested-endpoints.js';
import type { UpstreamCluster } from '../upstream/upstream-cluster.js';
import type { Clock } from './clock.js';
import type { OutSlots } from './out-slots.js';
import type { SharedRead } from './proxy-socket.js';
import type { TimerWheel } from './timer-wheel.js';

export interface DataPath {
  readonly core: Core;
  readonly tables: Tables;
  readonly slots: OutSlots;
  readonly sharedRead: SharedRead;
  readonly wheel: TimerWheel;
  readonly clock: Clock;
  readonly stats: DataPlaneStats;
  readonly log: NonNullable<DataPlaneOptions['log']>;
  /** The keys of TLS session tickets are derived from it. */
  readonly ticketSecret: Uint8Array;
  /** For the other processes of the proxy. */
  readonly onEjected: DataPlaneOptions['onEjected'];
  readonly connectionLimits: ConnectionLimits;
  readonly quotas: QuotaBuckets;
  readonly limitServices: LimitServiceStatistics;
  /** What waits for authorizers. */
  readonly authorizers: AuthorizerLoad;
  /** The cluster of the process's own node. */
  readonly ownCluster: string;
  /** Tokens that were found good. */
  readonly tokens: TokenVerifier;
  /** By endpoint slot of the core. */
  readonly endpoints: (Endpoint | undefined)[];
  /** By cluster slot of the core; those that are gone stay for exchanges that began with them. */
  readonly clusters: (UpstreamCluster | undefined)[];
  /** By cluster slot, see clusterCounts(). */
  readonly clusterCounts: (ClusterCounts | undefined)[];
  /** A connection goes through frames in the read buffer: nobody else may put bytes there meanwhile. */
  readBufferBusy: boolean;
  /** By cluster slot: the hosts of clusters that leave it to requests where they go. */
  readonly forwardHosts: (HostFinder | undefined)[];
  /** Counts tunnels that end here. */
  readonly tunnels: TunnelMetrics;
  /** What waits in copies of requests. */
  readonly mirrorMemory: MirrorMemory;
  /** Responses tell clients to leave. */
  leaving: boolean;
  /** Nothing is accepted any more. */
  draining: boolean;
}

/** Counters at zero. */
export function createStats(): DataPlaneStats {
  return {
    downstreamCxTotal: 0,
    downstreamCxActive: 0,
    downstreamCxTlsTotal: 0,
    downstreamCxTlsErrors: 0,
    downstreamCxTlsRefused: { no_cert: 0, error: 0, san: 0, cert_hash: 0 },
    downstreamCxUnrecognized: 0,
    downstreamCxNoFilterChain: 0,
    downstreamCxOverflow: 0,
    downstreamCxLoops: 0,
    tcpCxTotal: 0,
    tcpCxNoRoute: 0,
    tcpCxReceivedBytes: 0,
    tcpCxSentBytes: 0,
    tcpCxActive: 0,
    downstreamRqTotal: 0,
    downstreamRqActive: 0,
    downstreamRq1xx: 0,
    downstreamRq2xx: 0,
    downstreamRq3xx: 0,
    downstreamRq4xx: 0,
    downstreamRq5xx: 0,
    upstreamCxTotal: 0,
    upstreamCxActive: 0,
    upstreamCxConnectFail: 0,
    upstreamCxConnectTimeout: 0,
    upstreamCxTlsResumed: 0,
    upstreamRqTotal: 0,
    upstreamRqRetry: 0,
    http2ResetsSent: 0,
    http2ResetsReceived: 0,
    http2ConnectionErrors: 0,
    http2Floods: {},
    rqByFlag: {},
    ringUsedBytes: 0,
    configApplied: 0,
    configRejected: 0,
  };
}
