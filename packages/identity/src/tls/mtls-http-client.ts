// Admin APIs, client side: HTTPS connections that present an identity and admit the server by its SPIFFE id.

import { Agent, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { IdentitySource } from '../workload-identity.js';
import { endAtExpiry } from './expiry.js';
import { type PeerRule, requirePeer } from './peer-verification.js';

export interface MtlsClientOptions {
  readonly source: IdentitySource;
  /** Servers that are welcome. */
  readonly expectedSpiffeIds: PeerRule;
}

/**
 * An agent for node:https. For Connect over HTTP/1.1:
 * `createConnectTransport({ baseUrl: 'https://HOST:15016', httpVersion: '1.1', nodeOptions: { agent } })`.
 * Sessions are never resumed; a connection is handed out only after the server's id was checked.
 */
export class MtlsAgent extends Agent {
  readonly #options: MtlsClientOptions;

  constructor(options: MtlsClientOptions) {
    super({ keepAlive: true, maxCachedSessions: 0, timeout: 60_000 });
    this.#options = options;
  }

  /** Called by node:http for each new connection; not declared in the types of Node's Agent. */
  createConnection(
    target: ConnectionOptions & { host?: string; port?: number },
    callback?: (error: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    const done = callback as (error: Error | null, socket?: Duplex) => void;
    const identity = this.#options.source.current;
    if (identity === undefined) {
      done(new Error('there is no client certificate yet'));
      return undefined;
    }
    const socket: TLSSocket = connect({
      host: target.host,
      port: target.port as number,
      key: identity.keyPem,
      cert: identity.certChainPem,
      ca: identity.rootsPem,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      checkServerIdentity: () => undefined, // checked below, where it also covers resumed sessions
    });
    const fail = (error: Error) => {
      (socket as Socket).destroy();
      done(error);
    };
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      socket.off('error', fail);
      try {
        requirePeer(socket, this.#options.expectedSpiffeIds);
      } catch (error) {
        fail(error as Error);
        return;
      }
      endAtExpiry(socket);
      done(null, socket);
    });
    return undefined;
  }
}

export interface MtlsFetchInit {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** A `fetch` for `https:` addresses through an MtlsAgent; the body is read whole. Redirects are not followed. */
export function mtlsFetch(agent: MtlsAgent): (url: string | URL, init?: MtlsFetchInit) => Promise<Response> {
  return (url, init = {}) =>
    new Promise((resolve, reject) => {
      const options = { agent, method: init.method ?? 'GET', headers: { ...init.headers } };
      const request = httpsRequest(url, options, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.once('end', () => {
          const status = answer.statusCode ?? 502;
          const headers = new Headers();
          for (let index = 0; index < answer.rawHeaders.length; index += 2) {
            headers.append(answer.rawHeaders[index] as string, answer.rawHeaders[index + 1] as string);
          }
          const bodyless = status === 204 || status === 205 || status === 304;
          resolve(new Response(bodyless ? null : Buffer.concat(chunks), { status, headers }));
        });
      });
      request.setTimeout(init.timeoutMs ?? 30_000, () =>
        request.destroy(new Error(`no answer from ${String(url)} within ${init.timeoutMs ?? 30_000} ms`)),
      );
      // A connection that is cut may fail in more than one way.
      request.on('error', reject);
      request.end(init.body);
    });
}
