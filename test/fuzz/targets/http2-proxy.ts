// Fuzzing, HTTP/2 through a real sidecar: frames of clients and of servers, also where the other side speaks HTTP/2 as well;
// whatever they are, others are served on.

import { request as httpRequest } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../harness/free-port.js';
import { waitUntil } from '../../harness/wait-until.js';
import { cluster, listener, ProxyUnderTest, toCluster } from '../../security/proxy-under-test.js';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import type { Random } from '../loop/random.js';
import { HTTP2_PREFACE, HTTP2_REQUEST_SEEDS, HTTP2_RESPONSE_SEEDS, mutateHttp2 } from '../mutate/mutate-http2.js';
import { EchoBackend } from './echo-backend.js';
import { memoryFault } from './memory.js';

const TIMEOUT_MS = 10_000;
const LOOK_EVERY = 50;
const HTTP_2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
};

export class Http2ProxyTarget implements FuzzTarget {
  readonly name = 'http2-proxy';
  readonly oracle =
    'no frames of a client or a server end the sidecar, stay without an end, keep others from being served, or leave anything in use';
  readonly #backend = new EchoBackend();
  readonly #http2Backend: Http2Server;
  readonly #evil: Server;
  #answer: Buffer = Buffer.alloc(0);
  #proxy: ProxyUnderTest | undefined;
  /** Clients' frames, for an application of HTTP/1.1 and one of HTTP/2. */
  #clientPort = 0;
  #clientToHttp2Port = 0;
  /** To servers that say what they are told to, from clients of either version. */
  #serverPort = 0;
  #runs = 0;
  #firstRssMiB = 0;

  constructor() {
    this.#http2Backend = createHttp2Server();
    this.#http2Backend.on('stream', (stream) => {
      let length = 0;
      stream.on('error', () => {}); // of a client that leaves
      stream.on('data', (chunk: Buffer) => {
        length += chunk.length;
      });
      stream.on('end', () => {
        if (stream.destroyed || stream.headersSent) return;
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-length': String(length) }));
        stream.end('x'.repeat(Math.min(length, 1000)));
      });
    });
    this.#http2Backend.on('sessionError', () => {});
    this.#evil = createServer((socket: Socket) => {
      socket.on('error', () => {});
      // It says what it says, and ends once it was asked.
      socket.once('data', () => socket.end(this.#answer));
      socket.resume();
    });
  }

  async start(): Promise<void> {
    const backendPort = await this.#backend.listen();
    await new Promise<void>((resolve) => this.#evil.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => this.#http2Backend.listen(0, '127.0.0.1', resolve));
    const { port } = this.#evil.address() as AddressInfo;
    const { port: http2Port } = this.#http2Backend.address() as AddressInfo;
    this.#clientPort = await freePort();
    this.#clientToHttp2Port = await freePort();
    this.#serverPort = await freePort();
    this.#proxy = await ProxyUnderTest.start(
      [
        listener('clients', this.#clientPort, { routes: [toCluster('app')] }),
        listener('clients of HTTP/2 services', this.#clientToHttp2Port, { routes: [toCluster('app2')] }),
        listener('servers', this.#serverPort, { routes: [toCluster('evil')] }),
      ],
      [
        cluster('app', backendPort),
        { ...cluster('app2', http2Port), ...HTTP_2 },
        { ...cluster('evil', port), ...HTTP_2 },
      ],
    );
    this.#firstRssMiB = this.#proxy.rssMiB();
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    this.#backend.close();
    this.#http2Backend.close();
    this.#evil.close();
  }

  seeds = () => [...HTTP2_REQUEST_SEEDS, ...HTTP2_RESPONSE_SEEDS];
  mutate = (random: Random, input: Buffer, other: Buffer) => mutateHttp2(random, input, other);

  async run(input: Buffer): Promise<Outcome> {
    const request = Buffer.concat([HTTP2_PREFACE, input]);
    const late = (whose: string) => failed(`${whose} had no end within ${TIMEOUT_MS / 1000} s`);
    const answer = await sendAndEnd(this.#clientPort, request);
    this.#checkAlive();
    if (answer === undefined) return late("a client's connection");
    const answerOfHttp2 = await sendAndEnd(this.#clientToHttp2Port, request);
    this.#checkAlive();
    if (answerOfHttp2 === undefined) return late("a client's connection to a service of HTTP/2");
    this.#answer = input;
    const status = await askHttp1(this.#serverPort);
    this.#checkAlive();
    if (status === undefined) return late('a request to such a server');
    // Both ends at once: a request that is as it should be for an answer that is not, and the same bytes for both.
    const requests = [HTTP2_REQUEST_SEEDS[this.#runs % HTTP2_REQUEST_SEEDS.length]!, input];
    const kinds: string[] = [];
    for (const each of requests) {
      const both = await sendAndEnd(this.#serverPort, Buffer.concat([HTTP2_PREFACE, each]));
      this.#checkAlive();
      if (both === undefined) return late("a client's connection to such a server");
      kinds.push(kindsOf(both));
    }
    if (++this.#runs % LOOK_EVERY === 0) {
      const others = (await this.#othersAreServed()) ?? (await this.#leftInUse());
      if (others !== undefined) return failed(others);
    }
    return passed([kindsOf(answer), kindsOf(answerOfHttp2), status, ...kinds].join(' '));
  }

  /** @throws Error where the sidecar has ended */
  #checkAlive(): void {
    const proxy = this.#proxy as ProxyUnderTest;
    if (proxy.app.child.exitCode !== null) throw new Error(`the sidecar ended: ${proxy.app.output().slice(-2000)}`);
  }

  async #othersAreServed(): Promise<string | undefined> {
    const old = await askHttp1(this.#clientPort);
    if (old !== '200') return `a request of HTTP/1.1 got ${old}`;
    for (const port of [this.#clientPort, this.#clientToHttp2Port]) {
      const status = await askHttp2(port);
      if (status !== 200) return `a request of HTTP/2 got ${status}`;
    }
    return undefined;
  }

  /** Between two inputs nobody has a request, so nothing that belongs to one may be left. */
  async #leftInUse(): Promise<string | undefined> {
    const proxy = this.#proxy as ProxyUnderTest;
    let left: readonly string[] = [];
    try {
      await waitUntil(
        'it',
        async () => {
          const counts = await Promise.all(IN_USE.map(async (name) => [name, await proxy.metric(name)] as const));
          left = counts.filter(([, count]) => count !== 0).map(([name, count]) => `${name} ${count}`);
          return left.length === 0;
        },
        TIMEOUT_MS,
      );
      return undefined;
    } catch {
      return `something is left of requests that have ended: ${left.join(', ')}`;
    }
  }

  atEnd = async () =>
    (await this.#leftInUse()) ?? (await memoryFault(this.#proxy as ProxyUnderTest, this.#firstRssMiB));
}

/** Gauges of the sidecar that are 0 while there is no request. */
const IN_USE: readonly string[] = [
  'envoy_http_downstream_rq_active',
  'envoy_listener_downstream_cx_active',
  'envoy_cluster_upstream_rq_active',
  'envoy_cluster_upstream_rq_pending_active',
  'lateen_output_ring_used_bytes',
];

/** The status of a request on a connection of its own, 0 where there is none. */
function askHttp2(port: number): Promise<number> {
  return new Promise<number>((resolve) => {
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on('error', () => resolve(0));
    session.setTimeout(TIMEOUT_MS, () => session.destroy(new Error('timeout')));
    const stream = session.request({ ':path': '/' });
    stream.on('response', (headers) => {
      resolve(Number(headers[':status']));
      session.destroy();
    });
    stream.on('error', () => resolve(0));
    stream.end();
  });
}

/** The status of a request on a connection of its own, `reset` where it was cut, undefined where nothing came in time. */
function askHttp1(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const call = httpRequest({ port, host: '127.0.0.1', agent: false, timeout: TIMEOUT_MS }, (response) => {
      response.resume();
      response.on('end', () => resolve(String(response.statusCode)));
      response.on('error', () => resolve(`${response.statusCode} reset`));
    });
    call.on('timeout', () => {
      resolve(undefined);
      call.destroy();
    });
    call.on('error', () => resolve('reset'));
    call.end();
  });
}

/** Sends the bytes and nothing after them; what came back, once the other side is done. */
function sendAndEnd(port: number, input: Buffer): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port, host: '127.0.0.1' });
    const timer = setTimeout(() => {
      socket.destroy();
      resolve(undefined);
    }, TIMEOUT_MS);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {}); // a reset is an end, too
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    });
    socket.write(input);
    // What is answered needs a moment before the end is seen.
    setTimeout(() => socket.end(), 3);
  });
}

/** Which frames came, with the codes of those that end something. */
function kindsOf(answer: Buffer): string {
  const kinds = new Set<string>();
  for (let at = 0; at + 9 <= answer.length; at += 9 + answer.readUIntBE(at, 3)) {
    const type = answer[at + 3]!;
    const code = type === 3 ? at + 9 : type === 7 ? at + 13 : -1;
    kinds.add(code < 0 || code + 4 > answer.length ? String(type) : `${type}/${answer.readUInt32BE(code)}`);
  }
  return [...kinds].sort().join();
}
