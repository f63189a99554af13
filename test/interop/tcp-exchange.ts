// Interop tests: a TCP conversation by steps, and everything that the client got from it; also in a tunnel over HTTP/2.

import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';

export type Step =
  /** Sends the text, so many times. */
  | { readonly send: string; readonly times?: number }
  /** Waits until the text was received. */
  | { readonly await: string }
  /** Ends the sending side. */
  | { readonly end: true };

export interface Conversation {
  readonly received: string;
  /** How it ended. */
  readonly ended: 'by the proxy' | 'not within the time limit';
}

const TIME_LIMIT_MS = 10_000;

/** Takes the steps in turn, then reads until the proxy ends the connection. */
export function converse(port: number, steps: readonly Step[]): Promise<Conversation> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let received = '';
    let next = 0;
    const finish = (ended: Conversation['ended']) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ received, ended });
    };
    const timer = setTimeout(() => finish('not within the time limit'), TIME_LIMIT_MS);
    const advance = () => {
      for (let step = steps[next]; step !== undefined; step = steps[++next]) {
        if ('await' in step && !received.includes(step.await)) return;
        if ('send' in step) socket.write(step.send.repeat(step.times ?? 1), 'latin1');
        if ('end' in step) socket.end();
      }
    };
    socket.once('connect', advance);
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      advance();
    });
    socket.once('end', () => finish('by the proxy'));
    // A reset and an end are the same to whoever waits for bytes; which one comes depends on timing.
    socket.once('error', () => finish('by the proxy'));
  });
}

/** The same in a stream that CONNECT of HTTP/2 asks for; what was received begins with the status. */
export function converseByConnect(
  port: number,
  authority: string,
  steps: readonly Step[],
  headers: Readonly<Record<string, string>> = {},
): Promise<Conversation> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    const stream = session.request({ ':method': 'CONNECT', ':authority': authority, ...headers });
    let received = '';
    let next = 0;
    const finish = (ended: Conversation['ended']) => {
      clearTimeout(timer);
      session.destroy();
      resolve({ received, ended });
    };
    const timer = setTimeout(() => finish('not within the time limit'), TIME_LIMIT_MS);
    const advance = () => {
      for (let step = steps[next]; step !== undefined; step = steps[++next]) {
        if ('await' in step && !received.includes(step.await)) return;
        if ('send' in step) stream.write(step.send.repeat(step.times ?? 1), 'latin1');
        if ('end' in step) stream.end();
      }
    };
    stream.on('response', ({ ':status': status }) => {
      received += `${status}\n`;
      advance();
    });
    stream.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      advance();
    });
    stream.once('end', () => finish('by the proxy'));
    // Whether a refused stream is reset after its answer is the proxy's own.
    stream.once('error', () => finish('by the proxy'));
    session.once('error', () => finish('by the proxy'));
    advance();
  });
}
