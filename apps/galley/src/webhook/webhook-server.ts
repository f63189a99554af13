// Webhook: the HTTPS server on 15017 that the API server calls. Each path has one handler; the server knows nothing of what they do.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type IdentitySource, serverContextOptions } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import { type AdmissionReview, parseAdmissionReview } from './admission-review.js';

/** What of a call is not in its body. */
export interface AdmissionCall {
  /** As called: the handler's own path, or one below it. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Answers a review by a review. An error of it is answered as 500, which the API server treats by the `failurePolicy`. */
export type AdmissionHandler = (review: AdmissionReview, call: AdmissionCall) => object | Promise<object>;

export interface WebhookServerOptions {
  /** Has the DNS name by which the API server calls. */
  readonly source: IdentitySource;
  readonly address: string;
  readonly port: number;
  /** By path: `/validate`, `/inject`. Also called for what is below: `/inject/cluster/NAME`. */
  readonly routes: Readonly<Record<string, AdmissionHandler>>;
  /** Told of each answer's HTTP status. */
  readonly onAnswered?: (path: string, status: number) => void;
  /** Bytes of all bodies that are being read or answered; what comes beyond is answered 503, which refuses it as the `failurePolicy` says. */
  readonly maxHeldBytes?: number | undefined;
  readonly logger: Logger;
}

export interface WebhookServer {
  readonly port: number;
  /** Answers what is under way, then closes. */
  close(graceMs?: number): Promise<void>;
}

/** An object is at most 3 MiB in the API server, and an update carries two of them. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** A thousand pods at once are not as much; without a bound anybody in the cluster could fill Galley's memory. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;
/** The API server gives up after 30 s at the latest. */
const REQUEST_TIMEOUT_MS = 30_000;

/** Starts the server. Rejects when there is no certificate yet or the port is taken. */
export async function startWebhookServer(options: WebhookServerOptions): Promise<WebhookServer> {
  const { source, address, port, logger } = options;
  if (source.current === undefined) throw new Error('the webhooks cannot be served before there is a certificate');
  const held = new HeldBytes(options.maxHeldBytes ?? MAX_HELD_BYTES);
  const server = createServer(
    { ...serverContextOptions(source.current), requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => void handle(request, response, options, held),
  );
  server.on('tlsClientError', (error) => logger.warn({ error }, `webhook: no TLS with a caller: ${error.message}`));
  const unsubscribe = source.subscribe((renewed) => server.setSecureContext(serverContextOptions(renewed)));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async (graceMs = 5_000) => {
      unsubscribe();
      await close(server, graceMs);
    },
  };
}

class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: WebhookServerOptions,
  held: HeldBytes,
): Promise<void> {
  let path: string | undefined;
  let status = 200;
  let body: string;
  // Anybody in the cluster can call: nothing of a call may be looked at before the try.
  try {
    const url = parseTarget(request.url ?? '/');
    path = Object.keys(options.routes).find((each) => url.pathname === each || url.pathname.startsWith(`${each}/`));
    if (path === undefined) throw new HttpError(404, `there is no webhook at ${url.pathname}`);
    if (request.method !== 'POST') throw new HttpError(405, 'webhooks are called by POST');
    const handler = options.routes[path]!;
    const call = { path: url.pathname, query: url.searchParams };
    body = JSON.stringify(await withBody(request, held, (text) => handler(parse(text), call)));
  } catch (error) {
    status = error instanceof HttpError ? error.status : 500;
    body = `${(error as Error).message}\n`;
    options.logger.error({ error, target: request.url }, `webhook: ${(error as Error).message}`);
  }
  options.onAnswered?.(path ?? 'unknown', status);
  response.writeHead(status, { 'content-type': status === 200 ? 'application/json' : 'text/plain' }).end(body);
}

/** What begins with `//` names a host, and may be none. */
function parseTarget(target: string): URL {
  const origin = 'https://webhook';
  if (!URL.canParse(target, origin)) throw new HttpError(400, `${JSON.stringify(target)} is no path`);
  return new URL(target, origin);
}

function parse(text: string): AdmissionReview {
  try {
    return parseAdmissionReview(text);
  } catch (error) {
    throw new HttpError(400, (error as Error).message);
  }
}

/** What all calls together hold in memory. */
class HeldBytes {
  #bytes = 0;

  constructor(private readonly most: number) {}

  take(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.most) throw new HttpError(503, 'too many reviews at once; try again');
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Reads the body, and counts it as held until `act` is done. */
async function withBody<T>(
  request: IncomingMessage,
  held: HeldBytes,
  act: (text: string) => T | Promise<T>,
): Promise<T> {
  const type = request.headers['content-type'] ?? '';
  if (!type.startsWith('application/json'))
    throw new HttpError(415, `expected application/json, not ${type || 'nothing'}`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      held.take(chunk.length);
      if (bytes > MAX_BODY_BYTES) throw new HttpError(413, `a review of more than ${MAX_BODY_BYTES} bytes`);
      chunks.push(chunk);
    }
    return await act(Buffer.concat(chunks).toString('utf8'));
  } finally {
    held.giveBack(bytes);
  }
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}
