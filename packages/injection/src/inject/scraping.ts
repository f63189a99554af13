// Injection: Prometheus scrapes the proxy, which adds the application's metrics to its own; where those are it is told in
// ISTIO_PROMETHEUS_ANNOTATIONS.

import type { MeshConfig } from '@lateen/istio-config';
import { annotationsOf, type Pod, proxyContainer, STATUS_PORT } from '../pod.js';

const SCRAPE_VARIABLE = 'ISTIO_PROMETHEUS_ANNOTATIONS';
const MERGE_ANNOTATION = 'prometheus.istio.io/merge-metrics';
const MERGED_PATH = '/stats/prometheus';
/** Prometheus sees no difference between characters that its labels cannot have. */
const FIELDS: Readonly<Record<string, keyof Scraping>> = {
  prometheus_io_scrape: 'scrape',
  prometheus_io_path: 'path',
  prometheus_io_port: 'port',
};

/** Where the application's metrics are, as it says; '' where it does not. */
interface Scraping {
  scrape: string;
  path: string;
  port: string;
}

function fieldOf(annotation: string): keyof Scraping | undefined {
  const name = annotation.replaceAll(/[^A-Za-z0-9_]/g, '_');
  return Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined;
}

function readScraping(pod: Pod): Scraping {
  const scraping: Scraping = { scrape: '', path: '', port: '' };
  for (const [name, value] of Object.entries(annotationsOf(pod))) {
    const field = fieldOf(name);
    if (field !== undefined) scraping[field] = value;
  }
  return scraping;
}

/** Replaces the annotations in every spelling. */
function writeScraping(pod: Pod, scraping: Scraping): void {
  const others = Object.entries(annotationsOf(pod)).filter(([name]) => fieldOf(name) === undefined);
  const own = Object.entries(scraping).filter(([, value]) => value !== '');
  const annotations = {
    ...Object.fromEntries(others),
    ...Object.fromEntries(own.map(([k, v]) => [`prometheus.io/${k}`, v])),
  };
  pod.metadata = { ...pod.metadata, annotations };
}

function isMergeWanted(pod: Pod, { enablePrometheusMerge }: MeshConfig): boolean {
  const own = annotationsOf(pod)[MERGE_ANNOTATION];
  return own === undefined ? (enablePrometheusMerge ?? true) : own.toLowerCase() === 'true';
}

/** Changes the pod. Who says scrape: "false", or scrapes the proxy's port already, is left alone. */
export function mergeScraping(pod: Pod, meshConfig: MeshConfig): void {
  const proxy = proxyContainer(pod);
  const scraping = readScraping(pod);
  const refused = /^(0|f|F|false|FALSE|False)$/.test(scraping.scrape);
  if (proxy === undefined || refused || !isMergeWanted(pod, meshConfig)) return;
  if (scraping.port === String(STATUS_PORT)) return;
  if (Object.values(scraping).some((value) => value !== '')) {
    const variable = { name: SCRAPE_VARIABLE, value: JSON.stringify(scraping) };
    proxy.env = [...(proxy.env ?? []).filter(({ name }) => name !== SCRAPE_VARIABLE), variable];
  }
  writeScraping(pod, { scrape: 'true', path: MERGED_PATH, port: String(STATUS_PORT) });
}

/** Puts back what `mergeScraping` has changed; changes the pod. */
export function restoreScraping(pod: Pod): void {
  const now = readScraping(pod);
  if (now.port !== String(STATUS_PORT) || now.path !== MERGED_PATH || now.scrape !== 'true') return;
  const text = proxyContainer(pod)?.env?.find(({ name }) => name === SCRAPE_VARIABLE)?.value;
  writeScraping(pod, { scrape: '', path: '', port: '', ...readTold(text) });
}

function readTold(text: string | undefined): Partial<Scraping> {
  if (text === undefined) return {};
  try {
    const { scrape = '', path = '', port = '' } = JSON.parse(text) as Partial<Scraping>;
    return { scrape: String(scrape), path: String(path), port: String(port) };
  } catch {
    return {};
  }
}
