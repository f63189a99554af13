// Informer: holds a collection as the API server has it, and tells what changes: list, then watch, for as long as it runs.
import { ApiError, isGone, isNotFound } from '../api-error.js';
import type { KubeClient } from '../client.js';
import type { KubeObject } from '../objects.js';
import type { ResourceType } from '../resource-type.js';
import { Backoff, waitOrAborted } from './backoff.js';
import { type InformerChange, ObjectCache } from './object-cache.js';
import { type WatchEvent, watch } from './watch.js';

export type { InformerChange } from './object-cache.js';

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: ResourceType<T>;
  /** All of them without it. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What is kept of an object; without it all but `metadata.managedFields`. */
  readonly keep?: (object: T) => T;
  /** Called at each failure, and with undefined when it works again. */
  readonly onError?: (error: Error | undefined) => void;
  /** Called when the server does not serve the kind (404); the informer asks again by itself. What is held stays. */
  readonly onMissing?: () => void;
  readonly pageSize?: number;
  /** A watch that carries nothing for so long, not even a bookmark (they come each minute), is broken off and resumed. */
  readonly stallMs?: number;
  readonly backoff?: { readonly firstMs: number; readonly capMs: number };
}

const STALL_MS = 150_000;
const BACKOFF = { firstMs: 500, capMs: 15_000 };
/** Watches end after 5 to 10 minutes, as those of client-go, so that they spread over API servers again. */
const WATCH_SECONDS = 300;
/** Unauthorized, Forbidden, TooManyRequests: they say nothing of the version. */
const PASSING: readonly number[] = [401, 403, 429];
/** A watch that ends sooner and brought nothing counts as a failure. */
const SHORT_WATCH_MS = 1_000;

/** Start it once; `stop` is final. Listeners are called in the order of the events and never twice for one version. */
export class Informer<T extends KubeObject> {
  /** Resolves after the first list, when its objects are held and listeners know of them. Never rejects. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #cache = new ObjectCache<T>();
  readonly #listeners = new Set<(changes: readonly InformerChange<T>[]) => void>();
  readonly #abort = new AbortController();
  readonly #backoff: Backoff;
  #resolveSynced!: () => void;
  #running: Promise<void> | undefined;
  /** The version up to which everything is known; undefined when a list is needed. */
  #resourceVersion: string | undefined;
  #hasSynced = false;
  #lastError: Error | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#backoff = new Backoff(options.backoff ?? BACKOFF);
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** What is wrong at present; undefined when all is well. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#cache.get(namespace, name);
  }

  objects(): readonly T[] {
    return this.#cache.values();
  }

  /** Calls `listener` with all changes of a list, or of what a watch brought at once. Returns the function that ends it. */
  subscribe(listener: (changes: readonly InformerChange<T>[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): this {
    this.#running ??= this.#run();
    return this;
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      let waitMs = 0;
      try {
        if (this.#resourceVersion === undefined) await this.#list();
        waitMs = await this.#watch();
      } catch (error) {
        if (signal.aborted) return;
        waitMs = this.#failed(error as Error);
      }
      if (waitMs > 0 && (await waitOrAborted(waitMs, signal))) return;
    }
  }

  async #list(): Promise<void> {
    const {
      client,
      type,
      namespace,
      labelSelector,
      fieldSelector,
      pageSize,
      keep = withoutManagedFields,
    } = this.#options;
    const { signal } = this.#abort;
    const selection = { namespace, labelSelector, fieldSelector };
    const list = await client.listAll(type, { ...selection, limit: pageSize, signal });
    const { resourceVersion } = list.metadata;
    if (resourceVersion === undefined) throw new Error(`list ${type.kind}: the list has no resourceVersion`);
    const changes = this.#cache.replace(list.items.map(keep));
    this.#resourceVersion = resourceVersion;
    this.#works();
    this.#tell(changes);
    this.#hasSynced = true;
    this.#resolveSynced();
  }

  /** Returns how long to wait before the next one. */
  async #watch(): Promise<number> {
    const { client, type, namespace, labelSelector, fieldSelector, stallMs = STALL_MS } = this.#options;
    const started = performance.now();
    let received = false;
    const events = watch(client, type, {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#resourceVersion!,
      timeoutSeconds: Math.round(WATCH_SECONDS * (1 + Math.random())),
      idleTimeoutMs: stallMs,
      signal: this.#abort.signal,
    });
    for await (const batch of events) {
      this.#take(batch);
      received = true;
      this.#backoff.reset();
      this.#works();
    }
    if (received || performance.now() - started >= SHORT_WATCH_MS) {
      this.#backoff.reset();
      return 0;
    }
    return this.#failed(new Error(`watch ${type.kind}: the server ended it at once`));
  }

  #take(batch: readonly WatchEvent<T>[]): void {
    const { type, keep = withoutManagedFields } = this.#options;
    const changes: InformerChange<T>[] = [];
    try {
      for (const event of batch) {
        if (event.type === 'ERROR') throw ApiError.fromStatus(`watch ${type.kind}`, event.object);
        const { object } = event;
        if (event.type === 'DELETED') changes.push(...this.#cache.remove(keep(object)));
        else if (event.type !== 'BOOKMARK') changes.push(...this.#cache.put(keep(object)));
        this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
      }
    } finally {
      this.#tell(changes);
    }
  }

  #tell(changes: readonly InformerChange<T>[]): void {
    if (changes.length === 0) return;
    for (const listener of [...this.#listeners]) {
      try {
        listener(changes);
      } catch (error) {
        // A listener that throws is a fault of the program: nobody could say what it has missed.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #works(): void {
    if (this.#lastError === undefined) return;
    this.#lastError = undefined;
    this.#options.onError?.(undefined);
  }

  /** Returns how long to wait. */
  #failed(error: Error): number {
    const { onError, onMissing } = this.#options;
    // A version that is no longer kept is nothing wrong: the list that follows finds what was missed.
    if (isGone(error) && this.#resourceVersion !== undefined) {
      this.#resourceVersion = undefined;
      return this.#backoff.nextMs() / 10;
    }
    // Any other refusal: the server may have lost the version, so it is asked for everything. A connection that breaks, or a
    // server that starts (which knows nobody's rights for a moment), resumes.
    if (error instanceof ApiError && error.code < 500 && !PASSING.includes(error.code))
      this.#resourceVersion = undefined;
    if (isResourceVersionTooLarge(error)) this.#resourceVersion = undefined;
    this.#lastError = error;
    if (isNotFound(error)) onMissing?.();
    onError?.(error);
    const retryAfterMs = error instanceof ApiError ? error.retryAfterMs : undefined;
    const backoffMs = this.#backoff.nextMs();
    return Math.max(retryAfterMs ?? 0, backoffMs);
  }
}

/** The server's store is older than what was seen, as after a restore from a backup. */
function isResourceVersionTooLarge(error: Error): boolean {
  if (!(error instanceof ApiError)) return false;
  const causes = error.status?.details?.causes ?? [];
  return (
    causes.some(({ reason }) => reason === 'ResourceVersionTooLarge') ||
    /Too large resource version/i.test(error.message)
  );
}

function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (!('managedFields' in object.metadata)) return object;
  const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { managedFields: unknown };
  return { ...object, metadata };
}
