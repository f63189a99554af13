// Observe: Pilot's metrics, under the names that Istio's dashboards know.

import { PILOT_METRIC } from '@lateen/telemetry';
import type { TranslationCache } from '@lateen/translate';
import { shortTypeName } from '@lateen/xds-proto';
import type { AdsEvents, AdsSubscriber } from '@lateen/xds-stream';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { SecretStanding, SecretState } from '../kubernetes/secret-watches.js';
import type { ProxyStatus } from '../push/proxy-source.js';
import type { PublishedSnapshot } from '../snapshot/snapshot-builder.js';

/** Bounds of Istio's own histograms of push and convergence time, in seconds. */
const PUSH_BUCKETS_SECONDS = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

export interface PilotMetricsSources {
  readonly cache: TranslationCache;
  readonly snapshot: () => PublishedSnapshot | undefined;
  /** How the connected proxies stand. */
  readonly proxies: () => readonly ProxyStatus[];
  /** How the Secrets stand that configuration names; none in local mode. */
  readonly secrets?: () => readonly SecretStanding[];
}

export interface PilotMetrics {
  readonly registry: Registry;
  /** To be handed to the ADS services. */
  readonly adsEvents: AdsEvents;
  observeTranslation(elapsedMs: number): void;
}

/** Version of the proxy's software, from its node metadata: a label of `pilot_xds`. */
export function proxyVersion({ node }: AdsSubscriber): string {
  const version = node.metadata?.LATEEN_VERSION ?? node.metadata?.ISTIO_VERSION;
  return typeof version === 'string' && version !== '' ? version : 'unknown';
}

/** Istio writes the types in lower case: "cds". */
function typeLabel(typeUrl: string): string {
  return shortTypeName(typeUrl).toLowerCase();
}

export function createPilotMetrics({ cache, snapshot, proxies, secrets }: PilotMetricsSources): PilotMetrics {
  const registry = new Registry();
  const registers = [registry];
  const connected = new Gauge({
    name: PILOT_METRIC.connectedProxies,
    help: 'Proxies connected over xDS',
    labelNames: ['version'],
    registers,
  });
  const pushes = new Counter({
    name: PILOT_METRIC.pushes,
    help: 'xDS responses sent',
    labelNames: ['type'],
    registers,
  });
  const pushTime = new Histogram({
    name: PILOT_METRIC.pushTime,
    help: 'Seconds from taking up a snapshot for a proxy, translation included, to sending the response of a type',
    labelNames: ['type'],
    buckets: PUSH_BUCKETS_SECONDS,
    registers,
  });
  const convergence = new Histogram({
    name: PILOT_METRIC.convergenceTime,
    help: 'Seconds from a change until a proxy has acknowledged all of it',
    buckets: PUSH_BUCKETS_SECONDS,
    registers,
  });
  const rejects = new Counter({
    name: PILOT_METRIC.rejects,
    help: 'xDS responses that a proxy rejected',
    labelNames: ['type'],
    registers,
  });
  new Gauge({
    name: PILOT_METRIC.services,
    help: 'Services known to Pilot',
    registers,
    collect() {
      this.set(snapshot()?.mesh.services.length ?? 0);
    },
  });
  for (const name of [PILOT_METRIC.conflictInboundListener, PILOT_METRIC.conflictOutboundListener]) {
    new Gauge({
      name,
      help: 'Listener conflicts in the newest snapshot, as the connected proxies see it',
      registers,
      collect() {
        this.set(countProblems(name, proxies()));
      },
    });
  }
  if (secrets !== undefined) {
    new Gauge({
      name: 'pilot_gateway_secrets',
      help: 'Secrets that configuration names, by what the API server says of them; those that need not be there left out',
      labelNames: ['state'],
      registers,
      collect() {
        const states: readonly SecretState[] = ['waiting', 'found', 'absent', 'refused', 'unreachable'];
        const named = secrets().filter(({ optional }) => !optional);
        for (const state of states) this.set({ state }, named.filter((each) => each.state === state).length);
      },
    });
  }
  const translation = new Histogram({
    name: 'pilot_xds_translation_time',
    help: 'Seconds to translate for one proxy, what the cache knows included',
    buckets: [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1],
    registers,
  });
  new Counter({
    name: 'pilot_xds_cache_reads',
    help: 'Lookups in the translation cache: of the parts of which the resources of a proxy consist',
    labelNames: ['type'],
    registers,
    collect() {
      this.reset();
      const { hits, misses } = cache.counts;
      this.inc({ type: 'hit' }, hits);
      this.inc({ type: 'miss' }, misses);
    },
  });
  new Counter({
    name: 'pilot_xds_resources_built_total',
    help: 'Resources that had to be built, since none of the proxies had the same before',
    labelNames: ['type'],
    registers,
    collect() {
      this.reset();
      for (const [typeUrl, count] of cache.counts.built) this.inc({ type: typeLabel(typeUrl) }, count);
    },
  });
  new Gauge({
    name: 'pilot_xds_cache_size',
    help: 'Built resources held in the translation cache',
    registers,
    collect() {
      this.set(cache.counts.resources);
    },
  });

  return {
    registry,
    adsEvents: {
      onConnect: (client) => connected.inc({ version: proxyVersion(client) }),
      onDisconnect: (client) => connected.dec({ version: proxyVersion(client) }),
      onSent: ({ typeUrl, pushMs }) => {
        const type = typeLabel(typeUrl);
        pushes.inc({ type });
        if (pushMs !== undefined) pushTime.observe({ type }, pushMs / 1000);
      },
      onNack: ({ typeUrl }) => rejects.inc({ type: typeLabel(typeUrl) }),
      onConverged: (_client, _snapshot, elapsedMs) => convergence.observe(elapsedMs / 1000),
    },
    observeTranslation: (elapsedMs) => translation.observe(elapsedMs / 1000),
  };
}

/** Distinct problems that a metric counts; proxies that share a problem count it once. */
function countProblems(metric: string, proxies: readonly ProxyStatus[]): number {
  const distinct = new Set<string>();
  for (const { problems } of proxies) {
    for (const problem of problems)
      if (problem.metric === metric) distinct.add(`${problem.subject} ${problem.message}`);
  }
  return distinct.size;
}
