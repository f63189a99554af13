// Rate limit service: how many requests were asked about, and what came of it; under Envoy's names at the cluster of the request.

import type { DataPath } from '../transport/data-path.js';

export interface LimitServiceCounts {
  readonly cluster: string;
  readonly statPrefix: string;
  ok: number;
  overLimit: number;
  error: number;
  /** Of the errors: let through all the same. */
  failureModeAllowed: number;
}

/** Clusters come and go with the configuration; of those that are gone so many keep their counters. */
const MAX_CLUSTERS = 8_192;

/** Counters of a data path. */
export class LimitServiceStatistics {
  /** Calls under way. */
  active = 0;
  private readonly counts = new Map<string, LimitServiceCounts>();

  of(cluster: string, statPrefix: string): LimitServiceCounts {
    const key = `${statPrefix}/${cluster}`;
    let counts = this.counts.get(key);
    if (counts === undefined) {
      if (this.counts.size === MAX_CLUSTERS) this.counts.delete(this.counts.keys().next().value ?? '');
      counts = { cluster, statPrefix, ok: 0, overLimit: 0, error: 0, failureModeAllowed: 0 };
      this.counts.set(key, counts);
    }
    return counts;
  }

  all(path: Pick<DataPath, 'clusters'>): LimitServiceCounts[] {
    const live = new Set(path.clusters.map((cluster) => cluster?.name));
    return [...this.counts.values()].filter(({ cluster }) => live.has(cluster));
  }
}
