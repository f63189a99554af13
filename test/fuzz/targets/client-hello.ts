// Fuzzing, TLS: ClientHello bytes at a port that takes TLS and plaintext; whatever is sent, others are served meanwhile.

import { request as httpRequest } from 'node:http';
import { connect, createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { freePort } from '../../harness/free-port.js';
import { Authority, type KeyPair, spiffe } from '../../security/mesh-certificates.js';
import {
  address,
  cluster,
  connectionManager,
  type Json,
  ProxyUnderTest,
  TLS_INSPECTOR,
  tlsSocket,
  toCluster,
} from '../../security/proxy-under-test.js';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import type { Random } from '../loop/random.js';
import { mutateBytes } from '../mutate/mutate-bytes.js';
import { EchoBackend } from './echo-backend.js';
import { memoryFault } from './memory.js';

const TIMEOUT_MS = 10_000;
const LOOK_EVERY = 100;
const TOKENS = [
  [22, 3, 1, 0, 1],
  [22, 3, 3, 255, 255],
  [21, 3, 3, 0, 2, 2, 40],
  [20, 3, 3, 0, 1, 1],
  [0, 0],
  [255, 255],
  [0, 16, 0, 14, 0, 12, 2, 104, 50],
].map((bytes) => Buffer.from(bytes));

export class ClientHelloTarget implements FuzzTarget {
  readonly name = 'client-hello';
  readonly oracle = 'no bytes at a TLS port end the sidecar, stay without an end, or keep others from being served';
  readonly #backend = new EchoBackend();
  #seeds: Buffer[] = [];
  #proxy: ProxyUnderTest | undefined;
  #client: KeyPair | undefined;
  #rootPem = '';
  #port = 0;
  #runs = 0;
  #firstRssMiB = 0;

  async start(): Promise<void> {
    const authority = await Authority.create();
    const server = await authority.issue({ uris: [spiffe('target')] });
    this.#client = await authority.issue({ uris: [spiffe('client')] });
    this.#rootPem = authority.rootPem;
    this.#seeds = [
      await helloBytes({ servername: 'a.example', ALPNProtocols: ['istio', 'http/1.1'] }),
      await helloBytes({ ALPNProtocols: ['h2'], maxVersion: 'TLSv1.2' }),
      await helloBytes({ servername: `${'long-label.'.repeat(20)}example` }),
      Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
    ];
    const backendPort = await this.#backend.listen();
    this.#port = await freePort();
    const filters = [connectionManager({ routes: [toCluster('app')] })];
    const common = {
      tls_certificates: [
        { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
      ],
      validation_context: { trusted_ca: { inline_string: authority.rootPem } },
      alpn_protocols: ['istio'],
    };
    const tlsChain: Json = {
      filter_chain_match: { transport_protocol: 'tls' },
      transport_socket: tlsSocket('Downstream', common, { require_client_certificate: true }),
      filters,
    };
    const fuzzed: Json = {
      name: 'fuzzed',
      address: address(this.#port),
      listener_filters: [TLS_INSPECTOR],
      listener_filters_timeout: '1s',
      filter_chains: [tlsChain, { filter_chain_match: { transport_protocol: 'raw_buffer' }, filters }],
    };
    this.#proxy = await ProxyUnderTest.start([fuzzed], [cluster('app', backendPort)]);
    this.#firstRssMiB = this.#proxy.rssMiB();
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    this.#backend.close();
  }

  seeds = () => this.#seeds;
  mutate = (random: Random, input: Buffer, other: Buffer) => mutateBytes(random, input, other, TOKENS);

  async run(input: Buffer): Promise<Outcome> {
    const answer = await sendAndEnd(this.#port, input);
    const proxy = this.#proxy as ProxyUnderTest;
    if (proxy.app.child.exitCode !== null) throw new Error(`the sidecar ended: ${proxy.app.output().slice(-2000)}`);
    if (answer === undefined) return failed(`the connection had no end within ${TIMEOUT_MS / 1000} s`);
    if (++this.#runs % LOOK_EVERY === 0) {
      const others = await this.#othersAreServed();
      if (others !== undefined) return failed(others);
    }
    return passed(signatureOf(answer));
  }

  async #othersAreServed(): Promise<string | undefined> {
    const plain = await new Promise<number>((resolve) => {
      const call = httpRequest(
        { port: this.#port, host: '127.0.0.1', agent: false, timeout: TIMEOUT_MS },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      call.on('timeout', () => call.destroy(new Error('timeout')));
      call.on('error', () => resolve(0));
      call.end();
    });
    if (plain !== 200) return `a plaintext request got ${plain}`;
    const options = {
      port: this.#port,
      host: '127.0.0.1',
      ca: this.#rootPem,
      ALPNProtocols: ['istio'],
      ...this.#client,
    };
    const secure = await new Promise<string>((resolve) => {
      const socket = connectTls({ ...options, checkServerIdentity: () => undefined }, () => {
        socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      });
      socket.once('data', (chunk: Buffer) => {
        resolve(chunk.toString('latin1', 0, 12));
        socket.destroy();
      });
      socket.on('error', (error) => resolve(error.message));
      socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timeout')));
    });
    return secure === 'HTTP/1.1 200' ? undefined : `a request over mutual TLS got ${secure}`;
  }

  atEnd = () => memoryFault(this.#proxy as ProxyUnderTest, this.#firstRssMiB);
}

/** The first bytes of what this Node sends to begin TLS. */
function helloBytes(options: {
  servername?: string;
  ALPNProtocols?: string[];
  maxVersion?: 'TLSv1.2';
}): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once('data', (bytes: Buffer) => {
        socket.destroy();
        server.close();
        resolve(bytes);
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      connectTls({ port, host: '127.0.0.1', ...options }).on('error', () => {}); // it is cut off
    });
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
    socket.end(input);
  });
}

/** Kind of the answer: nothing, HTTP with its status, or the TLS record with its alert. */
function signatureOf(answer: Buffer): string {
  if (answer.length === 0) return 'nothing';
  if (answer[0] === 0x48) return answer.toString('latin1', 0, 12);
  return `record ${answer[0]} ${answer[0] === 21 ? `${answer[5]} ${answer[6]}` : ''}`;
}
