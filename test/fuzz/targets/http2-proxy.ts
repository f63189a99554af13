// Fuzzing, HTTP/2 through a real sidecar: frames of clients and of servers; whatever they are, others are served on.

import { request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../harness/free-port.js';
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
    'no frames of a client or a server end the sidecar, stay without an end, or keep others from being served';
  readonly #backend = new EchoBackend();
  readonly #evil: Server;
  #answer: Buffer = Buffer.alloc(0);
  #proxy: ProxyUnderTest | undefined;
  #clientPort = 0;
  #serverPort = 0;
  #runs = 0;
  #firstRssMiB = 0;

  constructor() {
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
    const { port } = this.#evil.address() as AddressInfo;
    this.#clientPort = await freePort();
    this.#serverPort = await freePort();
    this.#proxy = await ProxyUnderTest.start(
      [
        listener('clients', this.#clientPort, { routes: [toCluster('app')] }),
        listener('servers', this.#serverPort, { routes: [toCluster('evil')] }),
      ],
      [cluster('app', backendPort), { ...cluster('evil', port), ...HTTP_2 }],
    );
    this.#firstRssMiB = this.#proxy.rssMiB();
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    this.#backend.close();
    this.#evil.close();
  }

  seeds = () => [...HTTP2_REQUEST_SEEDS, ...HTTP2_RESPONSE_SEEDS];
  mutate = (random: Random, input: Buffer, other: Buffer) => mutateHttp2(random, input, other);

  async run(input: Buffer): Promise<Outcome> {
    const answer = await sendAndEnd(this.#clientPort, Buffer.concat([HTTP2_PREFACE, input]));
    const alive = this.#alive();
    if (answer === undefined) return failed(`a client's connection had no end within ${TIMEOUT_MS / 1000} s`);
    this.#answer = input;
    const status = await askHttp1(this.#serverPort);
    if (status === undefined) return failed(`a request to such a server had no end within ${TIMEOUT_MS / 1000} s`);
    this.#alive();
    if (++this.#runs % LOOK_EVERY === 0 && alive) {
      const others = await this.#othersAreServed();
      if (others !== undefined) return failed(others);
    }
    return passed(`${kindsOf(answer)} ${status}`);
  }

  /** @throws Error where the sidecar has ended */
  #alive(): boolean {
    const proxy = this.#proxy as ProxyUnderTest;
    if (proxy.app.child.exitCode !== null) throw new Error(`the sidecar ended: ${proxy.app.output().slice(-2000)}`);
    return true;
  }

  async #othersAreServed(): Promise<string | undefined> {
    const old = await askHttp1(this.#clientPort);
    if (old !== '200') return `a request of HTTP/1.1 got ${old}`;
    const status = await new Promise<number>((resolve) => {
      const session = connectHttp2(`http://127.0.0.1:${this.#clientPort}`);
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
    return status === 200 ? undefined : `a request of HTTP/2 got ${status}`;
  }

  atEnd = () => memoryFault(this.#proxy as ProxyUnderTest, this.#firstRssMiB);
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
