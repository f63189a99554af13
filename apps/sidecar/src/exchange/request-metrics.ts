// Exchange: counts a finished request in the core's series; the numbers that make the key get their names at scrape.

import {
  type Core,
  GRPC_STATUS_NONE,
  POLICY_STATISTICS,
  type RouteCounts,
  SERIES_REQUEST_MESSAGES,
  SERIES_RESPONSE_MESSAGES,
} from '@lateen/filters-wasm';
import type { DataPlaneStats } from '../data-plane.js';
import { type ClusterCounts, clusterCounts, countAnswer } from '../observe/cluster-counts.js';
import type { DataPath } from '../transport/data-path.js';
import type { AnsweringExchange } from './answering-exchange.js';
import type { ExchangeClient } from './exchange-client.js';
import { FLAG, forEachFlag } from './response-flags.js';

/** Cluster slots are below this, so scope and cluster share one number; the highest stands for "no cluster". */
export const CONTEXT_CLUSTERS = 8192;
export const NO_CLUSTER = CONTEXT_CLUSTERS - 1;

/** Counts in the series and in the process-wide counters. */
export function countRequest(path: DataPath, exchange: AnsweringExchange, client: ExchangeClient): void {
  const { core, stats } = path;
  const { nowMs } = path.clock;
  countStatus(stats, exchange.status);
  if (exchange.flags !== 0) {
    forEachFlag(exchange.flags, (name) => {
      stats.rqByFlag[name] = (stats.rqByFlag[name] ?? 0) + 1;
    });
  }
  const number = exchange.policy === 0 ? 0 : core.i32[(exchange.policy + POLICY_STATISTICS) >> 2]!;
  if (number !== 0 && exchange.clusterSlot >= 0) countRoute(path.tables.routeStatistics.counts[number]!, exchange);
  if (exchange.asksCluster) countCluster(clusterCounts(path, exchange.clusterSlot), exchange);
  const { chain } = client;
  if (exchange.connect && exchange.terminates) {
    path.tunnels.closed(exchange, client);
    return;
  }
  if (chain.metricScope === 0) return;
  const cluster = exchange.clusterSlot < 0 ? NO_CLUSTER : exchange.clusterSlot;
  const series = core.wasm.record(
    chain.metricScope * CONTEXT_CLUSTERS + cluster,
    exchange.peer,
    chain.inbound ? client.securityId : exchange.upstreamSecurityId,
    exchange.status,
    exchange.flags,
    grpcStatusOf(core, exchange),
    nowMs - exchange.startMs,
    exchange.requestWireBytes,
    exchange.responseWireBytes,
  );
  if (exchange.countsMessages) {
    core.f64[(series + SERIES_REQUEST_MESSAGES) >> 3]! += exchange.requestMessages?.count ?? 0;
    core.f64[(series + SERIES_RESPONSE_MESSAGES) >> 3]! += exchange.responseMessages?.count ?? 0;
  }
}

/** As Envoy's router: what the client was answered, be it by the upstream or in its place. */
function countCluster(counts: ClusterCounts | null, { flags, status }: AnsweringExchange): void {
  if (counts === null) return;
  countAnswer(counts, status);
  if (flags === 0) return;
  if ((flags & FLAG.UH) !== 0) counts.noneHealthy++;
  if ((flags & FLAG.UO) !== 0) counts.pendingOverflow++;
}

function countRoute(counts: RouteCounts, { attempts, flags, status }: AnsweringExchange): void {
  counts.total += attempts.count;
  if (attempts.count > 1) counts.retries += attempts.count - 1;
  if ((flags & FLAG.URX) !== 0) counts.retryLimitExceeded++;
  if ((flags & FLAG.UT) !== 0) counts.timeouts++;
  // A client that left before there was an answer has none.
  if (status >= 100 && status < 600) counts.classes[Math.trunc(status / 100)]!++;
}

/** Where gRPC has no status of its own, the one that belongs to the HTTP status; a client that left has none. */
function grpcStatusOf(core: Core, { grpc, grpcStatus, status }: AnsweringExchange): number {
  if (!grpc) return -1;
  if (grpcStatus >= 0) return grpcStatus;
  return status === 0 ? GRPC_STATUS_NONE : core.wasm.grpcStatusOf(status);
}

function countStatus(stats: DataPlaneStats, status: number): void {
  if (status < 200) return;
  if (status < 300) stats.downstreamRq2xx++;
  else if (status < 400) stats.downstreamRq3xx++;
  else if (status < 500) stats.downstreamRq4xx++;
  else stats.downstreamRq5xx++;
}
