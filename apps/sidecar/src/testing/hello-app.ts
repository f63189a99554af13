// Tests: an application that says hello and remembers what it was asked, and a client of the proxy in front of it.

import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A request as the application saw it. */
export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export async function startHelloApp() {
  const received: Received[] = [];
  const app = createServer(async (request, response) => {
    received.push({ path: request.url ?? '', headers: request.headers, body: await textOf(request) });
    response.setHeader('x-app', 'yes');
    response.end('hello');
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const { port } = app.address() as AddressInfo;
  return { port, received, stop: () => app.close().closeAllConnections() };
}

/** Path, headers and body. */
export type RequestParts = readonly [path?: string, headers?: Record<string, string | string[]>, body?: string];

/** Sends one request on a connection of its own: GET, or POST where there is a body. */
export function ask(port: number, ...[path = '/', headers = {}, body = '']: RequestParts): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const method = body === '' ? 'GET' : 'POST';
    send({ host: '127.0.0.1', port, path, method, agent: false, headers }, async (response) => {
      const { statusCode: status = 0, headers: answered } = response;
      resolve({ status, headers: answered, body: await textOf(response) });
    })
      .on('error', reject)
      .end(body);
  });
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of message) text += chunk;
  return text;
}
