// Token keys: the keys of all issuers that policies name: fetched, refreshed, and kept while an issuer is away.

import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import { configsOf, type FetchedKeys, keySourceOf, type MeshSnapshot } from '@lateen/translate';
import { fetchKeys, KeyFetchError } from './fetch-keys.js';

/** As in Istio. */
const REFRESH_MS = 20 * 60_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 5 * 60_000;
/** More issuers than a mesh has. */
const MAX_ADDRESSES = 1_000;

export interface TokenKeysOptions {
  /** Where keys outlive the process. */
  readonly file: string;
  readonly logger: Logger;
  readonly onChange: () => void;
  /** Times, for tests. */
  readonly refreshMs?: number;
  readonly firstRetryMs?: number;
}

interface Source extends FetchedKeys {
  readonly timeoutMs: number;
  readonly keys: string | undefined;
  readonly problem: string | undefined;
  readonly failures: number;
}

/** Keys are never taken back because an issuer does not answer: its last ones count until there are others. */
export class TokenKeys {
  readonly #sources = new Map<string, Source>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #stored: Map<string, string>;
  #writes: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(
    private readonly options: TokenKeysOptions,
    stored: Readonly<Record<string, string>>,
  ) {
    this.#stored = new Map(Object.entries(stored));
  }

  /** Reads what was stored. A file that cannot be read is left out and logged: keys are fetched in any case. */
  static async open(options: TokenKeysOptions): Promise<TokenKeys> {
    return new TokenKeys(options, await readStored(options));
  }

  /** By address, for the snapshot. */
  get current(): Readonly<Record<string, FetchedKeys>> {
    return Object.fromEntries(
      [...this.#sources].map(([address, { keys, problem }]) => [address, { keys, problem }] as const),
    );
  }

  /** The policies are these now: fetches what is new, and forgets what nobody names. */
  follow(snapshot: MeshSnapshot): void {
    const wanted = new Map<string, number>();
    for (const { spec } of configsOf(snapshot, 'RequestAuthentication')) {
      for (const rule of spec.jwtRules ?? []) {
        const source = keySourceOf(rule);
        if (source.kind === 'fetched' && wanted.size < MAX_ADDRESSES) wanted.set(source.address, source.timeoutMs);
      }
    }
    for (const address of this.#sources.keys()) if (!wanted.has(address)) this.#forget(address);
    for (const [address, timeoutMs] of wanted) {
      const known = this.#sources.get(address);
      const keys = this.#stored.get(address);
      this.#sources.set(address, { keys, problem: undefined, failures: 0, ...known, timeoutMs });
      if (known === undefined) {
        if (keys !== undefined) this.options.onChange();
        void this.#fetch(address);
      }
    }
  }

  /** Fetches no more; resolves when everything is stored. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.#writes;
  }

  async #fetch(address: string): Promise<void> {
    const { logger } = this.options;
    const before = this.#sources.get(address);
    if (before === undefined || this.#closed) return;
    let outcome: Pick<Source, 'keys' | 'problem' | 'failures'>;
    try {
      const keys = await fetchKeys(address, before.timeoutMs);
      outcome = { keys, problem: undefined, failures: 0 };
    } catch (error) {
      if (!(error instanceof KeyFetchError)) throw error;
      const kept = before.keys === undefined ? 'their tokens are refused' : 'the last keys stay in use';
      logger.warn({ address, reason: error.message, failures: before.failures + 1 }, `no keys from an issuer: ${kept}`);
      outcome = { keys: before.keys, problem: error.message, failures: before.failures + 1 };
    }
    const now = this.#sources.get(address);
    if (now === undefined || this.#closed) return;
    this.#sources.set(address, { ...now, ...outcome });
    this.#schedule(address, outcome.failures);
    if (outcome.keys !== before.keys) this.#store(address, outcome.keys);
    if (outcome.keys !== before.keys || (outcome.keys === undefined && outcome.problem !== before.problem)) {
      this.options.onChange();
    }
  }

  #schedule(address: string, failures: number): void {
    const { refreshMs = REFRESH_MS, firstRetryMs = FIRST_RETRY_MS } = this.options;
    const delayMs = failures === 0 ? refreshMs : Math.min(firstRetryMs * 2 ** (failures - 1), MAX_RETRY_MS, refreshMs);
    // Not all at once, and not always in step with others.
    const timer = setTimeout(() => void this.#fetch(address), delayMs * (0.9 + Math.random() * 0.2));
    timer.unref();
    this.#timers.set(address, timer);
  }

  #forget(address: string): void {
    clearTimeout(this.#timers.get(address));
    this.#timers.delete(address);
    this.#sources.delete(address);
    if (this.#stored.has(address)) this.#store(address, undefined);
  }

  #store(address: string, keys: string | undefined): void {
    const { file, logger } = this.options;
    if (keys === undefined) this.#stored.delete(address);
    else this.#stored.set(address, keys);
    const text = JSON.stringify(Object.fromEntries(this.#stored));
    this.#writes = this.#writes
      .then(() => writeFileAtomic(file, text))
      .catch((error: unknown) => logger.error({ file, error }, 'the keys of issuers cannot be stored'));
  }
}

async function readStored({ file, logger }: TokenKeysOptions): Promise<Record<string, string>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') logger.warn({ file, error }, 'stored keys cannot be read');
    return {};
  }
  try {
    const parsed: unknown = JSON.parse(text);
    const entries = Object.entries(parsed as Record<string, unknown>);
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch (error) {
    logger.warn({ file, error }, 'stored keys cannot be read; they are fetched again');
    return {};
  }
}
