// Kubernetes: the objects that were applied, kept on disk so that a restart plays them again.

import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@lateen/identity';
import type { Problem } from '@lateen/istio-config';
import type { ObjectRef, ObjectResult, StoredObject } from '../control/control-api.js';
import type { KubeDeployment, KubeNamespace, KubeObjects, KubeService, KubeServiceAccount } from './objects.js';
import { type KubeObject, type KubernetesObject, readKubeObject } from './read-object.js';

/** An object with the directory in which its commands run. */
export interface PlacedObject {
  readonly object: KubernetesObject;
  readonly directory: string;
}

interface Entry extends PlacedObject {
  readonly read: KubeObject;
}

export class ObjectStore {
  readonly #file: string;
  #entries = new Map<string, Entry>();

  private constructor(file: string) {
    this.#file = file;
  }

  /** Opens the store. @throws Error naming the file when it is damaged */
  static async open(file: string): Promise<ObjectStore> {
    const store = new ObjectStore(file);
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return store;
      throw error;
    }
    try {
      const { entries } = store.#merge(JSON.parse(text) as PlacedObject[], []);
      store.#entries = entries;
    } catch (error) {
      throw new Error(`${file} is damaged (${(error as Error).message}); delete it and apply your files again`);
    }
    return store;
  }

  /** All objects, by kind. */
  get objects(): KubeObjects {
    const namespaces = new Map<string, KubeNamespace>();
    const serviceAccounts = new Map<string, KubeServiceAccount>();
    const services = new Map<string, KubeService>();
    const deployments = new Map<string, KubeDeployment>();
    for (const { read } of this.#entries.values()) {
      if (read.kind === 'Namespace') namespaces.set(read.value.name, read.value);
      else if (read.kind === 'ServiceAccount') serviceAccounts.set(nameOf(read.value), read.value);
      else if (read.kind === 'Service') services.set(nameOf(read.value), read.value);
      else deployments.set(nameOf(read.value), read.value);
    }
    return { namespaces, serviceAccounts, services, deployments };
  }

  /** The objects as they were applied, for `get`. */
  list(): readonly StoredObject[] {
    return [...this.#entries.values()].map(({ object }) => {
      const { apiVersion, kind, metadata, spec } = object;
      const { name, namespace, labels, annotations } = metadata;
      return { apiVersion, kind, metadata: { name, namespace, labels, annotations }, spec };
    });
  }

  /** Takes objects in, all or none: with an error among `problems` nothing changes. Durable when it resolves. */
  async apply(objects: readonly PlacedObject[], problems: Problem[], dryRun: boolean): Promise<ObjectResult[]> {
    const { entries, results } = this.#merge(objects, problems);
    if (dryRun || problems.some((problem) => problem.severity === 'error')) return results;
    await this.#save(entries);
    return results;
  }

  /** Removes objects; a namespace takes what is in it along. Durable when it resolves. */
  async delete(refs: readonly ObjectRef[]): Promise<ObjectResult[]> {
    const entries = new Map(this.#entries);
    const results: ObjectResult[] = [];
    for (const { kind, namespace, name } of refs) {
      const key = `${kind}/${kind === 'Namespace' ? '' : namespace}/${name}`;
      results.push({ kind, namespace, name, action: entries.delete(key) ? 'deleted' : 'not found' });
      if (kind !== 'Namespace') continue;
      for (const [each, entry] of entries) {
        if (entry.object.metadata.namespace !== name) continue;
        entries.delete(each);
        results.push({ kind: entry.object.kind, namespace: name, name: entry.object.metadata.name, action: 'deleted' });
      }
    }
    await this.#save(entries);
    return results;
  }

  #merge(
    objects: readonly PlacedObject[],
    problems: Problem[],
  ): { entries: Map<string, Entry>; results: ObjectResult[] } {
    const entries = new Map(this.#entries);
    const results: ObjectResult[] = [];
    for (const { object, directory } of objects) {
      const read = readKubeObject(object, directory, problems);
      if (read === undefined) continue;
      const { kind } = object;
      const { namespace, name } = object.metadata;
      const key = `${kind}/${namespace}/${name}`;
      const before = entries.get(key);
      entries.set(key, { object, directory, read });
      const action =
        before === undefined ? 'created' : sameContent(before, { object, directory }) ? 'unchanged' : 'configured';
      results.push({ kind, namespace, name, action });
    }
    return { entries, results };
  }

  async #save(entries: Map<string, Entry>): Promise<void> {
    const placed: PlacedObject[] = [...entries.values()].map(({ object, directory }) => ({ object, directory }));
    await writeFileAtomic(this.#file, `${JSON.stringify(placed, null, 2)}\n`);
    this.#entries = entries;
  }
}

function nameOf(value: { readonly namespace: string; readonly name: string }): string {
  return `${value.namespace}/${value.name}`;
}

function sameContent(a: PlacedObject, b: PlacedObject): boolean {
  const content = ({ object, directory }: PlacedObject) => {
    const { labels, annotations } = object.metadata;
    return JSON.stringify([object.spec, labels, annotations, directory]);
  };
  return content(a) === content(b);
}
