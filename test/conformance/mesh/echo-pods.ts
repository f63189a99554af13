// Conformance: the pods of a case: each answers with its name, at an address of its own, and remembers what it was asked.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { Duplex } from 'node:stream';
import type { ScriptedAnswer } from '../case-file.js';
import type { TlsFacts } from '../case-tls.js';
import { CHECK, CHECK_PATH, grpcVerdict, httpVerdict } from './answers/authorizer-answers.js';
import { answerLimit, SHOULD_RATE_LIMIT } from './answers/limit-answers.js';
import type { CaseCertificates } from './certificates.js';
import { DeafPod } from './deaf-pod.js';
import { type ConnectionFacts, unwrapping, type WrappingOfPod } from './unwrap.js';

/** The header by which requests, their copies and log lines are known. */
export const REQUEST_ID = 'x-conformance-id';

/** A request as a pod saw it. */
export interface ReceivedRequest {
  readonly pod: string;
  /** `HTTP/1.1` or `HTTP/2`. */
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  /** Lower-case names with their values, in the order of arrival. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  /** Of the connection that it came on: the caller's address and port. */
  readonly connection: string;
  /** Requests that the pod had at that moment, this one included. */
  readonly atOnce: number;
  /** Of the connection's TLS; undefined: plain text. */
  readonly tls: TlsFacts | undefined;
  /** Of the PROXY header before it all: `V1 192.0.2.7`; undefined: there was none. */
  readonly proxyHeader: string | undefined;
}

/** The host of a copy, which an engine that mirrors makes of the request's. */
const SHADOW = /-shadow(:\d+)?$/;
/** Whom tunnels by POST are for. */
const TUNNEL_TARGET = /^\w+\.example:\d+$/;

const PLAIN_TEXT: ConnectionFacts = { tls: undefined, proxyHeader: undefined };
const PLAIN: ScriptedAnswer = {
  status: 200,
  headers: {},
  body: undefined,
  trailers: {},
  delayMs: 0,
  reset: false,
  resetStream: undefined,
};

export class EchoPods {
  /** Pods that say so when a health check asks. */
  readonly unwell = new Set<string>();
  private readonly servers: TcpServer[] = [];
  private readonly deafPods: DeafPod[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly active = new Map<string, number>();
  private readonly copies = new Map<string, ReceivedRequest[]>();
  private readonly received = new Map<string, ReceivedRequest[]>();
  private readonly scripts = new Map<string, readonly ScriptedAnswer[]>();
  private readonly wrappings = new Map<string, WrappingOfPod>();
  /** By pod and connection. */
  private readonly facts = new Map<string, ConnectionFacts>();
  /** Connections of TCP on which somebody has said something. */
  private spoken: ReceivedRequest[] = [];

  constructor(private readonly certificates: CaseCertificates) {}

  /** Its connections may begin with a PROXY header, or with TLS. */
  wrap(pod: string, wrapping: WrappingOfPod): void {
    this.wrappings.set(pod, wrapping);
  }

  /** The connections of TCP on which clients have said something since this was asked last. */
  takeSpoken(): readonly ReceivedRequest[] {
    const { spoken } = this;
    this.spoken = [];
    return spoken;
  }

  /** What the pods answer to a request, attempt by attempt. */
  script(requestId: string, answers: readonly ScriptedAnswer[]): void {
    this.scripts.set(requestId, answers);
  }

  /** Everything that arrived of a request, in order. */
  receivedOf(requestId: string): readonly ReceivedRequest[] {
    return this.received.get(requestId) ?? [];
  }

  /** Copies that arrived of a request so far, in the order of the pods' names. */
  copiesOf(requestId: string): readonly ReceivedRequest[] {
    return [...(this.copies.get(requestId) ?? [])].sort((a, b) => (a.pod < b.pod ? -1 : 1));
  }

  /** An HTTP application, of either version: the first bytes of a connection tell. @returns its port */
  async http(pod: string, host: string, port: number): Promise<number> {
    const serve = this.unwrapped(pod, onFirstBytes(this.httpServer(pod)));
    return this.listen(createTcpServer({ allowHalfOpen: true }, serve), { host, port });
  }

  /** An HTTP application at a socket. */
  async socket(pod: string, path: string): Promise<void> {
    await this.listen(createTcpServer({ allowHalfOpen: true }, onFirstBytes(this.httpServer(pod))), { path });
  }

  /** A TCP server that says its name first, answers in capitals, and says goodbye. @returns its port */
  async tcp(pod: string, host: string, port: number): Promise<number> {
    const serve = this.unwrapped(pod, (socket) => this.talk(pod, socket));
    return this.listen(createTcpServer({ allowHalfOpen: true }, serve), { host, port });
  }

  /** Both at one port: the first bytes of a connection tell. @returns its port */
  async any(pod: string, host: string, port: number): Promise<number> {
    const serve = this.httpServer(pod);
    const serveAny = onFirstBytes((socket, first) => {
      if (/^(PRI|[A-Z]+ \S+ HTTP)/.test(first)) serve(socket, first);
      else this.talk(pod, socket);
    });
    return this.listen(createTcpServer({ allowHalfOpen: true }, this.unwrapped(pod, serveAny)), { host, port });
  }

  /** It listens, and nobody can connect. */
  async deaf(host: string, port: number): Promise<void> {
    this.deafPods.push(await DeafPod.listen(host, port));
  }

  private unwrapped(pod: string, serve: (socket: Socket) => void): (socket: Socket) => void {
    const wrapping = this.wrappings.get(pod);
    if (wrapping === undefined) return serve;
    return unwrapping(wrapping, this.certificates, (socket, facts) => {
      this.facts.set(`${pod} ${socket.remoteAddress}:${socket.remotePort}`, facts);
      serve(socket);
    });
  }

  /** Talks, and remembers a client that says something. */
  private talk(pod: string, socket: Socket): void {
    const connection = `${socket.remoteAddress}:${socket.remotePort}`;
    talk(pod, socket);
    socket.once('data', () => {
      const facts = this.facts.get(`${pod} ${connection}`) ?? PLAIN_TEXT;
      const request = { protocol: 'TCP', method: '', path: '', host: '', headers: [], body: '', atOnce: 1 };
      this.spoken.push({ pod, connection, ...request, ...facts });
    });
  }

  private httpServer(pod: string): (socket: Socket, first: string) => void {
    const serve = (request: IncomingMessage | Http2ServerRequest, response: ServerResponse | Http2ServerResponse) => {
      const host = String(request.headers.host ?? request.headers[':authority']);
      if (request.method === 'POST' && TUNNEL_TARGET.test(host)) {
        (response as ServerResponse).writeHead(200);
        talk(`${host} by POST through ${pod}`, Duplex.from({ readable: request, writable: response }));
        return;
      }
      let body = '';
      request.setEncoding('latin1');
      request.on('data', (chunk: string) => {
        body += chunk;
      });
      request.on('end', () => this.answer(pod, request, response, body));
    };
    const http1 = createServer(serve);
    http1.keepAliveTimeout = 120_000;
    // Asked for somebody else, it talks in that one's place.
    http1.on('connect', ({ url }: IncomingMessage, socket: Socket, head: Buffer) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.unshift(head);
      talk(`${url} through ${pod}`, socket);
    });
    const http2 = createHttp2Server(serve);
    http2.on('connect', ({ authority, stream }: Http2ServerRequest) => {
      stream.respond({ ':status': 200 });
      talk(`${authority} through ${pod}`, stream);
    });
    return (socket, first) => {
      // An application that serves requests ends with its client; one that is a proxy does not.
      if (!first.startsWith('CONNECT')) socket.allowHalfOpen = false;
      (first.startsWith('PRI') ? http2 : http1).emit('connection', socket);
    };
  }

  private async listen(server: TcpServer, place: { host: string; port: number } | { path: string }): Promise<number> {
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(place, resolve);
    });
    this.servers.push(server);
    const bound = server.address();
    return bound === null || typeof bound === 'string' ? 0 : bound.port;
  }

  /** A proxy asks whether a request is over its limit, or may go on. */
  private answerCall(
    pod: string,
    response: Http2ServerResponse,
    body: string,
    answerOf: (pod: string, message: Buffer) => Buffer | undefined,
  ): void {
    const answer = answerOf(pod, Buffer.from(body, 'latin1'));
    if (answer === undefined) return;
    response.writeHead(200, { 'content-type': 'application/grpc' });
    response.addTrailers({ 'grpc-status': '0' });
    response.end(answer);
  }

  /** A health check, which no client of a case has sent. */
  private answerCheck(
    pod: string,
    { url, method, headers }: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    asked: string,
  ): void {
    const isServing = !this.unwell.has(pod) && headers['x-probe'] !== 'unwell';
    if (url !== '/grpc.health.v1.Health/Check' || !('stream' in response)) {
      const isKnown =
        url === '/healthz' ||
        (url === '/head-only' && method === 'HEAD') ||
        (url === '/for-host' && headers.host === 'checked.example') ||
        url === `/method/${method}`;
      response.writeHead(!isKnown ? (url === '/body' ? 200 : 404) : isServing ? 200 : 503);
      response.end(url === '/body' ? `state: ${isServing ? 'serving' : 'draining'}\n` : '');
      return;
    }
    // Of a service without a name, or of one that is known; of any other gRPC says NOT_FOUND.
    const isKnown = asked === '' || asked === 'shop.Cart' || headers[':authority'] === 'checked.example';
    response.writeHead(200, { 'content-type': 'application/grpc' });
    response.addTrailers({ 'grpc-status': isKnown ? '0' : '5' });
    // A message of two bytes: HealthCheckResponse{status: SERVING or NOT_SERVING}.
    response.end(Buffer.from(isKnown ? [0, 0, 0, 0, 2, 8, isServing ? 1 : 2] : []));
  }

  private answer(
    pod: string,
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    body: string,
  ): void {
    const { rawHeaders, headers: known, method = '', url: path = '' } = request;
    const headers: [string, string][] = [];
    const protocol = request.httpVersionMajor === 2 ? 'HTTP/2' : `HTTP/${request.httpVersion}`;
    for (let index = 0; index < rawHeaders.length; index += 2) {
      if (rawHeaders[index]?.startsWith(':')) continue;
      headers.push([(rawHeaders[index] ?? '').toLowerCase(), rawHeaders[index + 1] ?? '']);
    }
    const id = String(known[REQUEST_ID] ?? '');
    if ((path === SHOULD_RATE_LIMIT || path === CHECK) && 'stream' in response) {
      this.answerCall(pod, response, body, path === CHECK ? grpcVerdict : answerLimit);
      return;
    }
    if (path.startsWith(CHECK_PATH)) {
      const host = known.host ?? String(known[':authority'] ?? '');
      const verdict = httpVerdict(pod, method, path, host, headers, body);
      if (verdict !== undefined)
        (response as ServerResponse).writeHead(verdict.status, verdict.headers).end(verdict.body);
      return;
    }
    if (id === '') {
      this.answerCheck(pod, request, response, body.slice(7));
      return;
    }
    const host = known.host ?? String(known[':authority'] ?? '');
    const arrived = SHADOW.test(host) ? this.copies : this.received;
    const before = arrived.get(id) ?? [];
    const { remoteAddress, remotePort } = request.socket;
    const connection = `${remoteAddress}:${remotePort}`;
    const atOnce = (this.active.get(pod) ?? 0) + 1;
    this.active.set(pod, atOnce);
    response.once('close', () => this.active.set(pod, (this.active.get(pod) ?? 0) - 1));
    const facts = this.facts.get(`${pod} ${connection}`) ?? PLAIN_TEXT;
    const seen = { pod, protocol, method, path, host, headers, body, connection, atOnce, ...facts };
    arrived.set(id, [...before, seen]);
    const answers = this.scripts.get(id) ?? [];
    const script = answers[Math.min(before.length, answers.length - 1)] ?? PLAIN;
    const write = () => {
      if (script.reset) {
        request.socket.resetAndDestroy();
        return;
      }
      if (script.resetStream !== undefined) {
        resetStream(pod, response, script.resetStream);
        return;
      }
      (response as ServerResponse).writeHead(script.status, { 'content-type': 'text/plain', ...script.headers });
      if (Object.keys(script.trailers).length > 0) response.addTrailers(script.trailers);
      response.end(script.body ?? `${pod}\n`);
    };
    if (script.delayMs === 0) write();
    else setTimeout(write, script.delayMs).unref();
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(this.deafPods.map((pod) => pod.stop()));
    await Promise.all(this.servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** @param code as RFC 9113 (section 7) calls it */
function resetStream(pod: string, response: ServerResponse | Http2ServerResponse, code: string): void {
  const number = constants[`NGHTTP2_${code}` as keyof typeof constants];
  if (!('stream' in response) || typeof number !== 'number') {
    throw new Error(`${pod}: \`resetStream: ${code}\` must be a code of HTTP/2, answered to a request by HTTP/2`);
  }
  response.stream.close(number);
}

/** Hands a connection on as soon as something has come, with the bytes still to be read. */
function onFirstBytes(serve: (socket: Socket, first: string) => void): (socket: Socket) => void {
  return (socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      if (first === null) {
        socket.end();
        return;
      }
      socket.unshift(first);
      serve(socket, first.toString('latin1', 0, 200));
    });
  };
}

function talk(pod: string, socket: Duplex): void {
  socket.on('error', () => socket.destroy());
  socket.write(`hello from ${pod}\n`);
  socket.on('data', (chunk: Buffer) => {
    const answer = chunk.toString('latin1').toUpperCase();
    socket.write(answer, 'latin1');
    if (answer.endsWith('BYE\n')) socket.end('goodbye\n');
  });
  socket.on('end', () => socket.end('goodbye\n'));
}
