// Metrics: what became of the requests to a cluster, counted as Envoy's router counts it.

import type { DataPath } from '../transport/data-path.js';

/** Of one cluster, by its name: kept over configurations. */
export class ClusterCounts {
  /** Answers by the first digit of their status: those that clients got, of the upstream or of the proxy in its place. */
  readonly classes: number[] = [0, 0, 0, 0, 0, 0];
  retry = 0;
  /** Requests that were tried again, and were answered then. */
  retrySuccess = 0;
  retryLimitExceeded = 0;
  retryOverflow = 0;
  timeout = 0;
  perTryTimeout = 0;
  /** Requests that a limit of the cluster refused. */
  pendingOverflow = 0;
  /** Requests and connections for which no endpoint was there. */
  noneHealthy = 0;
  /** Connections of TCP proxies that a limit of the cluster refused. */
  connectionOverflow = 0;
  /** Connections that took too long to be opened. */
  connectTimeout = 0;
  /** Connections of TCP proxies that were given up. */
  connectAttemptsExceeded = 0;

  constructor(readonly clusterName: string) {}
}

/** Those of the cluster that has a slot at the moment; null where there is none. */
export function clusterCounts(path: DataPath, slot: number): ClusterCounts | null {
  const counts = path.clusterCounts[slot];
  const name = path.clusters[slot]?.name;
  if (counts !== undefined && counts.clusterName === name) return counts;
  if (name === undefined) return null;
  const made = new ClusterCounts(name);
  path.clusterCounts[slot] = made;
  return made;
}

/** Counts what the caller of a cluster was told, by its status. */
export function countAnswer(counts: ClusterCounts | null, status: number): void {
  if (counts !== null && status >= 100 && status < 600) counts.classes[Math.trunc(status / 100)]!++;
}
