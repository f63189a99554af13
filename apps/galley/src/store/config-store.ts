// Store: the one owner of all accepted resources. Decisions are taken one after another and are durable before they show.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeResource, loadResources, resourcePath } from './resource-files.js';
import { keyOf, type ResourceContent, type ResourceKey, type StoredResource, sameContent } from './stored-resource.js';
import { commitChanges, type FileChanges, HalfAppliedError, recoverChanges } from './transaction-journal.js';

/** Everything that is accepted at one moment; never changed afterwards. */
export interface ConfigState {
  /** Rises with each change; the resources that it changed carry it as their resource version. */
  readonly version: number;
  readonly resources: ReadonlyMap<ResourceKey, StoredResource>;
}

/** What a decision wants to be changed. Resources that are already as wanted are left alone. */
export interface StoreChange {
  readonly put: readonly ResourceContent[];
  readonly remove: readonly ResourceKey[];
}

/** The outcome of a decision: what to change (nothing where undefined) and what to tell its caller. */
export interface Decision<T> {
  readonly change?: StoreChange;
  readonly result: T;
}

export interface ConfigStoreOptions {
  readonly stateDir: string;
  /** Told when the process must end because a change is decided but not written. */
  readonly onFatal: (error: Error) => void;
}

const VERSION_FILE = 'version';

export class ConfigStore {
  readonly #options: ConfigStoreOptions;
  readonly #listeners = new Set<(state: ConfigState) => void>();
  #state: ConfigState;
  #queue: Promise<unknown> = Promise.resolve();
  #broken: Error | undefined;

  private constructor(options: ConfigStoreOptions, state: ConfigState) {
    this.#options = options;
    this.#state = state;
  }

  /** Completes what a crash interrupted, then reads everything. @throws Error naming a damaged file */
  static async open(options: ConfigStoreOptions): Promise<ConfigStore> {
    await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
    await recoverChanges(options.stateDir);
    const resources = await loadResources(options.stateDir);
    let version = await readVersion(join(options.stateDir, VERSION_FILE));
    for (const { resourceVersion } of resources.values()) version = Math.max(version, resourceVersion);
    return new ConfigStore(options, { version, resources });
  }

  get state(): ConfigState {
    return this.#state;
  }

  /** Calls `listener` after each change, when it is durable. Returns the function that ends it. */
  subscribe(listener: (state: ConfigState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Runs `decide` on the present state with no other change between, makes its change durable, and returns its result.
   * @throws Error when nothing was changed; HalfAppliedError when the outcome is only known after a restart
   */
  transact<T>(decide: (state: ConfigState) => Decision<T>): Promise<T> {
    const run = this.#queue.then(() => this.#transact(decide));
    this.#queue = run.catch(() => undefined); // the caller has it; the next one starts afresh
    return run;
  }

  /** Resolves when every change that was asked for so far is over. */
  async settled(): Promise<void> {
    await this.#queue;
  }

  async #transact<T>(decide: (state: ConfigState) => Decision<T>): Promise<T> {
    if (this.#broken !== undefined) throw this.#broken;
    const before = this.#state;
    const { change, result } = decide(before);
    if (change === undefined) return result;
    const { state, files } = applyChange(before, change);
    if (state === before) return result;
    try {
      await commitChanges(this.#options.stateDir, files);
    } catch (error) {
      if (error instanceof HalfAppliedError) {
        this.#broken = error;
        this.#options.onFatal(error);
      }
      throw error;
    }
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
    return result;
  }
}

/** The version that a change of this state makes. */
export function nextVersion({ version }: ConfigState): number {
  return version + 1;
}

/** What the change makes of the state, and of the files. */
function applyChange(before: ConfigState, change: StoreChange): { state: ConfigState; files: FileChanges } {
  const version = nextVersion(before);
  const resources = new Map(before.resources);
  const writes: { path: string; content: string }[] = [];
  const removes = new Set<string>();
  for (const key of change.remove) {
    const existing = resources.get(key);
    if (existing === undefined) continue;
    resources.delete(key);
    removes.add(resourcePath(existing));
  }
  for (const content of change.put) {
    const key = keyOf(content);
    const existing = before.resources.get(key);
    const { createdAt, ...rest } = content;
    const creationTime = createdAt ?? existing?.creationTime ?? new Date();
    const isSame = existing !== undefined && resources.has(key) && sameContent(existing, content);
    if (isSame && existing.creationTime.getTime() === creationTime.getTime()) continue;
    const stored = { ...rest, resourceVersion: version, creationTime };
    const path = resourcePath(stored);
    if (existing !== undefined && resourcePath(existing) !== path) removes.add(resourcePath(existing));
    removes.delete(path);
    resources.set(key, stored);
    writes.push({ path, content: encodeResource(stored) });
  }
  if (writes.length === 0 && removes.size === 0) return { state: before, files: { writes: [], removes: [] } };
  writes.push({ path: VERSION_FILE, content: `${version}\n` });
  return { state: { version, resources }, files: { writes, removes: [...removes] } };
}

/** Kept apart from the resources, so that deleting the newest one does not make its version come back. */
async function readVersion(file: string): Promise<number> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
  const version = Number(text.trim());
  if (text.trim() === '' || !Number.isSafeInteger(version) || version < 0) {
    throw new Error(`${file} is damaged: expected a number; restore it, or write one above every resourceVersion`);
  }
  return version;
}
