// Kubernetes source: what the API server has → the store. An object that is not valid never replaces a good version of it.
import type { IstioKind, Problem } from '@lateen/istio-config';
import type { CustomResource, InformerChange } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';
import type { ConfigRules } from '../rules.js';
import { hasErrors } from '../sources/ownership.js';
import type { ConfigState, ConfigStore, StoreChange } from '../store/config-store.js';
import { type ResourceContent, type ResourceKey, resourceKey } from '../store/stored-resource.js';
import { isForRevision, type ReadResource, readResource } from './read-resource.js';

export interface ResourceSourceOptions {
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly revision: string;
  /** Told of each version of an object that was read. */
  readonly onRead: (read: ReadResource) => void;
  readonly logger: Logger;
  /** Wait before a change that could not be stored is tried again. */
  readonly retryMs?: number;
}

/** How an object that is not in force as it stands in the API server stands here. */
export interface RejectedResource {
  readonly resource: ResourceKey;
  readonly problems: readonly Problem[];
  /** True when an earlier version of it is in force. */
  readonly lastGoodStays: boolean;
}

export class ResourceSource {
  readonly #options: ResourceSourceOptions;
  readonly #seen = new Map<ResourceKey, ReadResource>();
  readonly #listeners = new Set<(keys: ReadonlySet<ResourceKey>) => void>();
  /** Keys to decide about, and those among them whose former object is gone, so that none of its versions may stay. */
  #dirty = new Set<ResourceKey>();
  #gone = new Set<ResourceKey>();
  #deciding: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ResourceSourceOptions) {
    this.#options = options;
  }

  /** Everything that the API server has, as it was read, whatever its revision. */
  get seen(): ReadonlyMap<ResourceKey, ReadResource> {
    return this.#seen;
  }

  get rejected(): readonly RejectedResource[] {
    const { resources } = this.#options.store.state;
    return [...this.#seen.values()]
      .filter(({ content }) => content === undefined)
      .map(({ key, problems }) => ({ resource: key, problems, lastGoodStays: resources.has(key) }));
  }

  /** Calls `listener` with the keys that were decided about, when their outcome is in force. */
  subscribe(listener: (keys: ReadonlySet<ResourceKey>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** All there is of a kind: what was in force of it and is not listed is gone. */
  replace(kind: IstioKind, objects: readonly CustomResource[]): void {
    const listed = new Set(objects.map((object) => this.#read(kind, object)));
    const known = [
      ...[...this.#seen.values()].filter((read) => read.kind === kind).map(({ key }) => key),
      ...[...this.#options.store.state.resources]
        .filter(([, stored]) => stored.kind === kind && stored.origin === 'kubernetes')
        .map(([key]) => key),
    ];
    for (const key of known) if (!listed.has(key)) this.#remove(key);
    this.#decideSoon();
  }

  change(kind: IstioKind, changes: readonly InformerChange<CustomResource>[]): void {
    for (const { type, object } of changes) {
      const { namespace = '', name } = object.metadata;
      if (type === 'deleted') this.#remove(resourceKey(kind, namespace, name));
      else this.#read(kind, object);
    }
    this.#decideSoon();
  }

  /** Resolves when everything that was told so far is in force. */
  async settled(): Promise<void> {
    while (this.#deciding !== undefined) await this.#deciding;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#deciding;
  }

  #read(kind: IstioKind, object: CustomResource): ResourceKey {
    const { rules, onRead, logger } = this.#options;
    const read = readResource(kind, object, rules);
    const before = this.#seen.get(read.key);
    this.#seen.set(read.key, read);
    this.#dirty.add(read.key);
    // Another object of the same name, which came while nobody looked.
    if (before !== undefined && before.object.metadata.uid !== object.metadata.uid) this.#gone.add(read.key);
    // A status that was written is a new version, but nothing new.
    if (before !== undefined && before.object.metadata.generation === object.metadata.generation) {
      if (JSON.stringify(before.problems) === JSON.stringify(read.problems)) return read.key;
    }
    onRead(read);
    if (hasErrors(read.problems)) {
      const { problems } = read;
      logger.error(
        { resource: read.key, problems },
        'resource not accepted; the last good version of it stays in force',
      );
    }
    return read.key;
  }

  #remove(key: ResourceKey): void {
    this.#seen.delete(key);
    this.#dirty.add(key);
    this.#gone.add(key);
  }

  #decideSoon(): void {
    if (this.#dirty.size === 0 || this.#deciding !== undefined || this.#stopped) return;
    this.#deciding = this.#decideAll().finally(() => {
      this.#deciding = undefined;
      // What came after the last look and before this.
      this.#decideSoon();
    });
  }

  async #decideAll(): Promise<void> {
    const { store, logger, retryMs = 1_000 } = this.#options;
    while (this.#dirty.size > 0 && !this.#stopped) {
      const [dirty, gone] = [this.#dirty, this.#gone];
      [this.#dirty, this.#gone] = [new Set(), new Set()];
      try {
        await store.transact((state) => ({ change: this.#decide(state, dirty, gone), result: undefined }));
      } catch (error) {
        for (const key of dirty) this.#dirty.add(key);
        for (const key of gone) this.#gone.add(key);
        logger.error({ error }, `changes of the API server could not be stored: ${(error as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        continue;
      }
      for (const listener of [...this.#listeners]) listener(dirty);
    }
  }

  #decide(state: ConfigState, dirty: ReadonlySet<ResourceKey>, gone: ReadonlySet<ResourceKey>): StoreChange {
    const put: ResourceContent[] = [];
    const remove: ResourceKey[] = [];
    for (const key of dirty) {
      const read = this.#seen.get(key);
      if (read === undefined || !isForRevision(read.object, this.#options.revision)) remove.push(key);
      else if (read.content !== undefined) put.push(read.content);
      else if (gone.has(key)) remove.push(key);
    }
    return { put, remove: remove.filter((key) => state.resources.has(key)) };
  }
}
