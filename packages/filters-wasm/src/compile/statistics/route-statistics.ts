// Counters of routes that have a `stat_prefix`, by virtual host and prefix; they outlive the configurations that name them.

/** In a policy record: number of the route's counters, 0 = none. Where the record itself ends: POLICY_BYTES. */
export const POLICY_STATISTICS = 128;

/** What became of the requests that a route sent upstream, as Envoy counts it below `vhost.NAME.route.PREFIX`. */
export interface RouteCounts {
  readonly virtualHost: string;
  readonly statPrefix: string;
  /** Attempts at upstreams. */
  total: number;
  retries: number;
  /** Requests that failed although all their retries were used. */
  retryLimitExceeded: number;
  timeouts: number;
  /** Answers by the first digit of their status, from index 1 on. */
  readonly classes: number[];
}

export interface RouteStatistics {
  /** Number of the counters for POLICY_STATISTICS; 0 for an empty prefix, and where there are too many. */
  number(virtualHost: string, statPrefix: string): number;
  /** By number; nothing at 0. */
  readonly counts: readonly (RouteCounts | undefined)[];
}

/** Counters are kept as long as the process runs, so they may not take all the room. */
const MAX_ROUTES = 4096;

export function createRouteStatistics(): RouteStatistics {
  const numbers = new Map<string, number>();
  const counts: (RouteCounts | undefined)[] = [undefined];
  return {
    counts,
    number(virtualHost, statPrefix) {
      if (statPrefix === '') return 0;
      const key = JSON.stringify([virtualHost, statPrefix]);
      const known = numbers.get(key);
      if (known !== undefined) return known;
      if (counts.length > MAX_ROUTES) return 0;
      numbers.set(key, counts.length);
      const classes = [0, 0, 0, 0, 0, 0];
      return (
        counts.push({ virtualHost, statPrefix, total: 0, retries: 0, retryLimitExceeded: 0, timeouts: 0, classes }) - 1
      );
    },
  };
}
