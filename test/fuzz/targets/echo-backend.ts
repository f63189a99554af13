// Fuzzing, HTTP/1.1 through a proxy: the application behind it, Node's own server, which says what reached it.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The proxy gave up a request in the middle, as its client did. */
const ABORTED: readonly string[] = ['ECONNRESET', 'HPE_INVALID_EOF_STATE'];

export interface Reached {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

/** Answers with the method, the URL and the length of the body, and keeps what it got. */
export class EchoBackend {
  readonly reached: Reached[] = [];
  /** What Node's parser refused of what the proxy sent. */
  readonly refused: string[] = [];
  readonly #server: Server;

  constructor() {
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => {
        if (!request.complete) return;
        this.reached.push({ method: request.method ?? '', url: request.url ?? '', body });
        const text = `${request.method} ${request.url} ${body.length}`;
        response.writeHead(200, { 'content-length': Buffer.byteLength(text) });
        response.end(request.method === 'HEAD' ? undefined : text);
      });
    };
    this.#server = createServer({ keepAliveTimeout: 60_000 }, answer);
    this.#server.on('checkExpectation', answer);
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (!ABORTED.includes(error.code ?? '')) this.refused.push(error.code ?? error.message);
      socket.destroy();
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
