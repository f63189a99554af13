// What an informer holds, and what a list or an event changes of it.
import type { KubeObject } from '../objects.js';

export type InformerChange<T> =
  | { readonly type: 'added'; readonly object: T; readonly before?: undefined }
  | { readonly type: 'updated'; readonly object: T; readonly before: T }
  /** `object` is how it was last seen. */
  | { readonly type: 'deleted'; readonly object: T; readonly before?: undefined };

export class ObjectCache<T extends KubeObject> {
  #objects = new Map<string, T>();

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyOf(namespace, name));
  }

  values(): readonly T[] {
    return [...this.#objects.values()];
  }

  /** The list is all there is now. */
  replace(objects: readonly T[]): InformerChange<T>[] {
    const changes: InformerChange<T>[] = [];
    const next = new Map(objects.map((object) => [keyOf(object.metadata.namespace, object.metadata.name), object]));
    for (const [key, before] of this.#objects) if (!next.has(key)) changes.push({ type: 'deleted', object: before });
    for (const [key, object] of next) changes.push(...changesOf(this.#objects.get(key), object));
    this.#objects = next;
    return changes;
  }

  /** The object is now so. */
  put(object: T): InformerChange<T>[] {
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    const changes = changesOf(this.#objects.get(key), object);
    this.#objects.set(key, object);
    return changes;
  }

  /** The object is gone. */
  remove(object: T): InformerChange<T>[] {
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    return this.#objects.delete(key) ? [{ type: 'deleted', object }] : [];
  }
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

/** Another object of the same name is a deletion and an addition. */
function changesOf<T extends KubeObject>(before: T | undefined, object: T): InformerChange<T>[] {
  if (before === undefined) return [{ type: 'added', object }];
  if (before.metadata.uid !== object.metadata.uid) {
    return [
      { type: 'deleted', object: before },
      { type: 'added', object },
    ];
  }
  if (before.metadata.resourceVersion === object.metadata.resourceVersion) return [];
  return [{ type: 'updated', object, before }];
}
