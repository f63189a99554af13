// Fuzzing, HTTP/1.1 through a real sidecar: what reaches the application is what the reference parser read, and no more.

import { referenceOutcome } from '@lateen/filters-wasm/testing';
import { freePort } from '../../harness/free-port.js';
import { cluster, listener, ProxyUnderTest, toCluster } from '../../security/proxy-under-test.js';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import { Random } from '../loop/random.js';
import { HTTP1_SEEDS, mutateHttp1 } from '../mutate/mutate-http1.js';
import { EchoBackend } from './echo-backend.js';
import { memoryFault } from './memory.js';
import { exchange } from './read-answers.js';

const TIMEOUT_MS = 10_000;
/** What a sidecar forwards and Node's server refuses; see LENIENCIES in http1-core.ts for why. */
const LENIENCIES: readonly string[] = [
  'HPE_INVALID_METHOD',
  'HPE_INVALID_URL',
  'HPE_HEADER_OVERFLOW',
  'HPE_INVALID_HEADER_TOKEN',
];

export class Http1ProxyTarget implements FuzzTarget {
  readonly name = 'http1-proxy';
  readonly oracle =
    "a sidecar forwards the reference parser's messages and answers each; Node's server refuses nothing of it";
  readonly #backend = new EchoBackend();
  #proxy: ProxyUnderTest | undefined;
  #port = 0;
  #firstRssMiB = 0;

  async start(): Promise<void> {
    const backendPort = await this.#backend.listen();
    this.#port = await freePort();
    const chain = { routes: [toCluster('app')], hcm: { merge_slashes: false } };
    this.#proxy = await ProxyUnderTest.start([listener('fuzzed', this.#port, chain)], [cluster('app', backendPort)]);
    this.#firstRssMiB = this.#proxy.rssMiB();
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    this.#backend.close();
  }

  seeds = () => HTTP1_SEEDS;
  mutate = (random: Random, input: Buffer, other: Buffer) => mutateHttp1(random, input, other);

  async run(input: Buffer): Promise<Outcome> {
    // A head that is wrong but unfinished may be refused later, so only a message that ends the connection must end it.
    const expected = referenceOutcome(input.toString('latin1'));
    const { messages, refused, answered, nextMethod, closes: waitsForClose } = expected;
    const read = messages.slice(0, answered);
    this.#backend.reached.length = 0;
    this.#backend.refused.length = 0;
    const methods = read.map(({ method }) => method);
    const asked = { methods, nextMethod, waitsForClose, timeoutMs: TIMEOUT_MS };
    const answers = await exchange(this.#port, this.#pieces(input), asked);
    const proxy = this.#proxy as ProxyUnderTest;
    if (proxy.app.child.exitCode !== null) throw new Error(`the sidecar ended: ${proxy.app.output().slice(-2000)}`);
    if (answers === undefined) return failed(`the connection did not end within ${TIMEOUT_MS / 1000} s`);
    if (answers.fault !== undefined) return failed(answers.fault);
    const refusedByNode = this.#backend.refused.find((code) => !LENIENCIES.includes(code));
    if (refusedByNode !== undefined) return failed(`the sidecar sent what Node refuses: ${refusedByNode}`);
    const lost = this.#forwarded(read, answers.statuses);
    if (lost !== undefined) return failed(lost);
    return passed(`${read.length} ${refused} ${answers.statuses.join()}`);
  }

  /** Every message was forwarded or answered otherwise than with 200, in order. */
  #forwarded(
    read: readonly { method: string; path: string; body: string }[],
    statuses: readonly number[],
  ): string | undefined {
    const reached = [...this.#backend.reached];
    for (const [index, message] of read.entries()) {
      const status = statuses[index];
      // A local answer to a request with a body may end the connection; then the rest is not read.
      if (status === undefined) return statuses[index - 1] === 200 ? `message ${index + 1} got no answer` : undefined;
      if (status !== 200) continue;
      const got = reached.shift();
      if (got === undefined || got.method !== message.method || got.url !== message.path || got.body !== message.body) {
        return `message ${index + 1} was ${JSON.stringify(message)}, the application got ${JSON.stringify(got)}`;
      }
    }
    return reached.length === 0 ? undefined : `the application got one more: ${JSON.stringify(reached[0])}`;
  }

  /** The same pieces for the same input. */
  #pieces(input: Buffer): Buffer[] {
    const random = new Random(input.length * 31 + (input[input.length >> 1] ?? 0));
    if (random.chance(0.6)) return [input];
    const cuts = [random.below(input.length + 1), random.below(input.length + 1)].sort((a, b) => a - b);
    return [input.subarray(0, cuts[0]), input.subarray(cuts[0], cuts[1]), input.subarray(cuts[1])].filter(
      ({ length }) => length > 0,
    );
  }

  atEnd = () => memoryFault(this.#proxy as ProxyUnderTest, this.#firstRssMiB);
}
