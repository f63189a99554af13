// Demo check: a load of a fixed rate, every other request on a connection of its own.

import { Agent } from 'node:http';
import { call } from './http-call.js';

export interface Sample {
  readonly startedAtMs: number;
  /** "v1", "v2", "v3", or undefined where the request failed. */
  readonly version: string | undefined;
  readonly failure: string | undefined;
  readonly freshConnection: boolean;
}

const TICK_MS = 10;
const TIMEOUT_MS = 5000;

/** Sends requests at a rate that does not wait for answers, as independent users would. */
export class OpenLoad {
  readonly samples: Sample[] = [];
  readonly #url: string;
  readonly #perSecond: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #pending = new Set<Promise<void>>();
  readonly #startedAtMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  #sent = 0;

  constructor(url: string, perSecond: number) {
    this.#url = url;
    this.#perSecond = perSecond;
    this.#timer = setInterval(() => this.#sendDue(), TICK_MS);
  }

  /** Stops sending and waits for the answers that are still to come. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pending);
    this.#agent.destroy();
  }

  /** The samples whose requests began within [fromMs, toMs) of `performance.now()`, once all of them are answered. */
  async between(fromMs: number, toMs: number): Promise<Sample[]> {
    // Without the wait, the slower of two versions would be under-counted.
    await Promise.all(this.#pending);
    return this.samples.filter(({ startedAtMs }) => startedAtMs >= fromMs && startedAtMs < toMs);
  }

  #sendDue(): void {
    const due = Math.floor(((performance.now() - this.#startedAtMs) / 1000) * this.#perSecond);
    while (this.#sent < due) {
      const sending = this.#send(this.#sent++ % 2 === 0).finally(() => this.#pending.delete(sending));
      this.#pending.add(sending);
    }
  }

  async #send(freshConnection: boolean): Promise<void> {
    const startedAtMs = performance.now();
    const agent = freshConnection ? false : this.#agent;
    try {
      const { status, body } = await call(this.#url, { agent, timeoutMs: TIMEOUT_MS });
      if (status !== 200) throw new Error(`status ${status}: ${body.slice(0, 100)}`);
      const { version } = JSON.parse(body) as { version: string };
      this.samples.push({ startedAtMs, version, failure: undefined, freshConnection });
    } catch (error) {
      this.samples.push({ startedAtMs, version: undefined, failure: (error as Error).message, freshConnection });
    }
  }
}
