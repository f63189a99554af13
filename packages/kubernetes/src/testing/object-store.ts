// For tests: what a fake API server holds: objects, the events that led to them, and how far back those go.
import type { CustomResource } from '../objects.js';
import { matchesSelectors, type Selectors } from './selectors.js';

export type StoredObject = CustomResource & { readonly [field: string]: unknown };

export interface StoreEvent {
  readonly revision: number;
  readonly collection: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
  /** As it was before, for selectors that it no longer meets. */
  readonly before: StoredObject | undefined;
}

/** One counter for all collections, as etcd's. */
export class ObjectStore {
  #revision = 1;
  #compacted = 0;
  #uids = 0;
  readonly #collections = new Map<string, Map<string, StoredObject>>();
  #events: StoreEvent[] = [];
  readonly #listeners = new Set<(event: StoreEvent) => void>();

  get revision(): number {
    return this.#revision;
  }

  get(collection: string, namespace: string | undefined, name: string): StoredObject | undefined {
    return this.#collections.get(collection)?.get(`${namespace ?? ''}/${name}`);
  }

  list(collection: string, selectors: Selectors): StoredObject[] {
    const entries = [...(this.#collections.get(collection) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    return entries.map(([, object]) => object).filter((object) => matchesSelectors(object, selectors));
  }

  /** Stores the object with a new version, which is returned. */
  put(collection: string, object: StoredObject, dryRun = false): StoredObject {
    const before = this.get(collection, object.metadata.namespace, object.metadata.name);
    const specChanged = JSON.stringify(before?.spec) !== JSON.stringify(object.spec);
    const generation = (before?.metadata.generation ?? 0) + (specChanged || before === undefined ? 1 : 0);
    const stored = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: before?.metadata.uid ?? `uid-${++this.#uids}`,
        creationTimestamp: before?.metadata.creationTimestamp ?? new Date().toISOString(),
        generation,
        resourceVersion: String(this.#revision + 1),
      },
    };
    if (dryRun) return stored;
    if (before !== undefined && sameBesidesVersion(before, stored)) return before;
    const objects = this.#collections.get(collection) ?? new Map<string, StoredObject>();
    this.#collections.set(collection, objects);
    objects.set(`${object.metadata.namespace ?? ''}/${object.metadata.name}`, stored);
    this.#tell(collection, before === undefined ? 'ADDED' : 'MODIFIED', stored, before);
    return stored;
  }

  remove(collection: string, object: StoredObject): void {
    this.#collections.get(collection)?.delete(`${object.metadata.namespace ?? ''}/${object.metadata.name}`);
    const gone = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#revision + 1) } };
    this.#tell(collection, 'DELETED', gone, object);
  }

  /** The events after a revision; undefined when they are no longer all there. */
  since(revision: number): readonly StoreEvent[] | undefined {
    if (revision < this.#compacted) return undefined;
    return this.#events.filter((event) => event.revision > revision);
  }

  /** Forgets the events up to now, as etcd does every five minutes. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#events = [];
  }

  get compacted(): number {
    return this.#compacted;
  }

  subscribe(listener: (event: StoreEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(collection: string, type: StoreEvent['type'], object: StoredObject, before: StoredObject | undefined): void {
    const event = { revision: ++this.#revision, collection, type, object, before };
    this.#events.push(event);
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function sameBesidesVersion(a: StoredObject, b: StoredObject): boolean {
  const plain = (object: StoredObject) =>
    JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: '' } });
  return plain(a) === plain(b);
}
