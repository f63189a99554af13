// Kubernetes source: one informer for each kind that the API server serves, in the newest version that it has. A kind that
// is not there (its CustomResourceDefinition is missing) is looked for until it comes.
import { describeKind, type IstioKind } from '@lateen/istio-config';
import {
  type CustomResource,
  Informer,
  type InformerChange,
  type KubeClient,
  type ResourceType,
} from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';

export interface KindInformersOptions {
  readonly client: KubeClient;
  readonly kinds: readonly IstioKind[];
  /** All there is of the kind, at the first list and whenever the kind comes back. */
  readonly onList: (kind: IstioKind, objects: readonly CustomResource[]) => void;
  readonly onChanges: (kind: IstioKind, changes: readonly InformerChange<CustomResource>[]) => void;
  readonly logger: Logger;
  /** How often missing kinds are looked for. */
  readonly lookMs?: number;
}

export interface KindState {
  readonly kind: IstioKind;
  /** `unknown`: the API server was not asked yet. `missing`: it does not serve the kind. */
  readonly state: 'unknown' | 'missing' | 'reading' | 'synced';
  readonly apiVersion?: string;
  readonly error?: string;
}

interface Watched {
  state: KindState['state'];
  informer?: Informer<CustomResource>;
  type?: ResourceType<CustomResource>;
  error?: string;
}

const LOOK_MS = 5_000;

export class KindInformers {
  /** Resolves when every kind was read, or is known not to be served. */
  readonly settled: Promise<void>;
  readonly #options: KindInformersOptions;
  readonly #kinds: Map<IstioKind, Watched>;
  readonly #stopping: Promise<unknown>[] = [];
  #resolveSettled!: () => void;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;
  #lookError: string | undefined;

  constructor(options: KindInformersOptions) {
    this.#options = options;
    this.#kinds = new Map(options.kinds.map((kind) => [kind, { state: 'unknown' }]));
    this.settled = new Promise((resolve) => {
      this.#resolveSettled = resolve;
    });
  }

  start(): this {
    this.#look();
    return this;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    for (const { informer } of this.#kinds.values()) if (informer !== undefined) this.#stopping.push(informer.stop());
    await Promise.all(this.#stopping);
  }

  get states(): readonly KindState[] {
    return [...this.#kinds].map(([kind, { state, type, informer, error }]) => ({
      kind,
      state,
      apiVersion: type && `${type.group}/${type.version}`,
      error: informer?.lastError?.message ?? error ?? (state === 'unknown' ? this.#lookError : undefined),
    }));
  }

  /** What the API server calls a kind that it serves. */
  typeOf(kind: string): ResourceType<CustomResource> | undefined {
    return this.#kinds.get(kind as IstioKind)?.type;
  }

  /** The object as it was seen last. */
  get(kind: string, namespace: string, name: string): CustomResource | undefined {
    return this.#kinds.get(kind as IstioKind)?.informer?.get(namespace, name);
  }

  #look(): void {
    if (this.#stopped || this.#looking !== undefined) return;
    this.#looking = this.#lookForMissing().finally(() => {
      this.#looking = undefined;
      const missing = [...this.#kinds.values()].some(({ informer }) => informer === undefined);
      if (this.#stopped || !missing) return;
      const { lookMs = LOOK_MS } = this.#options;
      this.#timer = setTimeout(() => this.#look(), lookMs * (1 + Math.random() / 5));
    });
  }

  async #lookForMissing(): Promise<void> {
    const { client, logger } = this.#options;
    const served = new Map<string, Promise<ReadonlySet<string>>>();
    const discover = (group: string, version: string) => {
      const key = `${group}/${version}`;
      const asked =
        served.get(key) ??
        client.discover(group, version).then((resources) => new Set(resources.map(({ name }) => name)));
      served.set(key, asked);
      return asked;
    };
    try {
      for (const [kind, watched] of this.#kinds) {
        if (watched.informer !== undefined) continue;
        const { group, versions, plural, namespaced } = describeKind(kind);
        let found: string | undefined;
        for (const version of versions) {
          if (found === undefined && (await discover(group, version)).has(plural)) found = version;
        }
        if (this.#stopped) return;
        if (found !== undefined) this.#watch(kind, watched, { group, version: found, kind, plural, namespaced });
        else if (watched.state !== 'missing') {
          watched.state = 'missing';
          const crd = `${plural}.${group}`;
          logger.warn(
            { kind, crd },
            `the API server does not serve ${kind}; install its CustomResourceDefinition ${crd}`,
          );
        }
      }
      this.#lookError = undefined;
    } catch (error) {
      // Answers to what was asked already are not waited for.
      for (const asked of served.values()) asked.catch(() => undefined);
      this.#lookError = (error as Error).message;
      logger.warn({ error }, `the API server cannot be asked what it serves: ${this.#lookError}`);
    }
    this.#checkSettled();
  }

  #watch(kind: IstioKind, watched: Watched, type: ResourceType<CustomResource>): void {
    const { client, onList, onChanges, logger } = this.#options;
    const informer = new Informer<CustomResource>({
      client,
      type,
      onError: (error) => {
        if (error === undefined) logger.info({ kind }, `${kind}: the API server answers again`);
        else logger.warn({ kind, error }, `${kind}: ${error.message}`);
      },
      onMissing: () => {
        // The definition went away, or the API server is starting: what was in force stays until the kind is read again.
        if (watched.informer !== informer) return;
        this.#stopping.push(informer.stop());
        Object.assign(watched, { informer: undefined, type: undefined, state: 'missing' });
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#look(), (this.#options.lookMs ?? LOOK_MS) / 5);
      },
    });
    Object.assign(watched, { informer, type, state: 'reading' });
    informer.subscribe((changes) => {
      if (informer.hasSynced && watched.informer === informer) onChanges(kind, changes);
    });
    void informer.synced.then(() => {
      if (watched.informer !== informer || this.#stopped) return;
      watched.state = 'synced';
      onList(kind, informer.objects());
      this.#checkSettled();
    });
    informer.start();
  }

  #checkSettled(): void {
    if ([...this.#kinds.values()].every(({ state }) => state === 'synced' || state === 'missing'))
      this.#resolveSettled();
  }
}
