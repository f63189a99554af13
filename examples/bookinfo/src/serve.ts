// Every service of the sample: listens where its environment says, answers the health probe, ends gracefully.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/** Answers one request; `url` is parsed against a fixed origin, so only its path and query mean anything. */
export type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => void | Promise<void>;

const DEFAULT_PORT = 9080;

/** Starts a service. PORT (9080) and HOST (all addresses) come from the environment; SIGTERM lets requests finish first. */
export function serve(name: string, handler: Handler): void {
  const server = createServer((request, response) => {
    answer(handler, request, response).catch((error: Error) => {
      console.error(`${name}: ${request.method} ${request.url} failed: ${error.stack ?? error.message}`);
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { error: 'internal error' });
    });
  });
  // Longer than a sidecar keeps an idle connection, so that the two never race to close it.
  server.keepAliveTimeout = 3_700_000;
  server.requestTimeout = 0;

  const port = Number(process.env.PORT ?? DEFAULT_PORT);
  server.on('error', (error) => {
    console.error(`${name}: cannot listen on port ${port}: ${error.message}`);
    process.exit(1);
  });
  server.listen(port, process.env.HOST || undefined, () => console.log(`${name} listens on port ${port}`));

  const stop = () => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

async function answer(handler: Handler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = parseTarget(request.url ?? '/');
  if (url === undefined) return sendJson(response, 400, { error: 'the request target is not a path' });
  if (url.pathname === '/health') return sendJson(response, 200, { status: 'healthy' });
  await handler(request, response, url);
}

function parseTarget(target: string): URL | undefined {
  const origin = 'http://service.invalid';
  return URL.canParse(target, origin) ? new URL(target, origin) : undefined;
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

/** The product number in paths like `/reviews/0`, or undefined where the path is another one. */
export function productId(url: URL, prefix: string): number | undefined {
  const match = new RegExp(`^/${prefix}/([0-9]{1,9})$`).exec(url.pathname);
  return match === null ? undefined : Number(match[1]);
}
