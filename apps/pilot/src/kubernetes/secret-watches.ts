// Kubernetes: the Secrets that configuration names, each watched by its name alone, so that no right to read others is needed.

import { isDeepStrictEqual } from 'node:util';
import { ApiError, Informer, type KubeClient, resourceTypes, type Secret } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import { CREDENTIAL_KEYS, type Credential } from '@lateen/translate';
import type { CredentialName } from '../registry/registry-source.js';

export interface SecretWatchesOptions {
  readonly client: KubeClient;
  /** Values of before a restart, which count until the API server has answered. */
  readonly known: readonly Credential[];
  readonly logger: Logger;
  readonly onChange: () => void;
  /** How long a snapshot waits for the first answer. */
  readonly answerMs?: number;
}

/** `found`, `absent`: as the API server says; `refused`: Pilot may not read it; `unreachable`: there was no answer, or an error. */
export type SecretState = 'waiting' | 'found' | 'absent' | 'refused' | 'unreachable';

export interface SecretStanding {
  readonly namespace: string;
  readonly name: string;
  readonly state: SecretState;
  /** What is wrong and what to do; empty where nothing is. */
  readonly message: string;
  /** A value is served, though the state may say that it could not be looked at again. */
  readonly served: boolean;
  /** It need not be there. */
  readonly optional: boolean;
  /** What names it, `KIND/NAMESPACE/NAME`. */
  readonly namedBy: readonly string[];
}

const ANSWER_MS = 5_000;

function keyOf({ namespace, name }: Pick<CredentialName, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/** Only what gateways use of a Secret is kept. */
function credentialOf({ metadata, data = {} }: Secret): Credential {
  const values = CREDENTIAL_KEYS.flatMap((key) =>
    data[key] === undefined ? [] : [[key, Buffer.from(data[key], 'base64').toString('utf8')] as const],
  );
  return { namespace: metadata.namespace ?? '', name: metadata.name, values: Object.fromEntries(values) };
}

/** One Secret. */
class SecretWatch {
  readonly #informer: Informer<Secret>;
  readonly #deadline: NodeJS.Timeout;
  #credential: Credential | undefined;
  /** Of a Secret that cannot be read: one object for as long as the reason is the same. */
  #faulty: Credential | undefined;
  #isAnswered = false;
  state: SecretState = 'waiting';
  message = '';

  constructor(
    public name: CredentialName,
    known: Credential | undefined,
    private readonly options: SecretWatchesOptions,
  ) {
    this.#credential = known;
    this.#informer = new Informer({
      client: options.client,
      type: resourceTypes.secrets,
      namespace: name.namespace,
      fieldSelector: `metadata.name=${name.name}`,
      keep: ({ metadata, data }) => ({ metadata, ...(data !== undefined && { data }) }),
      onError: (error) => (error === undefined ? this.#look() : this.#failed(error)),
    });
    this.#informer.subscribe(() => this.#look());
    void this.#informer.synced.then(() => this.#look());
    this.#deadline = setTimeout(
      () => this.#answered('unreachable', 'the API server has not answered'),
      options.answerMs ?? ANSWER_MS,
    );
    this.#deadline.unref();
    this.#informer.start();
  }

  /** A snapshot without it would take away what a gateway has. */
  get isAwaited(): boolean {
    return !this.#isAnswered && this.#credential === undefined;
  }

  /** With what is wrong where there is no value. */
  get credential(): Credential | undefined {
    if (this.#credential !== undefined) return this.#credential;
    if (this.message === '' || this.state === 'absent') return undefined;
    const { namespace, name } = this.name;
    const fault = `cannot be read: ${this.message}`;
    if (this.#faulty?.fault !== fault) this.#faulty = { namespace, name, values: {}, fault };
    return this.#faulty;
  }

  get isServed(): boolean {
    return this.#credential !== undefined;
  }

  close(): Promise<void> {
    clearTimeout(this.#deadline);
    return this.#informer.stop();
  }

  #look(): void {
    if (!this.#informer.hasSynced) return;
    const { namespace, name } = this.name;
    const secret = this.#informer.get(namespace, name);
    if (secret === undefined) {
      this.#credential = undefined;
      this.#answered('absent', '');
      return;
    }
    const credential = credentialOf(secret);
    const isNew = !isDeepStrictEqual(credential, this.#credential);
    if (isNew) this.#credential = credential;
    this.#answered('found', '', isNew);
  }

  /** What was read before goes on being served. */
  #failed(error: Error): void {
    const isRefused = error instanceof ApiError && (error.code === 403 || error.code === 401);
    const advice = `give pilot's service account a Role in namespace ${this.name.namespace} that may get, list and watch it`;
    this.#answered(isRefused ? 'refused' : 'unreachable', isRefused ? `${error.message}; ${advice}` : error.message);
  }

  #answered(state: SecretState, message: string, isNew = false): void {
    clearTimeout(this.#deadline);
    const isOther = isNew || state !== this.state || message !== this.message || !this.#isAnswered;
    this.#isAnswered = true;
    this.state = state;
    this.message = message;
    if (!isOther) return;
    const { logger, onChange } = this.options;
    const about = { secret: keyOf(this.name), namedBy: this.name.namedBy, state };
    // Many a Secret has no companion with roots.
    if (message !== '' && !this.name.optional) logger.warn({ ...about, reason: message }, 'a Secret cannot be read');
    else logger.info(about, 'a Secret was looked at');
    onChange();
  }
}

export class SecretWatches {
  readonly #watches = new Map<string, SecretWatch>();
  readonly #known: Map<string, Credential>;
  readonly #closing = new Set<Promise<void>>();

  constructor(private readonly options: SecretWatchesOptions) {
    this.#known = new Map(options.known.map((each) => [keyOf(each), each]));
  }

  /** Watches these Secrets and no others. Returns what a first answer is missing for; undefined when there is nothing. */
  follow(names: readonly CredentialName[]): string | undefined {
    const wanted = new Map(names.map((each) => [keyOf(each), each]));
    for (const [key, watch] of this.#watches) {
      if (wanted.has(key)) continue;
      this.#watches.delete(key);
      const closed: Promise<void> = watch.close().finally(() => this.#closing.delete(closed));
      this.#closing.add(closed);
    }
    for (const [key, name] of wanted) {
      const watch = this.#watches.get(key);
      if (watch === undefined) this.#watches.set(key, new SecretWatch(name, this.#known.get(key), this.options));
      else watch.name = name;
    }
    this.#known.clear();
    const awaited = [...this.#watches].filter(([, { isAwaited }]) => isAwaited).map(([key]) => key);
    return awaited.length === 0 ? undefined : `the API server's answer about Secret ${awaited.sort().join(', ')}`;
  }

  /** Until it is known which Secrets are asked for: those of before. */
  credentials(): readonly Credential[] {
    const watched = [...this.#watches.values()].flatMap(({ credential }) => credential ?? []);
    return [...watched, ...this.#known.values()];
  }

  standings(): readonly SecretStanding[] {
    const sorted = [...this.#watches].sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.map(([, { name, state, message, isServed }]) => ({
      namespace: name.namespace,
      name: name.name,
      state,
      message,
      served: isServed,
      optional: name.optional,
      namedBy: name.namedBy,
    }));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#closing, ...[...this.#watches.values()].map((watch) => watch.close())]);
  }
}
