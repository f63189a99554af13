// Access: one HTTP request to the API server.
import { type Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Without the query. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  /** How long nothing may come, before the answer and within it. */
  readonly idleTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** As whom, and over which connections. */
export interface RequestIdentity {
  readonly agent?: Agent;
  /** `user:password`. */
  readonly auth?: string;
  readonly headers: Readonly<Record<string, string>>;
}

const DEFAULT_IDLE_TIMEOUT_MS = 60_000;

/** Resolves with the answer, whatever its status. @param server scheme, host and port, and what stands before all paths */
export async function sendRequest(
  server: string,
  request: ApiRequest,
  identity: RequestIdentity,
): Promise<IncomingMessage> {
  const url = new URL(server + request.path);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  try {
    return await sendOnce(url, request, identity);
  } catch (error) {
    // A kept connection that the server closed while the request was under way: what only reads may be asked again.
    if (request.method === 'GET' && error instanceof ReusedConnectionError) return sendOnce(url, request, identity);
    throw error;
  }
}

/** The server had closed the kept connection. */
class ReusedConnectionError extends Error {}

function sendOnce(
  url: URL,
  request: ApiRequest,
  { agent, auth, headers: own }: RequestIdentity,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const headers: Record<string, string> = { ...own };
    if (body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json';
      headers['content-length'] = String(body.length);
    }
    headers.accept = request.accept ?? 'application/json';
    headers['user-agent'] = 'lateen';
    const send = url.protocol === 'http:' ? httpRequest : httpsRequest;
    const { method, signal } = request;
    const call = send(url, { method, agent, auth, headers, signal }, (response) => resolve(response));
    const limit = request.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS;
    call.setTimeout(limit, () => call.destroy(new Error(`nothing came for ${limit} ms`)));
    call.on('error', (error: NodeJS.ErrnoException) => {
      const message = `${url.origin} cannot be reached: ${error.message}`;
      if (signal?.aborted) reject(error);
      else if (call.reusedSocket && error.code === 'ECONNRESET') reject(new ReusedConnectionError(message));
      else reject(new Error(message, { cause: error }));
    });
    call.end(body);
  });
}
