// Metrics: those of clusters, under Envoy's names.

import type { ClusterView, DataPlaneViews, EndpointView } from '../data-plane.js';
import type { ClusterCounts } from './cluster-counts.js';
import { formatLabels, type MetricType, type PrometheusText } from './prometheus-text.js';

const answered = ({ classes }: Readonly<ClusterCounts>) => classes.reduce((sum, count) => sum + count, 0);

const COUNTED: readonly (readonly [string, string, (counts: Readonly<ClusterCounts>) => number])[] = [
  ['upstream_rq_completed', 'Requests that were answered.', answered],
  ['upstream_rq_retry', 'Attempts after the first.', ({ retry }) => retry],
  ['upstream_rq_retry_success', 'Requests answered after a retry.', ({ retrySuccess }) => retrySuccess],
  ['upstream_rq_retry_limit_exceeded', 'Failed after all retries.', ({ retryLimitExceeded }) => retryLimitExceeded],
  ['upstream_rq_retry_overflow', 'Not tried again: too many were.', ({ retryOverflow }) => retryOverflow],
  ['upstream_rq_timeout', 'Requests that exceeded their time.', ({ timeout }) => timeout],
  ['upstream_rq_per_try_timeout', 'Attempts that exceeded their time.', ({ perTryTimeout }) => perTryTimeout],
  ['upstream_rq_pending_overflow', 'Refused by a limit of the cluster.', ({ pendingOverflow }) => pendingOverflow],
  ['upstream_cx_none_healthy', 'Requests that no endpoint was there for.', ({ noneHealthy }) => noneHealthy],
  ['upstream_cx_overflow', 'TCP refused by a limit of the cluster.', ({ connectionOverflow }) => connectionOverflow],
  ['upstream_cx_connect_timeout', 'Connections not opened in time.', ({ connectTimeout }) => connectTimeout],
  ['upstream_cx_connect_attempts_exceeded', 'TCP given up.', (counts) => counts.connectAttemptsExceeded],
];

/** Clusters by the name under which they are counted, which several may share. */
export function clustersByStatName(dataPlane: DataPlaneViews): ReadonlyMap<string, readonly ClusterView[]> {
  const byName = new Map<string, ClusterView[]>();
  for (const cluster of dataPlane.clusters()) {
    const sharing = byName.get(cluster.statName);
    if (sharing === undefined) byName.set(cluster.statName, [cluster]);
    else sharing.push(cluster);
  }
  return byName;
}

export function sumOf<T>(values: readonly T[], read: (value: T) => number): number {
  return values.reduce((total, value) => total + read(value), 0);
}

const ofEndpoints = (read: (endpoint: EndpointView) => number) => (cluster: ClusterView) =>
  sumOf(cluster.endpoints, read);

const METRICS: readonly (readonly [string, MetricType, string, (cluster: ClusterView) => number])[] = [
  ['membership_total', 'gauge', 'Endpoints.', ({ endpoints }) => endpoints.length],
  [
    'membership_healthy',
    'gauge',
    'Healthy endpoints.',
    ofEndpoints(({ healthy, ejected, failing }) => Number(healthy && !ejected && !failing)),
  ],
  ['upstream_cx_total', 'counter', 'Connections opened.', ofEndpoints(({ cxTotal }) => cxTotal)],
  ['upstream_cx_active', 'gauge', 'Open connections.', ofEndpoints(({ cxActive }) => cxActive)],
  [
    'upstream_cx_connect_fail',
    'counter',
    'Connections that failed.',
    ofEndpoints(({ cxConnectFail }) => cxConnectFail),
  ],
  ['upstream_rq_total', 'counter', 'Requests sent.', ofEndpoints(({ rqTotal }) => rqTotal)],
  ['upstream_rq_active', 'gauge', 'Requests in flight.', ofEndpoints(({ rqActive }) => rqActive)],
  ['upstream_rq_pending_active', 'gauge', 'Requests that wait.', ({ rqPending }) => rqPending],
  ...COUNTED.map(([name, help, read]) => [name, 'counter', help, ({ counts }: ClusterView) => read(counts)] as const),
];

export function writeClusters(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const clusters = [...clustersByStatName(dataPlane)].map(([name, sharing]) => {
    return { name, labels: formatLabels([['cluster_name', name]]), sharing };
  });
  for (const [name, type, help, read] of METRICS) {
    const metric = `envoy_cluster_${name}`;
    out.metric(metric, type, help);
    for (const { labels, sharing } of clusters) out.sample(metric, labels, sumOf(sharing, read));
  }
  out.metric('envoy_cluster_upstream_rq_xx', 'counter', 'Answers by class of their status.');
  for (const { name, sharing } of clusters) {
    for (let digit = 0; digit < 6; digit++) {
      const value = sumOf(sharing, ({ counts }) => counts.classes[digit]!);
      const labels = formatLabels([
        ['cluster_name', name],
        ['envoy_response_code_class', String(digit)],
      ]);
      if (value > 0) out.sample('envoy_cluster_upstream_rq_xx', labels, value);
    }
  }
}
