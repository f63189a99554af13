// Demo check, acceptance line 6: both reporters of one request agree, and the Telemetry override is seen.

import { type Check, require, until } from './check.js';
import { call } from './http-call.js';
import type { PodSeen } from './mesh-under-test.js';
import { type MetricSample, parsePrometheusText } from './prometheus-text.js';

const METRICS_PORT = 15020;
const SCRAPE_LIMIT_MS = 5000;
/** What the two reporters see differently, by definition. */
const OWN_LABELS = new Set(['reporter', 'connection_security_policy']);
const COUNTED = ['istio_requests_total', 'istio_request_duration_milliseconds_count'] as const;

export const metricsChecks: readonly Check[] = [
  {
    line: 6,
    name: 'metrics of both reporters for one request agree, with destination_service="reviews"',
    run: async (mesh) => {
      const [client] = await mesh.pods('productpage-v1');
      const servers = await mesh.pods('reviews-v1');
      const url = `${await mesh.serviceUrl('reviews')}/reviews/0`;
      const before = await scrapeBoth(client!, servers);
      const { status } = await call(url);
      require(status === 200, `${url} answers ${status}`);

      let labelCount = 0;
      for (const metric of COUNTED) {
        const { value } = await until(SCRAPE_LIMIT_MS, async () => {
          const after = await scrapeBoth(client!, servers);
          return {
            source: theOneNew(before.source, after.source, metric, 'source'),
            destination: theOneNew(before.destination, after.destination, metric, 'destination'),
          };
        });
        expectAgreement(metric, value.source, value.destination);
        labelCount = Object.keys(value.source).length;
      }
      return `${COUNTED.join(' and ')}, ${labelCount} labels`;
    },
  },
];

interface Scrapes {
  readonly source: readonly MetricSample[];
  readonly destination: readonly MetricSample[];
}

async function scrapeBoth(client: PodSeen, servers: readonly PodSeen[]): Promise<Scrapes> {
  const scrapes = await Promise.all(servers.map(scrape));
  return { source: await scrape(client), destination: scrapes.flat() };
}

async function scrape(pod: PodSeen): Promise<MetricSample[]> {
  const { status, body } = await call(`http://${pod.address}:${METRICS_PORT}/stats/prometheus`);
  require(status === 200, `the metrics of ${pod.name} answer ${status}`);
  return parsePrometheusText(body);
}

/** Labels of the one series that counts the request: by one more than before, and no other series of reviews moved. */
function theOneNew(
  before: readonly MetricSample[],
  after: readonly MetricSample[],
  metric: string,
  reporter: string,
): Readonly<Record<string, string>> {
  const ofReviews = ({ name, labels }: MetricSample) =>
    name === metric && labels.reporter === reporter && labels.destination_workload === 'reviews-v1';
  const key = ({ labels }: MetricSample) => JSON.stringify(Object.entries(labels).sort());
  const old = new Map(before.filter(ofReviews).map((sample) => [key(sample), sample.value]));
  const moved = after.filter(ofReviews).filter((sample) => sample.value !== (old.get(key(sample)) ?? 0));
  const [sample] = moved;
  require(sample !== undefined, `${metric}: the ${reporter} has not counted the request`);
  const growth = sample.value - (old.get(key(sample)) ?? 0);
  require(moved.length === 1 &&
    growth === 1, `${metric}: the ${reporter} counted ${moved.length} series, by ${growth}`);
  return sample.labels;
}

function expectAgreement(
  metric: string,
  source: Readonly<Record<string, string>>,
  destination: Readonly<Record<string, string>>,
): void {
  const names = new Set([...Object.keys(source), ...Object.keys(destination)]);
  const differing = [...names].filter((name) => !OWN_LABELS.has(name) && source[name] !== destination[name]);
  const list = differing.map((name) => `${name}: "${source[name]}" and "${destination[name]}"`).join(', ');
  require(differing.length === 0, `${metric}: source and destination differ in ${list}`);
  require(source.destination_service ===
    'reviews', `${metric}: destination_service is "${source.destination_service}"`);
  require(destination.connection_security_policy === 'mutual_tls' &&
    source.connection_security_policy ===
      'unknown', `${metric}: connection_security_policy is "${source.connection_security_policy}" at the source, ` +
    `"${destination.connection_security_policy}" at the destination`);
}
