// Conformance, step 5: sends one request of a case and says what came back.

import { Agent, request } from 'node:http';
import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { HttpSending, TcpSending } from '../case-file.js';
import type { TlsFacts } from '../case-tls.js';
import type { SocketAddress } from './case-pilot.js';
import type { CaseCertificates } from './certificates.js';
import { openConnection, TunnelRefusedError } from './client-connection.js';
import { REQUEST_ID } from './echo-pods.js';

/** An answer as a client sees it; status 0 where there was none, with the reason as the body. */
export interface ReceivedAnswer {
  readonly status: number;
  /** Lower-case names with their values, in order. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly elapsedMs: number;
  /** Of the handshake; undefined: plain text, or refused. */
  readonly tls?: TlsFacts | undefined;
  /** The address that the client of a TCP connection has for the proxy. */
  readonly client?: string;
}

const TIME_LIMIT_MS = 10_000;

/** The connections of one proxy under test. */
export class Sender {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 8 });

  constructor(private readonly certificates: CaseCertificates) {}

  /** Over TLS, or behind a PROXY header, each request has a connection of its own. */
  async http(server: SocketAddress, sending: HttpSending, requestId: string): Promise<ReceivedAnswer> {
    const startedMs = performance.now();
    const answer = (status: number, headers: ReceivedAnswer['headers'], body: string): ReceivedAnswer => ({
      status,
      headers,
      body,
      elapsedMs: performance.now() - startedMs,
    });
    const ownConnection = sending.tls !== undefined || sending.proxyHeader !== undefined || sending.http2;
    try {
      const opened = ownConnection ? await openConnection(server, sending, this.certificates) : undefined;
      const send = sending.http2
        ? this.http2(opened!.socket, sending, requestId, answer)
        : this.http1(server, opened?.socket, sending, requestId, answer);
      return { ...(await send), tls: opened?.tls };
    } catch (error) {
      return answer(0, [], (error as Error).message);
    }
  }

  private http1(
    { host, port }: SocketAddress,
    opened: Socket | undefined,
    sending: HttpSending,
    requestId: string,
    answer: (status: number, headers: ReceivedAnswer['headers'], body: string) => ReceivedAnswer,
  ): Promise<ReceivedAnswer> {
    const { method, target: path, body } = sending;
    const headers: Record<string, string | string[]> = { host: sending.host, [REQUEST_ID]: requestId };
    for (const [name, value] of Object.entries(sending.headers)) headers[name] = value as string | string[];
    if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
    return new Promise((resolve) => {
      const connection = opened === undefined ? { agent: this.agent } : { createConnection: () => opened };
      const options = { host, port, method, path, headers, ...connection, timeout: TIME_LIMIT_MS };
      const call = request(options, (response) => {
        const lines: [string, string][] = [];
        for (let index = 0; index < response.rawHeaders.length; index += 2) {
          lines.push([(response.rawHeaders[index] ?? '').toLowerCase(), response.rawHeaders[index + 1] ?? '']);
        }
        let text = '';
        response.setEncoding('latin1');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () => resolve(answer(response.statusCode ?? 0, lines, text)));
        response.once('error', (error) => resolve(answer(0, lines, `cut inside the response: ${error.message}`)));
      });
      call.once('timeout', () => call.destroy(new Error(`no answer within ${TIME_LIMIT_MS} ms`)));
      call.once('error', (error) => resolve(answer(0, [], error.message)));
      call.end(body);
    });
  }

  /** The same by HTTP/2, on a connection of its own. */
  private http2(
    opened: Socket,
    sending: HttpSending,
    requestId: string,
    answer: (status: number, headers: ReceivedAnswer['headers'], body: string) => ReceivedAnswer,
  ): Promise<ReceivedAnswer> {
    const scheme = sending.tls === undefined ? 'http' : 'https';
    const headers: OutgoingHttpHeaders = {
      ':scheme': scheme,
      ':method': sending.method,
      ':path': sending.target,
      ':authority': sending.host,
      [REQUEST_ID]: requestId,
    };
    for (const [name, value] of Object.entries(sending.headers)) headers[name] = value as string | string[];
    return new Promise((resolve) => {
      const session = connectHttp2(`${scheme}://${sending.host}`, { createConnection: () => opened });
      const finish = (received: ReceivedAnswer) => {
        session.destroy();
        resolve(received);
      };
      session.once('error', (error) => finish(answer(0, [], error.message)));
      const call = session.request(headers);
      let status = 0;
      let text = '';
      const lines: [string, string][] = [];
      call.setTimeout(TIME_LIMIT_MS, () => finish(answer(0, [], `no answer within ${TIME_LIMIT_MS} ms`)));
      call.once('response', (response) => {
        status = Number(response[':status']);
        for (const [name, value] of Object.entries(response)) {
          if (!name.startsWith(':')) for (const each of [value ?? ''].flat()) lines.push([name, String(each)]);
        }
      });
      call.setEncoding('latin1');
      call.on('data', (chunk: string) => {
        text += chunk;
      });
      call.once('end', () => finish(answer(status, lines, text)));
      call.once('error', (error) => finish(answer(0, lines, error.message)));
      call.end(sending.body);
    });
  }

  /** Reads to the end, having sent all and ended its side, unless it stays; where it waits, when the server has said something. */
  async tcp(server: SocketAddress, sending: TcpSending): Promise<ReceivedAnswer> {
    const startedMs = performance.now();
    const { send, waits, stays } = sending;
    let client = '';
    try {
      const opened = await openConnection(server, sending, this.certificates);
      const { socket, tls } = opened;
      client = opened.client;
      return await new Promise((resolve) => {
        let text = '';
        const start = () => {
          socket.write(send, 'latin1');
          if (!stays) socket.end();
        };
        const finish = (status: number) => {
          socket.destroy();
          resolve({ status, headers: [], body: text, elapsedMs: performance.now() - startedMs, tls, client });
        };
        socket.setTimeout(TIME_LIMIT_MS, () => finish(0));
        socket.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1');
        });
        socket.once('end', () => finish(200));
        socket.once('error', () => finish(0));
        if (waits) socket.once('data', start);
        else start();
      });
    } catch (error) {
      // Refused: nothing was read.
      const { status = 0, client: asked = client } = error instanceof TunnelRefusedError ? error : {};
      return { status, headers: [], body: '', elapsedMs: performance.now() - startedMs, client: asked };
    }
  }

  close(): void {
    this.agent.destroy();
  }
}
