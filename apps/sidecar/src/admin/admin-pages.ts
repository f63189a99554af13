// Admin API: the pages, by path, in the order in which /help lists them.

import { LOG_LEVELS, type Logger, type LogLevel } from '@lateen/telemetry';
import { TYPE_URL } from '@lateen/xds-proto';
import type { AdsSession } from '../config/ads-session.js';
import type { SidecarBootstrap } from '../config/bootstrap.js';
import type { FileSources } from '../config/files/file-sources.js';
import type { ConfigStore } from '../config/store/config-store.js';
import type { DnsCapture } from '../dns/dns-capture.js';
import { writeDnsMetrics } from '../dns/dns-metrics.js';
import type { OwnIdentity } from '../identity/own-identity.js';
import { writeIstioMetrics } from '../observe/istio-metrics.js';
import { PROMETHEUS_CONTENT_TYPE, PrometheusText } from '../observe/prometheus-text.js';
import { writeSidecarMetrics } from '../observe/sidecar-metrics.js';
import type { RunningProxy } from '../workers/create-proxy.js';
import type { Seen } from '../workers/observation.js';
import { certsJson } from './certs-page.js';
import { clustersJson, clustersText } from './clusters-page.js';
import { buildConfigDump } from './config-dump.js';
import { jsonAnswer, type Page, type PageAnswer, TEXT } from './http-page.js';
import { listenersJson, listenersText } from './listeners-page.js';

export interface AdminSources {
  readonly bootstrap: SidecarBootstrap;
  readonly store: ConfigStore;
  readonly session: AdsSession | undefined;
  readonly files: Pick<FileSources, 'statuses'>;
  readonly proxy: RunningProxy;
  readonly identity: OwnIdentity | undefined;
  /** What is still missing, or undefined when requests are served. */
  readonly notReadyReason: () => string | undefined;
  readonly dns?: DnsCapture | undefined;
  readonly logger: Logger;
  readonly version: string;
  readonly startedMs: number;
  readonly onQuit: () => void;
}

export function createAdminPages(sources: AdminSources): Map<string, Page> {
  const { store, proxy, session, logger } = sources;
  const get = (help: string, answer: Page['answer']): Page => ({ method: 'GET', help, answer });
  const post = (help: string, answer: Page['answer']): Page => ({ method: 'POST', help, answer });
  const asJson = (query: URLSearchParams) => query.get('format') === 'json';
  const prometheus = get(
    'metrics in the Prometheus text format; ?filter=TEXT keeps those whose name holds it',
    (query) => metricsAnswer(sources, query.get('filter') ?? ''),
  );
  const pages = new Map<string, Page>([
    ['/certs', get('certificates in use', () => jsonAnswer(certsJson(store.secrets)))],
    [
      '/clusters',
      get('clusters with their endpoints; ?format=json', async (query) => {
        const clusters = (await proxy.see()).dataPlane.clusters();
        return asJson(query)
          ? jsonAnswer(clustersJson(clusters, (name) => store.accepted[TYPE_URL.cluster].has(name)))
          : { body: clustersText(clusters) };
      }),
    ],
    [
      '/config_dump',
      get('the configuration; ?include_eds adds endpoints', (query) =>
        jsonAnswer(
          buildConfigDump(
            { ...sources, statuses: [...(session?.statuses ?? []), ...sources.files.statuses] },
            query.has('include_eds'),
          ),
        ),
      ),
    ],
    [
      '/drain_listeners',
      post('stops accepting; ?graceful asks clients to leave first', (query) => {
        // Gracefully or not, requests in flight end in their time; without it, new connections are refused at once.
        logger.info({ graceful: query.has('graceful') }, 'listeners drain, as asked by the admin API');
        proxy.dataPlane.drainListeners();
        return { body: 'OK\n' };
      }),
    ],
    [
      '/listeners',
      get('addresses that are bound, and why others are not; ?format=json', async (query) => {
        const listeners = (await proxy.see()).dataPlane.listeners();
        return asJson(query)
          ? jsonAnswer(listenersJson(listeners, store.unbound))
          : { body: listenersText(listeners, store.unbound) };
      }),
    ],
    ['/logging', post('tells the log level, or sets it: ?level=LEVEL', (query) => logging(sources, query))],
    [
      '/quitquitquit',
      post('ends the process, gracefully', () => {
        setImmediate(sources.onQuit);
        return { body: 'OK\n' };
      }),
    ],
    ['/ready', get('200 when requests are served', () => readyAnswer(sources.notReadyReason()))],
    ['/server_info', get('version, state, node', async () => jsonAnswer(serverInfo(sources, await proxy.see())))],
    [
      '/stats',
      get('metrics; ?format=prometheus, ?filter=TEXT keeps the names that hold it', (query) =>
        statsAnswer(sources, query),
      ),
    ],
    ['/stats/prometheus', prometheus],
  ]);
  pages.set(
    '/help',
    get('this list', () => ({
      body: [...pages].map(([path, page]) => `${path} (${page.method}): ${page.help}\n`).join(''),
    })),
  );
  return pages;
}

export function readyAnswer(reason: string | undefined): PageAnswer {
  return reason === undefined ? { body: 'LIVE\n' } : { status: 503, body: `PRE_INITIALIZING: ${reason}\n` };
}

/** @param filter text in the names of the metrics that are wanted */
export async function metricsAnswer(sources: AdminSources, filter = ''): Promise<PageAnswer> {
  const out = new PrometheusText(filter);
  const seen = await sources.proxy.see();
  await writeIstioMetrics(out, seen.dataPlane.metricSeries(), seen.dataPlane.tcpMetricSeries());
  writeSidecarMetrics(out, {
    ...seen,
    identity: sources.identity,
    ads: sources.session,
    startedMs: sources.startedMs,
  });
  if (sources.dns !== undefined) writeDnsMetrics(out, sources.dns);
  return { type: PROMETHEUS_CONTENT_TYPE, body: out.toString() };
}

/** Samples alone, `NAME{LABELS}: VALUE`. */
async function statsAnswer(sources: AdminSources, query: URLSearchParams): Promise<PageAnswer> {
  const answer = await metricsAnswer(sources);
  if (query.get('format') === 'prometheus') return answer;
  const filter = query.get('filter') ?? '';
  const lines = answer.body.split('\n').filter((line) => line !== '' && !line.startsWith('#') && line.includes(filter));
  return { type: TEXT, body: lines.map((line) => `${line.replace(/ (\S+)$/, ': $1')}\n`).join('') };
}

/** As Envoy answers, with one logger for all: without a query it only tells the level. */
function logging({ logger, proxy }: AdminSources, query: URLSearchParams): PageAnswer {
  const level = query.get('level');
  const isKnown = (text: string): text is LogLevel => (LOG_LEVELS as readonly string[]).includes(text);
  if (level !== null && isKnown(level)) {
    logger.level = level;
    proxy.setLogLevel(level);
  } else if (query.size > 0) {
    return {
      status: 400,
      body: `expected ?level= and one of ${LOG_LEVELS.join(', ')}; the level is ${logger.level}\n`,
    };
  }
  return { body: `active loggers:\n  sidecar: ${logger.level}\n` };
}

function serverInfo(sources: AdminSources, { workers }: Seen): unknown {
  const { bootstrap, version, notReadyReason, startedMs, identity, session, store, proxy } = sources;
  const { id, cluster } = bootstrap.node;
  return {
    version,
    state: notReadyReason() === undefined ? 'LIVE' : 'PRE_INITIALIZING',
    uptime_current_epoch: `${Math.floor((Date.now() - startedMs) / 1000)}s`,
    node: { id, cluster },
    control_plane: session === undefined ? undefined : { connected: session.connected },
    identity:
      identity === undefined
        ? undefined
        : {
            spiffe_id: identity.current?.spiffeId,
            serial_number: identity.current?.serial.toLowerCase(),
            expires: identity.current?.notAfter.toISOString(),
            renews_at: identity.status.renewsAt?.toISOString(),
            renewals: identity.status.renewals,
            last_error: identity.status.lastError,
          },
    command_line_options: { concurrency: proxy.concurrency },
    workers: workers?.processes.map(({ index, pid }) => ({ index, pid })),
    warming: store.warmingNames,
  };
}
