// Fuzzing, HTTP/1.1: what Node's own parser (llhttp, strict) makes of a stream, through a real http.Server without a socket.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';

export interface NodeMessage {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

export interface NodeOutcome {
  /** Those whose body was read to its end. */
  readonly messages: readonly NodeMessage[];
  /** Code of the parser's error, `HPE_…`; undefined where it found none. */
  readonly errorCode: string | undefined;
}

/** A connection out of memory: gives what it is fed, and swallows the answers. */
class MemoryConnection extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
}

interface Reading {
  messages: { readonly request: IncomingMessage; body: string }[];
  errorCode: string | undefined;
}

/** Reads streams one after another. */
export class NodeHttpReader {
  readonly #server: Server;
  #reading: Reading = { messages: [], errorCode: undefined };

  constructor() {
    this.#server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    const take = (request: IncomingMessage, response?: ServerResponse) => {
      const message = { request, body: '' };
      this.#reading.messages.push(message);
      request.setEncoding('latin1');
      request.on('data', (chunk: string) => {
        message.body += chunk;
      });
      response?.end();
    };
    this.#server.on('request', take);
    this.#server.on('checkContinue', take);
    this.#server.on('checkExpectation', take);
    this.#server.on('connect', (request: IncomingMessage) => {
      this.#reading.messages.push({ request, body: '' });
    });
    // The connection stays, since bodies that were read before the fault still come.
    this.#server.on('clientError', (error: NodeJS.ErrnoException) => {
      this.#reading.errorCode ??= error.code ?? error.message;
    });
  }

  async read(stream: Buffer): Promise<NodeOutcome> {
    const reading: Reading = { messages: [], errorCode: undefined };
    this.#reading = reading;
    const connection = new MemoryConnection();
    this.#server.emit('connection', connection);
    connection.push(stream);
    // Parsing runs as the stream flows; bodies end some ticks later.
    for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
    connection.destroy();
    const messages = reading.messages
      .filter(({ request }) => request.complete)
      .map(({ request, body }) => ({ method: request.method ?? '', url: request.url ?? '', body }));
    return { messages, errorCode: reading.errorCode };
  }

  close(): void {
    this.#server.close();
  }
}
