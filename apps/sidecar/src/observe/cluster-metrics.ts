// Metrics: those of clusters, under Envoy's names.

import type { DataPlane } from '../data-plane.js';
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

export function writeClusters(out: PrometheusText, dataPlane: DataPlane): void {
  const clusters = dataPlane.clusters().map(({ name, endpoints, rqPending, counts }) => {
    const sum = (read: (endpoint: (typeof endpoints)[number]) => number) =>
      endpoints.reduce((total, endpoint) => total + read(endpoint), 0);
    return { name, labels: formatLabels([['cluster_name', name]]), endpoints, rqPending, counts, sum };
  });
  type ClusterSums = (typeof clusters)[number];
  const METRICS: readonly (readonly [string, MetricType, string, (cluster: ClusterSums) => number])[] = [
    ['envoy_cluster_membership_total', 'gauge', 'Endpoints.', ({ endpoints }) => endpoints.length],
    [
      'envoy_cluster_membership_healthy',
      'gauge',
      'Healthy endpoints.',
      ({ sum }) => sum(({ healthy, ejected, failing }) => Number(healthy && !ejected && !failing)),
    ],
    ['envoy_cluster_upstream_cx_total', 'counter', 'Connections opened.', ({ sum }) => sum(({ cxTotal }) => cxTotal)],
    ['envoy_cluster_upstream_cx_active', 'gauge', 'Open connections.', ({ sum }) => sum(({ cxActive }) => cxActive)],
    [
      'envoy_cluster_upstream_cx_connect_fail',
      'counter',
      'Connections that failed.',
      ({ sum }) => sum(({ cxConnectFail }) => cxConnectFail),
    ],
    ['envoy_cluster_upstream_rq_total', 'counter', 'Requests sent.', ({ sum }) => sum(({ rqTotal }) => rqTotal)],
    ['envoy_cluster_upstream_rq_active', 'gauge', 'Requests in flight.', ({ sum }) => sum(({ rqActive }) => rqActive)],
    ['envoy_cluster_upstream_rq_pending_active', 'gauge', 'Requests that wait.', ({ rqPending }) => rqPending],
    ...COUNTED.map(
      ([name, help, read]) =>
        [`envoy_cluster_${name}`, 'counter', help, ({ counts }: ClusterSums) => read(counts)] as const,
    ),
  ];
  for (const [name, type, help, read] of METRICS) {
    out.metric(name, type, help);
    for (const cluster of clusters) out.sample(name, cluster.labels, read(cluster));
  }
  out.metric('envoy_cluster_upstream_rq_xx', 'counter', 'Answers by class of their status.');
  for (const { name, counts } of clusters) {
    counts.classes.forEach((value, digit) => {
      const labels = formatLabels([
        ['cluster_name', name],
        ['envoy_response_code_class', String(digit)],
      ]);
      if (value > 0) out.sample('envoy_cluster_upstream_rq_xx', labels, value);
    });
  }
}
