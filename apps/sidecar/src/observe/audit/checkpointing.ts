// Audit: when a log asks for a signature of how far it has come. Requests never wait for that, and the log goes on without.

import type { LogHead, SignCheckpoint } from './checkpoint-client.js';

export interface CheckpointingOptions {
  readonly sign: SignCheckpoint;
  /** What is on the disk; undefined where nothing is. */
  readonly head: () => LogHead | undefined;
  /** Makes what is written durable: what was signed must not be lost by a loss of power. */
  readonly sync: () => Promise<void>;
  /** Appends a record to the chain. @returns its number */
  readonly seal: (members: Readonly<Record<string, unknown>>) => number;
  /** Number of the last record, written or not. */
  readonly lastSeq: () => number;
  /** Nobody signs: told once for each outage. */
  readonly onUnsigned: (reason: string) => void;
  readonly intervalMs?: number;
}

/** The first one comes soon, so that a log of any length has one. */
const FIRST_MS = 1_000;
const INTERVAL_MS = 10_000;
const MAX_INTERVALS = 6;
const TIMEOUT_MS = 10_000;
/** A process that ends does not wait for long. */
const LAST_TIMEOUT_MS = 1_500;
/** An answer so late is not worth a record: who verifies remembers as many hashes. */
const MAX_LAG = 100_000;

export class Checkpointing {
  #timer: NodeJS.Timeout | undefined;
  #signedSeq = 0;
  /** Number of the record that has the last signature. */
  #recordSeq = 0;
  #failures = 0;
  #stopped = false;

  constructor(private readonly options: CheckpointingOptions) {}

  begin(): void {
    this.#schedule(Math.min(FIRST_MS, this.options.intervalMs ?? INTERVAL_MS));
  }

  /** No more of them, but for the last one; an answer that is under way leaves no record. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Of a log that has ended; resolves also where nobody signs. */
  last(): Promise<void> {
    return this.#ask(LAST_TIMEOUT_MS, () => false);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      void this.#ask(TIMEOUT_MS, () => this.#stopped).then(() => {
        const intervals = Math.min(2 ** this.#failures, MAX_INTERVALS);
        // Not all sidecars of a mesh at once.
        this.#schedule((this.options.intervalMs ?? INTERVAL_MS) * intervals * (0.9 + Math.random() * 0.2));
      });
    }, delayMs);
    this.#timer.unref();
  }

  async #ask(timeoutMs: number, isTooLate: () => boolean): Promise<void> {
    const { sign, head: headOf, sync, seal, lastSeq, onUnsigned } = this.options;
    const head = headOf();
    if (head === undefined || head.seq <= this.#signedSeq) return;
    // Nothing but the last signature is new.
    if (head.seq === this.#recordSeq && this.#recordSeq === this.#signedSeq + 1) return;
    try {
      await sync();
      const jws = await sign(head, timeoutMs);
      if (jws === undefined || isTooLate()) return;
      this.#failures = 0;
      this.#signedSeq = head.seq;
      if (lastSeq() - head.seq > MAX_LAG) return;
      this.#recordSeq = seal({ type: 'checkpoint', time: new Date().toISOString(), through: head.seq, jws });
    } catch (error) {
      if (isTooLate()) return;
      if (this.#failures === 0) onUnsigned((error as Error).message);
      this.#failures++;
    }
  }
}
