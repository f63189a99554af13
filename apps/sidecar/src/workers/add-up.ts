// Workers: adds up what was seen of the processes of one proxy. Counters are added; what is the same in all is the first one's.

import type {
  ClusterView,
  DataPlaneStats,
  EndpointView,
  HistogramView,
  ListenerView,
  RequestMetricSeries,
  TcpMetricSeries,
} from '../data-plane.js';
import type { Observation, ProcessUsage, Seen } from './observation.js';

/** Counted by the first process for all. */
const OF_THE_FIRST: ReadonlySet<string> = new Set<keyof DataPlaneStats>(['configApplied', 'configRejected']);

/** @param observations those of living processes, the first one's first; @param ended what is left of others */
export function addUp(
  observations: readonly [Observation, ...Observation[]],
  ended: Observation | undefined,
): Omit<Seen, 'workers'> {
  const added = addAll(ended === undefined ? observations : [...observations, ended], observations[0].clusters);
  const listeners = addListeners(observations);
  return {
    dataPlane: {
      stats: added.stats,
      listeners: () => listeners,
      clusters: () => [...added.clusters],
      metricSeries: () => added.requests.values(),
      tcpMetricSeries: () => added.connections.values(),
      rateLimits: () => added.rateLimits,
      tokenChecks: () => added.tokenChecks,
      rbac: () => added.rbac,
      authorizers: () => added.authorizers,
      routeCounts: () => added.routes,
      limitServices: () => added.limitServices,
    },
    lostLines: added,
    usage: added.usage,
  };
}

/** What two processes have counted that have ended, also of clusters that only one of them had. */
export function addEnded(a: Observation, b: Observation): Observation {
  return addAll([a, b], unite(a.clusters, b.clusters));
}

/** @param clusters those to tell of, with their endpoints */
function addAll(all: readonly Observation[], clusters: readonly ClusterView[]): Observation {
  const [first] = all as readonly [Observation];
  return {
    index: first.index,
    pid: first.pid,
    listeners: first.listeners,
    usage: addValues(all.map(({ usage }) => usage)) as ProcessUsage,
    stats: addStats(all),
    clusters: addClusters(clusters, all),
    requests: addSeries(
      all.flatMap(({ requests }) => requests),
      addRequests,
    ),
    connections: addSeries(
      all.flatMap(({ connections }) => connections),
      addConnections,
    ),
    rateLimits: addCounted(all.flatMap(({ rateLimits }) => rateLimits)),
    tokenChecks: addCounted(all.flatMap(({ tokenChecks }) => tokenChecks)),
    rbac: addCounted(all.flatMap(({ rbac }) => rbac)),
    authorizers: addCounted(all.flatMap(({ authorizers }) => authorizers)),
    routes: addCounted(all.flatMap(({ routes }) => routes)),
    limitServices: addCounted(all.flatMap(({ limitServices }) => limitServices)),
    dropped: addMaps(all.map(({ dropped }) => dropped)),
    auditDropped: addMaps(all.map(({ auditDropped }) => auditDropped)),
  };
}

function sum<T>(list: readonly T[], read: (each: T) => number): number {
  return list.reduce((total, each) => total + read(each), 0);
}

/** Numbers are added, also those of records and lists in it; texts and what else there is are the first one's. */
function addValues(values: readonly unknown[]): unknown {
  const [first] = values;
  if (typeof first === 'number') return sum(values as readonly number[], (value) => value ?? 0);
  if (Array.isArray(first)) {
    return first.map((_, index) => addValues(values.map((value) => (value as readonly unknown[])[index])));
  }
  if (typeof first !== 'object' || first === null) return first;
  const records = values.filter((value) => typeof value === 'object' && value !== null) as Record<string, unknown>[];
  const names = new Set(records.flatMap((record) => Object.keys(record)));
  const added: Record<string, unknown> = {};
  for (const name of names) {
    const own = records.map((record) => record[name]).filter((value) => value !== undefined);
    added[name] = addValues(own);
  }
  return added;
}

function addStats(all: readonly Observation[]): DataPlaneStats {
  const [first] = all as readonly [Observation];
  const added = addValues(all.map(({ stats }) => stats)) as Record<string, unknown>;
  for (const name of OF_THE_FIRST) added[name] = first.stats[name as keyof DataPlaneStats];
  return added as unknown as DataPlaneStats;
}

/** Counters that have the same names are one. */
function addCounted<T extends object>(all: readonly T[]): readonly T[] {
  const byName = new Map<string, T[]>();
  for (const each of all) {
    const names = Object.entries(each).filter(([, value]) => typeof value === 'string');
    const key = JSON.stringify(names.sort(([a], [b]) => (a < b ? -1 : 1)));
    const known = byName.get(key);
    if (known === undefined) byName.set(key, [each]);
    else known.push(each);
  }
  return [...byName.values()].map((same) => (same.length === 1 ? same[0] : addValues(same)) as T);
}

function addListeners(observations: readonly Observation[]): ListenerView[] {
  const [first, ...others] = observations as readonly [Observation, ...Observation[]];
  const of = ({ listeners }: Observation, { name, state }: ListenerView) =>
    sum(
      listeners.filter((other) => other.name === name && other.state === state),
      ({ connections }) => connections,
    );
  return first.listeners.map((listener) => ({
    ...listener,
    connections: listener.connections + sum(others, (other) => of(other, listener)),
  }));
}

function unite(a: readonly ClusterView[], b: readonly ClusterView[]): ClusterView[] {
  const united = new Map(a.map((cluster) => [cluster.name, cluster]));
  for (const cluster of b) {
    const known = united.get(cluster.name);
    const addresses = new Set(known?.endpoints.map(addressOf));
    const more = cluster.endpoints.filter((endpoint) => !addresses.has(addressOf(endpoint)));
    united.set(cluster.name, known === undefined ? cluster : { ...known, endpoints: [...known.endpoints, ...more] });
  }
  return [...united.values()];
}

function addressOf({ address, port }: EndpointView): string {
  return `${address} ${port}`;
}

/** Whether an endpoint can be used, and how many there are, is the first one's view. */
function addClusters(present: readonly ClusterView[], all: readonly Observation[]): ClusterView[] {
  const byName = new Map<string, ClusterView[]>(present.map(({ name }) => [name, []]));
  for (const { clusters } of all) for (const cluster of clusters) byName.get(cluster.name)?.push(cluster);
  return present.map((cluster) => addCluster(cluster, byName.get(cluster.name) as ClusterView[]));
}

function addCluster(cluster: ClusterView, same: readonly ClusterView[]): ClusterView {
  const outliers = same.flatMap((each) => (each.outliers === undefined ? [] : [each.outliers]));
  const health = same.flatMap((each) => (each.health === undefined ? [] : [each.health]));
  const byAddress = new Map<string, EndpointView[]>();
  for (const { endpoints } of same) {
    for (const endpoint of endpoints) {
      const key = addressOf(endpoint);
      const known = byAddress.get(key);
      if (known === undefined) byAddress.set(key, [endpoint]);
      else known.push(endpoint);
    }
  }
  const own = new Set(cluster.endpoints.map(addressOf));
  const others = [...byAddress].flatMap(([key, [first]]) => (own.has(key) || !first?.requested ? [] : [first]));
  return {
    ...cluster,
    rqPending: sum(same, ({ rqPending }) => rqPending),
    counts: addValues(same.map(({ counts }) => counts)) as ClusterView['counts'],
    outliers: cluster.outliers && {
      ...(addValues(outliers) as NonNullable<ClusterView['outliers']>),
      ejectionsActive: cluster.outliers.ejectionsActive,
    },
    health: cluster.health && {
      ...(addValues(health) as NonNullable<ClusterView['health']>),
      healthy: cluster.health.healthy,
    },
    endpoints: [...cluster.endpoints, ...others].map((endpoint) =>
      addEndpoint(endpoint, byAddress.get(addressOf(endpoint)) ?? []),
    ),
  };
}

const ENDPOINT_COUNTERS = [
  'cxActive',
  'cxTotal',
  'cxConnectFail',
  'rqActive',
  'rqTotal',
  'rqSuccess',
  'rqError',
  'rqTimeout',
] as const satisfies readonly (keyof EndpointView)[];

function addEndpoint(endpoint: EndpointView, same: readonly EndpointView[]): EndpointView {
  const counters = ENDPOINT_COUNTERS.map((name) => [name, sum(same, (each) => each[name])] as const);
  return { ...endpoint, ...Object.fromEntries(counters) };
}

/** Series of the same labels and the same rules for them are one. */
function addSeries<T extends Pick<RequestMetricSeries, 'labels' | 'statsConfig'>>(
  all: readonly T[],
  add: (a: T, b: T) => T,
): readonly T[] {
  const configs = new Map<string, unknown>();
  const series = new Map<string, T>();
  for (const each of all) {
    const config = JSON.stringify(each.statsConfig);
    // One object for one configuration: its rules are read once.
    if (!configs.has(config)) configs.set(config, each.statsConfig);
    const own = { ...each, statsConfig: configs.get(config) };
    const key = `${config} ${JSON.stringify(each.labels)}`;
    const known = series.get(key);
    series.set(key, known === undefined ? own : add(known, own));
  }
  return [...series.values()];
}

function addRequests(a: RequestMetricSeries, b: RequestMetricSeries): RequestMetricSeries {
  return {
    ...a,
    requestsTotal: a.requestsTotal + b.requestsTotal,
    requestMessagesTotal: a.requestMessagesTotal + b.requestMessagesTotal,
    responseMessagesTotal: a.responseMessagesTotal + b.responseMessagesTotal,
    durationMs: addHistograms(a.durationMs, b.durationMs),
    requestBytes: addHistograms(a.requestBytes, b.requestBytes),
    responseBytes: addHistograms(a.responseBytes, b.responseBytes),
  };
}

function addHistograms(a: HistogramView, b: HistogramView): HistogramView {
  return {
    count: a.count + b.count,
    sum: a.sum + b.sum,
    buckets: a.buckets.map((count, index) => count + (b.buckets[index] ?? 0)),
  };
}

function addConnections(a: TcpMetricSeries, b: TcpMetricSeries): TcpMetricSeries {
  return {
    ...a,
    openedTotal: a.openedTotal + b.openedTotal,
    closedTotal: a.closedTotal + b.closedTotal,
    sentBytesTotal: a.sentBytesTotal + b.sentBytesTotal,
    receivedBytesTotal: a.receivedBytesTotal + b.receivedBytesTotal,
  };
}

function addMaps(maps: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const added = new Map<string, number>();
  for (const map of maps) for (const [name, value] of map) added.set(name, (added.get(name) ?? 0) + value);
  return added;
}
