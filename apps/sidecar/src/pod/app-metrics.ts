// Pod mode: the application's own metrics, which are put behind the proxy's: one scrape sees both.

import { get } from 'node:http';

/** Where they are, by the annotations `prometheus.io/…` that the pod had before the proxy was put in. */
export interface AppScrape {
  readonly port: number;
  readonly path: string;
}

const NAME = 'ISTIO_PROMETHEUS_ANNOTATIONS';
const DEFAULT_PORT = 80;
const DEFAULT_TIMEOUT_MS = 10_000;
/** Nobody waits longer for metrics. */
const MOST_TIMEOUT_MS = 60_000;
/** More than any exporter says; a runaway one must not fill the proxy. */
const MOST_BYTES = 32 * 1024 * 1024;
/** The only form in which the proxy's and the application's can stand one after the other. */
const TEXT_FORMAT = 'text/plain;version=0.0.4;q=1,*/*;q=0.1';

/** @param text JSON `{scrape, port, path}` as Istio's injection writes it; what is wrong with it goes to `faults` */
export function parseScrape(text: string | undefined, faults: string[]): AppScrape | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  let value: Record<string, unknown>;
  try {
    value = (JSON.parse(text) ?? {}) as Record<string, unknown>;
  } catch (error) {
    faults.push(`${NAME} is not JSON: ${(error as Error).message}`);
    return undefined;
  }
  const { scrape, path = '', port = '' } = value;
  if (scrape !== 'true' && scrape !== true) return undefined;
  const number = port === '' ? DEFAULT_PORT : Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) {
    faults.push(`${NAME}: port ${JSON.stringify(port)} is not a port`);
  }
  const place = typeof path === 'string' && path !== '' ? path : '/metrics';
  return { port: number, path: place.startsWith('/') ? place : `/${place}` };
}

/**
 * What the application says of itself in Prometheus's text form. Asked at loopback, which redirect rules leave alone.
 *
 * @param timeoutMs what whoever scrapes has left
 * @throws Error with what went wrong
 */
export function scrapeApplication({ port, path }: AppScrape, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    const options = {
      host: 'localhost',
      port,
      path,
      agent: false,
      headers: { accept: TEXT_FORMAT, connection: 'close' },
    };
    const request = get(options, (response) => {
      if (response.statusCode !== 200) {
        request.destroy();
        fail(new Error(`port ${port} answered ${path} with ${response.statusCode}`));
        return;
      }
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MOST_BYTES) request.destroy(new Error(`port ${port} says more than ${MOST_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        clearTimeout(timer);
        resolve(readable(Buffer.concat(chunks).toString()));
      });
      response.on('error', fail);
    });
    const timer = setTimeout(() => request.destroy(new Error(`port ${port} did not answer in time`)), timeoutMs);
    request.on('error', fail);
  });
}

/**
 * Whoever asks while the application is being asked gets the same answer, which is held whole: everybody may ask. Each waits as
 * long as it says, so that nobody's hurry is another's failure.
 */
export function sharedScrape(scrape: AppScrape): (timeoutMs?: number) => Promise<string> {
  let underWay: Promise<string> | undefined;
  return (timeoutMs = DEFAULT_TIMEOUT_MS) => {
    underWay ??= scrapeApplication(scrape, MOST_TIMEOUT_MS).finally(() => {
      underWay = undefined;
    });
    const answer = underWay;
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`port ${scrape.port} did not answer in time`));
      const timer = setTimeout(late, Math.min(timeoutMs, MOST_TIMEOUT_MS));
      answer.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  };
}

/** OpenMetrics ends with a line that nothing may follow, and that the text form does not have. */
function readable(text: string): string {
  const body = text.replace(/^# EOF\s*$/m, '');
  return body === '' || body.endsWith('\n') ? body : `${body}\n`;
}
