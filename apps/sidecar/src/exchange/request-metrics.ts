// Exchange: counts a finished request in the core's series; the numbers that make the key get their names at scrape.

import type { Core } from '@lateen/filters-wasm';
import type { DataPlaneStats } from '../data-plane.js';
import type { AnsweringExchange } from './answering-exchange.js';
import type { ExchangeClient } from './exchange-client.js';
import { forEachFlag } from './response-flags.js';

/** Cluster slots are below this, so scope and cluster share one number; the highest stands for "no cluster". */
export const CONTEXT_CLUSTERS = 8192;
export const NO_CLUSTER = CONTEXT_CLUSTERS - 1;

/** Counts in the series and in the process-wide counters. */
export function countRequest(
  core: Core,
  stats: DataPlaneStats,
  exchange: AnsweringExchange,
  client: ExchangeClient,
  nowMs: number,
): void {
  countStatus(stats, exchange.status);
  if (exchange.flags !== 0) {
    forEachFlag(exchange.flags, (name) => {
      stats.rqByFlag[name] = (stats.rqByFlag[name] ?? 0) + 1;
    });
  }
  const { chain } = client;
  if (chain.metricScope === 0) return;
  const cluster = exchange.clusterSlot < 0 ? NO_CLUSTER : exchange.clusterSlot;
  core.wasm.record(
    chain.metricScope * CONTEXT_CLUSTERS + cluster,
    exchange.peer,
    chain.inbound ? client.securityId : exchange.upstreamSecurityId,
    exchange.status,
    exchange.flags,
    exchange.grpcStatus,
    nowMs - exchange.startMs,
    exchange.requestWireBytes,
    exchange.responseWireBytes,
  );
}

function countStatus(stats: DataPlaneStats, status: number): void {
  if (status < 200) return;
  if (status < 300) stats.downstreamRq2xx++;
  else if (status < 400) stats.downstreamRq3xx++;
  else if (status < 500) stats.downstreamRq4xx++;
  else stats.downstreamRq5xx++;
}
