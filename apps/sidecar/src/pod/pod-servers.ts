// Pod mode: the ports that the kubelet and Prometheus ask: 15020 (probes, merged metrics), 15021 (readiness), 15090 (metrics).

import { type AdminSources, metricsAnswer, readyAnswer } from '../admin/admin-pages.js';
import { type Page, type PageAnswer, type PageRequest, type PageServer, startPageServer } from '../admin/http-page.js';
import { isLoopbackAddress } from '../config/validate/validate-listener.js';
import { sharedScrape } from './app-metrics.js';
import { askApplication } from './app-probers.js';
import type { PodServing } from './pod-settings.js';

const MERGED_PORT = 15020;
const READY_PORT = 15021;
const METRICS_PORT = 15090;
/** Both families where there are both. */
const EVERY_ADDRESS = ['::', '0.0.0.0'] as const;

/** By purpose. @throws StartError where a port cannot be bound; those that were bound are in `servers` then */
export async function startPodServers(
  serving: PodServing,
  sources: AdminSources,
  servers: Map<string, PageServer>,
): Promise<void> {
  const ready: Page = { method: 'GET', help: 'readiness', answer: () => readyAnswer(sources.notReadyReason()) };
  const metrics: Page = { method: 'GET', help: 'metrics of the proxy', answer: () => metricsAnswer(sources) };
  const askMetrics = serving.scrape && sharedScrape(serving.scrape);
  const merged = new Map<string, Page>([
    ['/healthz/ready', ready],
    ['/stats/prometheus', { ...metrics, answer: (_query, request) => mergedMetrics(askMetrics, sources, request) }],
    ['/metrics', { ...metrics, answer: (_query, request) => mergedMetrics(askMetrics, sources, request) }],
    ['/quitquitquit', { method: 'POST', help: 'ends the proxy', answer: (_query, request) => quit(sources, request) }],
  ]);
  for (const [path, prober] of serving.probers) {
    const answer = async (): Promise<PageAnswer> => {
      const fault = await askApplication(prober, serving.podAddress);
      return fault === undefined ? { body: 'ok\n' } : { status: 500, body: `${fault}\n` };
    };
    merged.set(path, { method: 'GET', help: 'a probe of the application', answer });
  }
  for (const [purpose, port, pages] of [
    ['ready', READY_PORT, new Map([['/healthz/ready', ready]])],
    ['mergedMetrics', MERGED_PORT, merged],
    ['metrics', METRICS_PORT, new Map([['/stats/prometheus', metrics]])],
  ] as const) {
    // Of whoever asks, POST /quitquitquit looks at the address alone, as Istio's agents do.
    const open = { address: EVERY_ADDRESS, port, pages, anyHost: true, authorize: () => true };
    servers.set(purpose, await startPageServer(open));
  }
}

/** The proxy's are told in any case. */
async function mergedMetrics(
  askMetrics: ((timeoutMs?: number) => Promise<string>) | undefined,
  sources: AdminSources,
  { headers }: PageRequest,
): Promise<PageAnswer> {
  const own = await metricsAnswer(sources);
  if (askMetrics === undefined) return own;
  const seconds = Number(headers['x-prometheus-scrape-timeout-seconds']);
  try {
    const theirs = await askMetrics(seconds > 0 ? seconds * 900 : undefined);
    return { ...own, body: `${own.body}${theirs}` };
  } catch (error) {
    const reason = (error as Error).message;
    sources.logger.warn({ reason }, "the application's metrics cannot be had");
    const failed =
      '# HELP lateen_application_scrape_failed Whether the application did not tell its metrics.\n' +
      '# TYPE lateen_application_scrape_failed gauge\nlateen_application_scrape_failed 1\n';
    return { ...own, body: `${own.body}${failed}` };
  }
}

/** Only for who is in the pod: a job that is done ends its proxy. */
function quit(sources: AdminSources, { remoteAddress }: PageRequest): PageAnswer {
  if (!isLoopbackAddress(remoteAddress)) return { status: 403, body: 'only from within the pod\n' };
  setImmediate(sources.onQuit);
  return { body: 'OK\n' };
}
