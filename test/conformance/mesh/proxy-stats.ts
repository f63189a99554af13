// Conformance, step 5: what a proxy has counted, under the names that Envoy and Lateen share, summed over listeners and clusters.

import { httpGet } from '../../harness/http-get.js';

/** Counters by name: `upstream_rq_total`, `downstream_rq_2xx`, … */
export type ProxyStats = Readonly<Record<string, number>>;

interface Sample {
  readonly name: string;
  readonly value: number;
}

/** By metric and labels. */
export type Samples = ReadonlyMap<string, Sample>;

const SAMPLE = /^(envoy_\w+)\{?([^}]*)\}? (\d+)$/;
/** Where the name of a cluster or listener has dots Envoy takes what follows the first one into the metric's name. */
const OF_CLUSTERS =
  /^envoy_cluster_(?:.+_)?(upstream_(?:rq_(?:total|completed|timeout|per_try_timeout|retry|retry_success|retry_limit_exceeded|retry_overflow|pending_overflow)|cx_(?:connect_fail|none_healthy)))$/;
/** Of connections that are no requests also these. */
const OF_CONNECTIONS =
  /^envoy_(?:cluster_(?:.+_)?(upstream_cx_(?:total|connect_timeout|connect_attempts_exceeded|overflow))|tcp_(?:.+_)?(downstream_cx_(?:total|no_route|rx_bytes_total|tx_bytes_total))|listener_(?:.+_)?(ssl_handshake|ssl_connection_error|ssl_fail_verify_(?:no_cert|error|san|cert_hash)|no_filter_chain_match))$/;
const OF_REQUESTS = /_rq_|^upstream_cx_(?:connect_fail|none_healthy)$/;
const QUIET_MS = 25;
/** Envoy has them once more, by who called and of attempts that were not the last. */
const COUNTED_TWICE = /(?:^envoy_cluster|_)_?(?:internal|external|retry|canary)_upstream_rq/;
const ANSWERS_OF_CLUSTERS = /^envoy_cluster_(?:.+_)?upstream_rq_xx$/;
const OF_LISTENERS = /^envoy_http_(?:.+_)?downstream_rq_xx$/;
/** The proxy's own connections, and its admin API. */
const OWN = /"(xds-grpc|sds-grpc|admin)"/;

function nameOf(metric: string, labels: string): string | undefined {
  const responseClass = /envoy_response_code_class="(\d)"/.exec(labels)?.[1];
  if (COUNTED_TWICE.test(metric)) return undefined;
  if (responseClass !== undefined && OF_LISTENERS.test(metric)) return `downstream_rq_${responseClass}xx`;
  if (responseClass !== undefined && ANSWERS_OF_CLUSTERS.test(metric)) return `upstream_rq_${responseClass}xx`;
  return (
    OF_CLUSTERS.exec(metric)?.[1] ??
    OF_CONNECTIONS.exec(metric)
      ?.slice(1)
      .find((name) => name !== undefined)
  );
}

/** Reads `/stats/prometheus` of an admin API. */
export async function readStats(adminPort: number): Promise<Samples> {
  const { body } = await httpGet(`http://127.0.0.1:${adminPort}/stats/prometheus`);
  const samples = new Map<string, Sample>();
  for (const line of body.split('\n')) {
    const [, metric = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
    const name = OWN.test(labels) ? undefined : nameOf(metric, labels);
    if (name !== undefined) samples.set(`${metric}{${labels}}`, { name, value: Number(value) });
  }
  return samples;
}

/** Which cluster a metric is of; undefined for those of listeners. */
function clusterOf(key: string): string | undefined {
  const [, prefix, labels = ''] = /^(envoy_cluster_(?:.+_)?)upstream_[^{]*\{(.*)\}$/.exec(key) ?? [];
  const name = /cluster_name="([^"]*)"/.exec(labels)?.[1];
  return prefix === undefined ? undefined : `${prefix} ${name}`;
}

/** Reads until nothing changes: connections by which listeners were tried are over. */
export async function readQuietStats(adminPort: number): Promise<Samples> {
  for (let before = await readStats(adminPort); ; ) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const after = await readStats(adminPort);
    if (countedBetween(before, after).length === 0) return after;
    before = after;
  }
}

function countedBetween(before: Samples, after: Samples): [key: string, name: string, counted: number][] {
  return [...after].flatMap(([key, { name, value }]) => {
    const counted = value - (before.get(key)?.value ?? 0);
    return counted > 0 ? [[key, name, counted]] : [];
  });
}

/** What was counted between two readings of connections that are no requests. Envoy counts them as requests of a cluster too. */
export function connectionStatsSince(before: Samples, after: Samples): ProxyStats {
  const stats: Record<string, number> = {};
  for (const [, name, counted] of countedBetween(before, after)) {
    if (!/_rq_/.test(name)) stats[name] = (stats[name] ?? 0) + counted;
  }
  return stats;
}

/**
 * What was counted between two readings of requests. Counters of what was there before may have gone meanwhile. A cluster of which nothing
 * but `upstream_rq_total` has changed had no request but a TCP connection, which Envoy counts there as well: one by which it
 * was tried whether a listener accepts any, and which is counted some time later.
 */
export function statsSince(before: Samples, after: Samples): ProxyStats {
  const stats: Record<string, number> = {};
  const connections = new Map<string, number>();
  const withRequests = new Set<string>();
  for (const [key, name, counted] of countedBetween(before, after)) {
    if (!OF_REQUESTS.test(name)) continue;
    const cluster = clusterOf(key);
    if (cluster !== undefined) {
      if (name === 'upstream_rq_total') connections.set(cluster, counted);
      else withRequests.add(cluster);
    }
    stats[name] = (stats[name] ?? 0) + counted;
  }
  for (const [cluster, counted] of connections) {
    if (!withRequests.has(cluster)) stats.upstream_rq_total! -= counted;
  }
  if (stats.upstream_rq_total === 0) delete stats.upstream_rq_total;
  return stats;
}

/** Requests that were answered. */
export function answeredIn(stats: ProxyStats): number {
  return Object.entries(stats).reduce(
    (sum, [name, value]) => (name.startsWith('downstream_rq_') ? sum + value : sum),
    0,
  );
}
