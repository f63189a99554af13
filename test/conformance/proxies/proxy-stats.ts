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

/** Where each admin API tells of these and of little else: an Envoy leaves out what was never counted. */
export const STATS_PAGES = {
  envoy: '/stats/prometheus?usedonly&filter=(_rq_|stream_cx_|ssl|no_filter_chain_match)',
  lateen: '/stats/prometheus?filter=envoy_',
} as const;
const SAMPLE = /^(envoy_\w+)\{?([^}]*)\}? (\d+)$/;
/** Where the name of a cluster or listener has dots Envoy takes what follows the first one into the metric's name. */
const OF_CLUSTERS =
  /^envoy_cluster_(?:.+_)?(upstream_(?:rq_(?:total|completed|timeout|per_try_timeout|retry|retry_success|retry_limit_exceeded|retry_overflow|pending_overflow)|cx_(?:connect_fail|none_healthy)))$/;
/** Of connections that are no requests also these. */
const OF_CONNECTIONS =
  /^envoy_(?:cluster_(?:.+_)?(upstream_cx_(?:total|connect_timeout|connect_attempts_exceeded|overflow))|tcp_(?:.+_)?(downstream_cx_(?:total|no_route|rx_bytes_total|tx_bytes_total))|listener_(?:.+_)?(ssl_handshake|ssl_connection_error|ssl_fail_verify_(?:no_cert|error|san|cert_hash)|no_filter_chain_match))$/;
const OF_REQUESTS = /_rq_|^upstream_cx_(?:connect_fail|none_healthy)$/;
const QUIET_MS = 20;
const QUIET_WITHIN_MS = 20_000;
/** Envoy has them once more, by who called and of attempts that were not the last. */
const COUNTED_TWICE = /(?:^envoy_cluster|_)_?(?:internal|external|retry|canary)_upstream_rq/;
const ANSWERS_OF_CLUSTERS = /^envoy_cluster_(?:.+_)?upstream_rq_xx$/;
const OF_LISTENERS = /^envoy_http_(?:.+_)?downstream_rq_xx$/;
/** The proxy's own connections, and its admin API. */
const OWN = /"(xds-grpc|sds-grpc|admin)"/;
const RESPONSE_CLASS = /envoy_response_code_class="(\d)"/;

/** What is counted under a metric's name: `N` stands for the class of the response. Undefined: nothing that is compared. */
function nameOfMetric(metric: string): string | undefined {
  if (COUNTED_TWICE.test(metric)) return undefined;
  if (OF_LISTENERS.test(metric)) return 'downstream_rq_Nxx';
  if (ANSWERS_OF_CLUSTERS.test(metric)) return 'upstream_rq_Nxx';
  return (
    OF_CLUSTERS.exec(metric)?.[1] ??
    OF_CONNECTIONS.exec(metric)
      ?.slice(1)
      .find((name) => name !== undefined)
  );
}

/** Pages have the same few metrics again and again. */
const names = new Map<string, string | undefined>();

function nameOf(metric: string, labels: string): string | undefined {
  if (!names.has(metric)) names.set(metric, nameOfMetric(metric));
  const name = names.get(metric);
  if (name === undefined || OWN.test(labels)) return undefined;
  if (!name.includes('N')) return name;
  const responseClass = RESPONSE_CLASS.exec(labels)?.[1];
  return responseClass && name.replace('N', responseClass);
}

async function readStats(url: string): Promise<Samples> {
  const { body } = await httpGet(url);
  const samples = new Map<string, Sample>();
  for (const line of body.split('\n')) {
    if (!line.startsWith('envoy_')) continue;
    const [, metric = '', labels = '', value = ''] = SAMPLE.exec(line) ?? [];
    const name = nameOf(metric, labels);
    if (name !== undefined) samples.set(`${metric}{${labels}}`, { name, value: Number(value) });
  }
  return samples;
}

/**
 * Reads until nothing is counted for a moment: what is under way is over.
 *
 * @param url the page of the admin API
 */
export async function readQuietStats(url: string): Promise<Samples> {
  const deadline = Date.now() + QUIET_WITHIN_MS;
  for (let before = await readStats(url); ; ) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const after = await readStats(url);
    const counted = countedBetween(before, after);
    if (counted.length === 0) return after;
    if (Date.now() > deadline) throw new Error(`the proxy does not stop counting ${counted[0]?.[0]}`);
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
  return sums(countedBetween(before, after).filter(([, name]) => !/_rq_/.test(name)));
}

/** What was counted between two readings of requests. */
export function statsSince(before: Samples, after: Samples): ProxyStats {
  return sums(countedBetween(before, after).filter(([, name]) => OF_REQUESTS.test(name)));
}

function sums(counted: readonly (readonly [key: string, name: string, counted: number])[]): ProxyStats {
  const stats: Record<string, number> = {};
  for (const [, name, value] of counted) stats[name] = (stats[name] ?? 0) + value;
  return stats;
}

/** Requests that were answered. */
export function answeredIn(stats: ProxyStats): number {
  return Object.entries(stats).reduce(
    (sum, [name, value]) => (name.startsWith('downstream_rq_') ? sum + value : sum),
    0,
  );
}
