// Interop tests: sends exactly these bytes over TCP or TLS and reads one HTTP response off its framing.

import { connect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';

export interface HttpResponse {
  readonly status: number;
  /** Lower-case names with their values, sorted. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly framing: 'length' | 'chunked' | 'until close' | 'none';
}

export interface ExchangeTarget {
  readonly port: number;
  /** Asks for this name over TLS. */
  readonly serverName?: string;
  /** PEM of the roots that the certificate must lead to. */
  readonly roots?: string;
}

/** What came back: a response, or how the connection ended without one. */
export type Outcome =
  | { readonly response: HttpResponse; readonly certificate?: string; readonly protocol?: string }
  | { readonly ended: string };

const TIME_LIMIT_MS = 8000;

function dechunk(text: string): string | undefined {
  let body = '';
  let at = 0;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) return text.indexOf('\r\n', at) < 0 ? undefined : body;
    if (text.length < at + size + 2) return undefined;
    body += text.slice(at, at + size);
    at += size + 2;
  }
}

/** The response that `text` begins with, or undefined while it is not complete. Interim (1xx) responses are passed over. */
export function parseResponse(text: string, ended: boolean, toHead: boolean): HttpResponse | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = text.slice(0, headEnd).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw new Error(`not a status line: ${statusLine}`);
  const rest = text.slice(headEnd + 4);
  if (status < 200) return parseResponse(rest, ended, toHead);
  const headers = lines
    .map((line): readonly [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    })
    .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
  const value = (name: string) => headers.find(([each]) => each === name)?.[1];
  if (toHead || status === 204 || status === 304) return { status, headers, body: '', framing: 'none' };
  if (value('transfer-encoding')?.toLowerCase() === 'chunked') {
    const body = dechunk(rest);
    return body === undefined ? undefined : { status, headers, body, framing: 'chunked' };
  }
  const length = value('content-length');
  if (length !== undefined) {
    return rest.length < Number(length)
      ? undefined
      : { status, headers, body: rest.slice(0, Number(length)), framing: 'length' };
  }
  return ended ? { status, headers, body: rest, framing: 'until close' } : undefined;
}

/** Opens a connection, sends `bytes` (Latin-1) and resolves with what came of it. */
export function exchange(target: ExchangeTarget, bytes: string): Promise<Outcome> {
  const toHead = bytes.startsWith('HEAD ');
  return new Promise((resolve) => {
    let certificate: string | undefined;
    let protocol: string | undefined;
    let text = '';
    const send = () => socket.write(bytes, 'latin1');
    const socket: Socket =
      target.serverName === undefined
        ? connect(target.port, '127.0.0.1', send)
        : tlsConnect(
            {
              host: '127.0.0.1',
              port: target.port,
              ALPNProtocols: ['http/1.1'],
              ...(target.serverName === '' ? {} : { servername: target.serverName }),
              ...(target.roots === undefined ? {} : { ca: target.roots }),
              rejectUnauthorized: false, // the certificate itself is what is compared
            },
            function (this: import('node:tls').TLSSocket) {
              certificate = this.getPeerCertificate().fingerprint256;
              protocol = `${this.getProtocol()} ${this.alpnProtocol}`;
              send();
            },
          );
    const finish = (outcome: Outcome) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => finish({ ended: `nothing complete within ${TIME_LIMIT_MS} ms` }), TIME_LIMIT_MS);
    const look = (ended: boolean) => {
      const response = parseResponse(text, ended, toHead);
      if (response !== undefined) {
        finish({
          response,
          ...(certificate === undefined ? {} : { certificate }),
          ...(protocol === undefined ? {} : { protocol }),
        });
      } else if (ended) finish({ ended: text === '' ? 'closed without an answer' : 'closed inside a response' });
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      look(false);
    });
    socket.once('end', () => look(true));
    // Whether a refusal arrives as a reset or as an end depends on timing; both mean that there is no answer.
    socket.once('error', () => look(true));
  });
}
