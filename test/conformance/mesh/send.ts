// Conformance, step 5: sends one request of a case and says what came back.

import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import type { HttpSending, TcpSending } from '../case-file.js';
import type { SocketAddress } from './case-pilot.js';
import { REQUEST_ID } from './echo-pods.js';

/** An answer as a client sees it; status 0 where there was none, with the reason as the body. */
export interface ReceivedAnswer {
  readonly status: number;
  /** Lower-case names with their values, in order. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly elapsedMs: number;
}

const TIME_LIMIT_MS = 10_000;

/** The connections of one proxy under test. */
export class Sender {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 8 });

  http({ host, port }: SocketAddress, sending: HttpSending, requestId: string): Promise<ReceivedAnswer> {
    const startedMs = performance.now();
    const answer = (status: number, headers: ReceivedAnswer['headers'], body: string): ReceivedAnswer => ({
      status,
      headers,
      body,
      elapsedMs: performance.now() - startedMs,
    });
    const { method, target: path, body } = sending;
    const headers: Record<string, string | string[]> = { host: sending.host, [REQUEST_ID]: requestId };
    for (const [name, value] of Object.entries(sending.headers)) headers[name] = value as string | string[];
    if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
    return new Promise((resolve) => {
      const options = { host, port, method, path, headers, agent: this.agent, timeout: TIME_LIMIT_MS };
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

  /** Reads to the end, having sent all and ended its side. */
  tcp({ host, port }: SocketAddress, { send }: TcpSending): Promise<ReceivedAnswer> {
    const startedMs = performance.now();
    return new Promise((resolve) => {
      let text = '';
      const socket = connect({ host, port, allowHalfOpen: true }, () => socket.end(send, 'latin1'));
      const finish = (status: number) => {
        socket.destroy();
        resolve({ status, headers: [], body: text, elapsedMs: performance.now() - startedMs });
      };
      socket.setTimeout(TIME_LIMIT_MS, () => finish(0));
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      socket.once('end', () => finish(200));
      socket.once('error', () => finish(0));
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
