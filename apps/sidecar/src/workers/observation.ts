// Workers: what can be seen of one process of a proxy at one moment, as plain values that processes can tell each other.

import type { RateLimitCounts, RouteCounts } from '@lateen/filters-wasm';
import type { JwtCounts } from '@lateen/jwt';
import type {
  ClusterView,
  DataPlaneStats,
  DataPlaneViews,
  ListenerView,
  RequestMetricSeries,
  TcpMetricSeries,
} from '../data-plane.js';
import type { AuthorizerCounts } from '../external-authorization/authorizer-counts.js';
import type { LimitServiceCounts } from '../limit-service/limit-counts.js';
import type { AccessLogs } from '../observe/access-logs.js';
import type { RbacCounts } from '../rbac/rbac-counts.js';

/** What the lines and records that were lost are counted by: the path of the file. */
export type LostLines = Pick<AccessLogs, 'dropped' | 'auditDropped'>;

/** What a process has used. */
export interface ProcessUsage {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** What the admin API and metrics show of a proxy. */
export interface Seen {
  readonly dataPlane: DataPlaneViews;
  readonly lostLines: LostLines;
  readonly usage: ProcessUsage;
  /** Undefined where the proxy is one process. */
  readonly workers: SeenWorkers | undefined;
}

export interface SeenWorkers {
  /** The first one and those beside it, as far as they serve. */
  readonly processes: readonly SeenProcess[];
  /** How many had to be replaced. */
  readonly restarts: number;
}

export interface SeenProcess {
  readonly index: number;
  readonly pid: number;
  readonly connectionsTotal: number;
  readonly connectionsActive: number;
}

export interface Observation {
  readonly index: number;
  readonly pid: number;
  readonly usage: ProcessUsage;
  readonly stats: DataPlaneStats;
  readonly listeners: readonly ListenerView[];
  readonly clusters: readonly ClusterView[];
  readonly requests: readonly RequestMetricSeries[];
  readonly connections: readonly TcpMetricSeries[];
  readonly rateLimits: readonly RateLimitCounts[];
  readonly tokenChecks: readonly JwtCounts[];
  readonly rbac: readonly RbacCounts[];
  readonly authorizers: readonly AuthorizerCounts[];
  readonly routes: readonly RouteCounts[];
  readonly limitServices: readonly LimitServiceCounts[];
  readonly dropped: ReadonlyMap<string, number>;
  readonly auditDropped: ReadonlyMap<string, number>;
}

export function processUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}

/** Of this process. */
export function observe(index: number, dataPlane: DataPlaneViews, { dropped, auditDropped }: LostLines): Observation {
  return {
    index,
    pid: process.pid,
    usage: processUsage(),
    stats: dataPlane.stats,
    listeners: dataPlane.listeners(),
    clusters: dataPlane.clusters(),
    requests: [...dataPlane.metricSeries()],
    connections: [...dataPlane.tcpMetricSeries()],
    rateLimits: dataPlane.rateLimits(),
    tokenChecks: dataPlane.tokenChecks(),
    rbac: dataPlane.rbac(),
    authorizers: dataPlane.authorizers(),
    routes: dataPlane.routeCounts(),
    limitServices: dataPlane.limitServices(),
    dropped,
    auditDropped,
  };
}

/** What is left of a process that has ended: what it has counted, and nothing that is under way. */
export function remains(observation: Observation): Observation {
  const { stats, clusters, usage } = observation;
  return {
    ...observation,
    usage: { ...usage, residentBytes: 0 },
    stats: {
      ...stats,
      downstreamCxActive: 0,
      tcpCxActive: 0,
      downstreamRqActive: 0,
      upstreamCxActive: 0,
      ringUsedBytes: 0,
    },
    listeners: [],
    clusters: clusters.map((cluster) => ({
      ...cluster,
      rqPending: 0,
      endpoints: cluster.endpoints.map((endpoint) => ({ ...endpoint, cxActive: 0, rqActive: 0 })),
    })),
  };
}
