// Security tests: clients and upstreams that put exactly these bytes on the wire and keep what comes back.

import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Bytes as Latin-1. */
export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** What a client got until the connection ended or fell silent. */
export interface Received {
  readonly text: string;
  /** The proxy has closed its side. */
  readonly ended: boolean;
  /** Statuses of the responses in order, as far as their framing is plain. */
  readonly statuses: readonly number[];
}

/** Opens a connection. */
export function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.on('error', () => {});
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** Collects what arrives. */
export class Reader {
  text = '';
  ended = false;
  private wake: () => void = () => {};

  constructor(readonly socket: Duplex) {
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1');
      this.wake();
    });
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        this.ended = true;
        this.wake();
      });
    }
  }

  /** Waits for a condition. @throws Error that shows what was received */
  async until(condition: (reader: Reader) => boolean, timeoutMs = 5_000): Promise<this> {
    const deadline = Date.now() + timeoutMs;
    while (!condition(this)) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`waited in vain; received ${JSON.stringify(this.text.slice(0, 1000))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this;
  }

  /** Waits for this many complete responses with Content-Length, or for the end. */
  async responses(count: number, timeoutMs = 5_000): Promise<Received> {
    await this.until(({ text, ended }) => ended || parseResponses(text).length >= count, timeoutMs);
    return { text: this.text, ended: this.ended, statuses: parseResponses(this.text) };
  }
}

/** Statuses of complete responses that have a Content-Length, chunked framing or no body. */
export function parseResponses(text: string, methods: readonly string[] = []): number[] {
  const statuses: number[] = [];
  let at = 0;
  for (;;) {
    const head = text.indexOf('\r\n\r\n', at);
    if (head < 0) return statuses;
    const lines = text.slice(at, head + 2);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(lines)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) return [...statuses, -1];
    let end = head + 4;
    const bodiless = status < 200 || status === 204 || status === 304 || methods[statuses.length] === 'HEAD';
    if (!bodiless) {
      if (/\r\ntransfer-encoding: *chunked\r\n/i.test(lines)) {
        const last = text.indexOf('0\r\n\r\n', end);
        if (last < 0) return statuses;
        end = last + 5;
      } else {
        end += Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(lines)?.[1] ?? 0);
        if (end > text.length) return statuses;
      }
    }
    at = end;
    if (status >= 200) statuses.push(status);
  }
}

/** A request as an upstream understood it. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
  header(name: string): string[];
}

/** An upstream with Node's own strict parser: what it understands is what an application would. */
export class RecordingUpstream {
  readonly seen: SeenRequest[] = [];
  /** Connections on which it could not read a request. */
  unreadable = 0;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(): Promise<RecordingUpstream> {
    const server = createHttpServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const upstream = new RecordingUpstream(server, (server.address() as AddressInfo).port);
    server.on('request', (request: IncomingMessage, response) => {
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => {
        const { rawHeaders } = request;
        upstream.seen.push({
          method: request.method ?? '',
          target: request.url ?? '',
          rawHeaders,
          body,
          header: (name) =>
            rawHeaders.flatMap((each, index) =>
              index % 2 === 0 && each.toLowerCase() === name ? [rawHeaders[index + 1] ?? ''] : [],
            ),
        });
        response.end('ok');
      });
    });
    server.on('connect', (_request, socket: Duplex) => {
      upstream.unreadable++;
      socket.destroy();
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (error.code?.startsWith('HPE_') && error.code !== 'HPE_INVALID_EOF_STATE') upstream.unreadable++;
      socket.destroy();
    });
    return upstream;
  }

  /** Forgets what it saw. */
  reset(): void {
    this.seen.length = 0;
    this.unreadable = 0;
  }

  async stop(): Promise<void> {
    (this.server as unknown as { closeAllConnections(): void }).closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** An upstream whose answers are written by the test, by connection and request. */
export class ScriptedUpstream {
  readonly connections: Socket[] = [];

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  /** `serve` is told each connection, and the whole head of each request that begins on it. */
  static async start(serve: (socket: Socket, head: string, connection: number) => void): Promise<ScriptedUpstream> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const upstream = new ScriptedUpstream(server, (server.address() as AddressInfo).port);
    server.on('connection', (socket) => {
      const index = upstream.connections.push(socket);
      let pending = '';
      socket.on('error', () => {});
      socket.on('end', () => socket.end());
      socket.on('data', (chunk: Buffer) => {
        pending += chunk.toString('latin1');
        for (let end = pending.indexOf('\r\n\r\n'); end >= 0; end = pending.indexOf('\r\n\r\n')) {
          const head = pending.slice(0, end + 4);
          pending = pending.slice(end + 4);
          serve(socket, head, index);
        }
      });
    });
    return upstream;
  }

  async stop(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
