// Calls from one service of the sample to the next, with the headers that routing and tracing need.

import { Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';

/** Headers that a service hands on from the request it got: who asks, the request's id, and the trace context. */
const FORWARDED = [
  'end-user',
  'x-request-id',
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
  'x-ot-span-context',
  'x-cloud-trace-context',
  'sw8',
  'user-agent',
] as const;

const agent = new Agent({ keepAlive: true, maxSockets: 256 });

export interface CallResult {
  /** 0 where no answer came at all. */
  readonly status: number;
  readonly body: unknown;
  /** Why there is no usable answer; undefined where `status` is 200. */
  readonly error: string | undefined;
}

/** The headers of `incoming` that a call made on its behalf carries. */
export function forwardedHeaders(incoming: IncomingHttpHeaders): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of FORWARDED) {
    const value = incoming[name];
    if (typeof value === 'string') headers[name] = value;
  }
  return headers;
}

/** Where a service is: Kubernetes's own service variables, else its name and the sample's usual port. */
export function serviceUrl(service: string): string {
  const variable = service.toUpperCase().replaceAll('-', '_');
  const host = process.env[`${variable}_SERVICE_HOST`] ?? service;
  const port = process.env[`${variable}_SERVICE_PORT`] ?? '9080';
  return `http://${host}:${port}`;
}

/** GETs JSON from another service. Never rejects: a failure is a result that says what happened. */
export async function getJson(
  service: string,
  path: string,
  headers: Record<string, string>,
  timeoutMs: number,
): Promise<CallResult> {
  const url = `${serviceUrl(service)}${path}`;
  try {
    return await send(url, headers, timeoutMs);
  } catch (error) {
    if (!(error instanceof ReusedConnectionError)) return { status: 0, body: undefined, error: String(error) };
  }
  // The kept connection was closed by the other end just as this request went out: once more, on a new one.
  return send(url, { ...headers, connection: 'close' }, timeoutMs).catch((error) => ({
    status: 0,
    body: undefined,
    error: String(error),
  }));
}

class ReusedConnectionError extends Error {}

function send(url: string, headers: Record<string, string>, timeoutMs: number): Promise<CallResult> {
  return new Promise((resolve, reject) => {
    const fresh = headers.connection === 'close';
    const request = httpRequest(url, { agent: fresh ? false : agent, headers }, (response) => {
      readJson(response).then(resolve, reject);
    });
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    request.on('close', () => clearTimeout(timer));
    request.on('error', (error: NodeJS.ErrnoException) => {
      const closedUnderUs = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      reject(closedUnderUs ? new ReusedConnectionError(error.message) : error);
    });
    request.end();
  });
}

async function readJson(response: IncomingMessage): Promise<CallResult> {
  const status = response.statusCode ?? 0;
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += chunk;
  try {
    const body: unknown = JSON.parse(text);
    return { status, body, error: status === 200 ? undefined : `status ${status}` };
  } catch {
    return { status, body: undefined, error: `status ${status}, and the body is not JSON` };
  }
}
