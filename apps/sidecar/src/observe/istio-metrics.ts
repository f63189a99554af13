// Metrics: Istio's standard metrics from the data path's series, with the overrides of the Telemetry API applied.

import { ISTIO_HISTOGRAM_BUCKETS, ISTIO_LABELS, ISTIO_METRIC } from '@lateen/telemetry';
import type { HistogramView, RequestMetricSeries, TcpMetricSeries } from '../data-plane.js';
import { formatLabels, type PrometheusText } from './prometheus-text.js';
import { type MetricRules, readMetricRules } from './stats-config.js';
import { evaluateTag, prepareTagExpressions, UNKNOWN } from './tag-expressions.js';

const COUNTERS = [
  {
    name: ISTIO_METRIC.requestsTotal,
    help: 'Requests handled.',
    read: (series: RequestMetricSeries) => series.requestsTotal,
  },
] as const;

/** Of gRPC alone: others have no series of them. */
const MESSAGE_COUNTERS = [
  {
    name: ISTIO_METRIC.requestMessages,
    help: 'Messages of gRPC received from clients.',
    read: (series: RequestMetricSeries) => series.requestMessagesTotal,
  },
  {
    name: ISTIO_METRIC.responseMessages,
    help: 'Messages of gRPC sent to clients.',
    read: (series: RequestMetricSeries) => series.responseMessagesTotal,
  },
] as const;

const TCP_COUNTERS = [
  {
    name: ISTIO_METRIC.tcpOpened,
    help: 'TCP connections opened.',
    read: (series: TcpMetricSeries) => series.openedTotal,
  },
  {
    name: ISTIO_METRIC.tcpClosed,
    help: 'TCP connections closed.',
    read: (series: TcpMetricSeries) => series.closedTotal,
  },
  {
    name: ISTIO_METRIC.tcpSentBytes,
    help: 'Bytes sent to clients over TCP.',
    read: (series: TcpMetricSeries) => series.sentBytesTotal,
  },
  {
    name: ISTIO_METRIC.tcpReceivedBytes,
    help: 'Bytes received from clients over TCP.',
    read: (series: TcpMetricSeries) => series.receivedBytesTotal,
  },
] as const;

const HISTOGRAMS = [
  {
    name: ISTIO_METRIC.requestDuration,
    help: 'Time from the first byte of a request to the last byte of its response, in milliseconds.',
    read: (series: RequestMetricSeries) => series.durationMs,
  },
  {
    name: ISTIO_METRIC.requestBytes,
    help: 'Size of requests on the wire, in bytes.',
    read: (series: RequestMetricSeries) => series.requestBytes,
  },
  {
    name: ISTIO_METRIC.responseBytes,
    help: 'Size of responses on the wire, in bytes.',
    read: (series: RequestMetricSeries) => series.responseBytes,
  },
] as const;

const ALL = [...COUNTERS, ...MESSAGE_COUNTERS, ...TCP_COUNTERS, ...HISTOGRAMS];

const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Writes every standard metric. Series that an override makes equal are added up. */
export async function writeIstioMetrics(
  out: PrometheusText,
  requests: Iterable<RequestMetricSeries>,
  connections: Iterable<TcpMetricSeries> = [],
): Promise<void> {
  if (!ALL.some(({ name }) => out.wants(name))) return;
  const all = [...requests];
  const tcp = [...connections];
  const rules = new RuleCache();
  await prepareTagExpressions(rules.expressions([...all, ...tcp]));
  for (const counter of COUNTERS) writeCounter(out, rules, all, counter);
  const grpc = all.filter(({ labels }) => labels.request_protocol === 'grpc');
  for (const counter of MESSAGE_COUNTERS) writeCounter(out, rules, grpc, counter);
  for (const counter of TCP_COUNTERS) writeCounter(out, rules, tcp, counter);
  for (const { name, help, read } of HISTOGRAMS.filter(({ name }) => out.wants(name))) {
    const totals = new Map<string, HistogramView>();
    for (const series of all) {
      const labels = rules.labels(series, name);
      if (labels !== undefined) totals.set(labels, addHistograms(totals.get(labels), read(series)));
    }
    if (totals.size === 0) continue;
    out.metric(name, 'histogram', help);
    for (const [labels, histogram] of totals) writeHistogram(out, name, labels, histogram);
  }
}

interface CounterOf<Series> {
  readonly name: string;
  readonly help: string;
  readonly read: (series: Series) => number;
}

function writeCounter<Series extends LabelledSeries>(
  out: PrometheusText,
  rules: RuleCache,
  all: readonly Series[],
  { name, help, read }: CounterOf<Series>,
): void {
  if (!out.wants(name)) return;
  const totals = new Map<string, number>();
  for (const series of all) {
    const labels = rules.labels(series, name);
    if (labels !== undefined) totals.set(labels, (totals.get(labels) ?? 0) + read(series));
  }
  if (totals.size === 0) return;
  out.metric(name, 'counter', help);
  for (const [labels, value] of totals) out.sample(name, labels, value);
}

type LabelledSeries = Pick<RequestMetricSeries, 'labels' | 'statsConfig'>;

/** Rules by plugin configuration and metric: many series share one configuration. */
class RuleCache {
  readonly #rules = new Map<unknown, Map<string, MetricRules>>();

  of(statsConfig: unknown, metric: string): MetricRules {
    let byMetric = this.#rules.get(statsConfig);
    if (byMetric === undefined) {
      byMetric = new Map();
      this.#rules.set(statsConfig, byMetric);
    }
    let rules = byMetric.get(metric);
    if (rules === undefined) {
      rules = readMetricRules(statsConfig, metric);
      byMetric.set(metric, rules);
    }
    return rules;
  }

  /** Every CEL expression in use. */
  expressions(all: readonly LabelledSeries[]): Set<string> {
    const expressions = new Set<string>();
    for (const statsConfig of new Set(all.map((series) => series.statsConfig))) {
      for (const { name } of ALL) {
        for (const expression of this.of(statsConfig, name).tagExpressions.values()) expressions.add(expression);
      }
    }
    return expressions;
  }

  /** The label text of a series for a metric; undefined where the metric is dropped. */
  labels(series: LabelledSeries, metric: string): string | undefined {
    const { dropped, tagsToRemove, tagExpressions } = this.of(series.statsConfig, metric);
    if (dropped) return undefined;
    const labels: [string, string][] = [];
    for (const label of ISTIO_LABELS) {
      if (tagsToRemove.has(label) || series.labels[label] === undefined) continue;
      const expression = tagExpressions.get(label);
      const value = expression === undefined ? series.labels[label] : evaluateTag(expression, series.labels);
      labels.push([label, value ?? UNKNOWN]);
    }
    for (const [label, expression] of tagExpressions) {
      if ((ISTIO_LABELS as readonly string[]).includes(label) || !LABEL_NAME.test(label)) continue;
      labels.push([label, evaluateTag(expression, series.labels)]);
    }
    return formatLabels(labels);
  }
}

function addHistograms(a: HistogramView | undefined, b: HistogramView): HistogramView {
  if (a === undefined) return b;
  return {
    count: a.count + b.count,
    sum: a.sum + b.sum,
    buckets: b.buckets.map((count, index) => count + (a.buckets[index] ?? 0)),
  };
}

function writeHistogram(out: PrometheusText, name: string, labels: string, histogram: HistogramView): void {
  ISTIO_HISTOGRAM_BUCKETS.forEach((bound, index) => {
    out.sample(`${name}_bucket`, `${labels},le="${bound}"`, histogram.buckets[index] ?? 0);
  });
  out.sample(`${name}_bucket`, `${labels},le="+Inf"`, histogram.count);
  out.sample(`${name}_sum`, labels, histogram.sum);
  out.sample(`${name}_count`, labels, histogram.count);
}
