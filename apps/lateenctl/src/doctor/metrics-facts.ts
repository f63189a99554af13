// Doctor: a proxy's Prometheus text → how long requests take, and what clusters count.

import type { LatencyFacts, RequestTimes } from './facts.js';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples of the exposition format; lines that are none are left out. */
export function parseMetrics(text: string): Sample[] {
  return text.split('\n').flatMap((line): Sample[] => {
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, key, text_]) => [key!, text_!.replace(/\\(.)/g, '$1')] as const,
    );
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

const HISTOGRAM = 'istio_request_duration_milliseconds';
const COUNTED =
  /^envoy_cluster_(upstream_rq_retry|upstream_rq_pending_overflow|upstream_cx_overflow|upstream_cx_connect_fail|upstream_rq_timeout|outlier_detection_ejections_active)$/;

/** What a proxy's `/stats/prometheus` says of times and failures. */
export function latencyFacts(text: string): LatencyFacts {
  const samples = parseMetrics(text);
  const of = (reporter: string) => samples.filter(({ labels }) => labels.reporter === reporter);
  const services = [
    ...new Set(
      of('source').flatMap(({ name, labels }) =>
        name === `${HISTOGRAM}_count` ? (labels.destination_service ?? []) : [],
      ),
    ),
  ];
  return {
    served: requestTimes(of('destination')),
    called: services.flatMap((service) => {
      const times = requestTimes(of('source').filter(({ labels }) => labels.destination_service === service));
      return times === undefined ? [] : [{ service, ...times }];
    }),
    counters: samples.flatMap(({ name, labels, value }) => {
      const counter = COUNTED.exec(name)?.[1];
      if (counter === undefined || value <= 0) return [];
      return [
        {
          cluster: labels.envoy_cluster_name ?? labels.cluster_name ?? '',
          name: counter.replace('outlier_detection_', ''),
          value,
        },
      ];
    }),
  };
}

function requestTimes(samples: readonly Sample[]): RequestTimes | undefined {
  const sum = (name: string, chosen: (sample: Sample) => boolean = () => true) =>
    samples.filter((sample) => sample.name === name && chosen(sample)).reduce((total, { value }) => total + value, 0);
  const requests = sum(`${HISTOGRAM}_count`);
  if (requests === 0) return undefined;
  const buckets = new Map<number, number>();
  for (const { name, labels, value } of samples) {
    if (name !== `${HISTOGRAM}_bucket`) continue;
    const le = Number(labels.le === '+Inf' ? Number.POSITIVE_INFINITY : labels.le);
    buckets.set(le, (buckets.get(le) ?? 0) + value);
  }
  const bounds = [...buckets].sort(([a], [b]) => a - b);
  const p99Ms = bounds.find(([, count]) => count >= 0.99 * requests)?.[0] ?? Number.POSITIVE_INFINITY;
  const failed = sum(
    'istio_requests_total',
    ({ labels }) => (labels.response_code ?? '').startsWith('5') || labels.response_code === '0',
  );
  return { requests, failed, meanMs: sum(`${HISTOGRAM}_sum`) / requests, p99Ms };
}
