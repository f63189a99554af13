// Admin API: a small HTTP server of pages: exact paths, GET or POST, text or JSON, with the checks that every page has.

import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { isLoopbackAddress } from '../config/validate/validate-listener.js';
import { StartError } from '../start-error.js';

export interface PageAnswer {
  readonly status?: number;
  readonly type?: string;
  readonly body: string;
}

export interface Page {
  readonly method: 'GET' | 'POST';
  readonly help: string;
  readonly answer: (query: URLSearchParams, request: PageRequest) => PageAnswer | Promise<PageAnswer>;
}

/** Of whom a page is asked, and how. */
export interface PageRequest {
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string;
}

export interface PageServerOptions {
  /** The first of several that this host has. */
  readonly address: string | readonly string[];
  readonly port: number;
  /** It may be called by any name; else by its address, or one of loopback. */
  readonly anyHost?: boolean;
  readonly pages: ReadonlyMap<string, Page>;
  /** Whether a call that changes something may be made. */
  readonly authorize: (authorization: string | undefined) => boolean;
}

export interface PageServer {
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

export const TEXT = 'text/plain; charset=utf-8';
export const JSON_TYPE = 'application/json';

export function jsonAnswer(value: unknown): PageAnswer {
  return { type: JSON_TYPE, body: `${JSON.stringify(value, undefined, 1)}\n` };
}

/** Starts a server. @throws StartError where the address cannot be bound */
export async function startPageServer(options: PageServerOptions): Promise<PageServer> {
  const server = createServer((request, response) => {
    answerRequest(request, options).then(
      (answer) => send(response, answer, request.method === 'HEAD'),
      (error: Error) => send(response, { status: 500, body: `${error.message}\n` }, false),
    );
  });
  // A page is small and its reader near: whoever is slower than this is stuck.
  server.requestTimeout = 10_000;
  const address = await listenOnFirst(server, [options.address].flat(), options.port);
  const { port } = server.address() as AddressInfo;
  return {
    address,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A host may lack one of the families. */
async function listenOnFirst(server: Server, addresses: readonly string[], port: number): Promise<string> {
  const [first = '', ...others] = addresses;
  try {
    await listen(server, first, port);
    return first;
  } catch (error) {
    if (others.length === 0 || !(error instanceof StartError) || !/EAFNOSUPPORT|EADDRNOTAVAIL/.test(error.message)) {
      throw error;
    }
    return listenOnFirst(server, others, port);
  }
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      reject(new StartError(`cannot serve the admin API on ${address} port ${port}: ${error.message}`));
    };
    server.once('error', fail);
    server.listen(port, address, () => {
      server.off('error', fail);
      resolve();
    });
  });
}

async function answerRequest(request: IncomingMessage, options: PageServerOptions): Promise<PageAnswer> {
  // A web page elsewhere can make a browser call this port by a name of its own; it cannot choose this header.
  const { anyHost = false, address } = options;
  if (!anyHost && ![address].flat().some((each) => hostAllowed(request.headers.host, each))) {
    return { status: 403, body: 'the Host header must be the address of this server\n' };
  }
  const url = new URL(request.url ?? '/', 'http://admin');
  const page = options.pages.get(url.pathname);
  if (page === undefined) return { status: 404, body: `no page ${url.pathname}; see /help\n` };
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  if (method !== page.method) return { status: 405, body: `${url.pathname} is called with ${page.method}\n` };
  if (page.method === 'POST' && !options.authorize(request.headers.authorization)) {
    return {
      status: 401,
      body: 'this call needs `authorization: Bearer TOKEN` with the token of STATE-DIR/admin-token\n',
    };
  }
  const { headers, socket } = request;
  return page.answer(url.searchParams, { headers, remoteAddress: socket.remoteAddress ?? '' });
}

function hostAllowed(host: string | undefined, address: string): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return name === 'localhost' || name === address || (isIP(name) !== 0 && isLoopbackAddress(name));
}

function send(response: ServerResponse, { status = 200, type = TEXT, body }: PageAnswer, headOnly: boolean): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    'content-type': type,
    'content-length': bytes.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(headOnly ? undefined : bytes);
}
