// Kubernetes: the objects that were applied, kept on disk so that a restart plays them again.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { writeFileAtomic } from '@lateen/identity/plain';
import { type ConfigObject, type Problem, readSecretValues } from '@lateen/istio-config';
import type { ObjectRef, ObjectResult, StoredObject } from '../control/control-api.js';
import type {
  KubeCredential,
  KubeDeployment,
  KubeNamespace,
  KubeObjects,
  KubeService,
  KubeServiceAccount,
} from './objects.js';
import { type KubeObject, type KubernetesObject, readKubeObject } from './read-object.js';
import { loadSecretValues, type SecretValues, type SecretValuesByName, saveSecretValues } from './secret-values.js';

/** Beside the objects, which hold no values. */
const SECRETS_FILE = 'secrets.json';

/** An object with the directory in which its commands run. */
export interface PlacedObject {
  readonly object: KubernetesObject;
  readonly directory: string;
}

interface Entry extends PlacedObject {
  readonly read: KubeObject;
  /** Of a Secret. */
  readonly values: SecretValues | undefined;
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
      const stored = await loadSecretValues(store.#secretsFile);
      const { entries } = store.#merge(JSON.parse(text) as PlacedObject[], [], stored);
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
    const credentials = new Map<string, KubeCredential>();
    for (const { read } of this.#entries.values()) {
      if (read.kind === 'Namespace') namespaces.set(read.value.name, read.value);
      else if (read.kind === 'ServiceAccount') serviceAccounts.set(nameOf(read.value), read.value);
      else if (read.kind === 'Service') services.set(nameOf(read.value), read.value);
      else if (read.kind === 'Secret') credentials.set(nameOf(read.value), read.value);
      else deployments.set(nameOf(read.value), read.value);
    }
    return { namespaces, serviceAccounts, services, deployments, credentials };
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
    stored?: SecretValuesByName,
  ): { entries: Map<string, Entry>; results: ObjectResult[] } {
    const entries = new Map(this.#entries);
    const results: ObjectResult[] = [];
    for (const { object, directory } of objects) {
      const values = object.kind === 'Secret' ? valuesOf(object, stored) : undefined;
      const read = readKubeObject(object, directory, problems, values);
      if (read === undefined) continue;
      const { kind } = object;
      const { namespace, name } = object.metadata;
      const key = `${kind}/${namespace}/${name}`;
      const before = entries.get(key);
      const entry = { object, directory, read, values };
      entries.set(key, entry);
      const action = before === undefined ? 'created' : sameContent(before, entry) ? 'unchanged' : 'configured';
      results.push({ kind, namespace, name, action });
    }
    return { entries, results };
  }

  get #secretsFile(): string {
    return join(dirname(this.#file), SECRETS_FILE);
  }

  get #hadSecrets(): boolean {
    return [...this.#entries.values()].some(({ values }) => values !== undefined);
  }

  async #save(entries: Map<string, Entry>): Promise<void> {
    const placed: PlacedObject[] = [...entries.values()].map(({ object, directory }) => ({ object, directory }));
    const values = [...entries.values()].flatMap(({ object, values: own }) =>
      own === undefined ? [] : [[nameOf(object.metadata), own] as const],
    );
    // First, so that an object never stands without what it is of; a value too many is gone with the next change.
    if (values.length > 0 || this.#hadSecrets) await saveSecretValues(this.#secretsFile, new Map(values));
    await writeFileAtomic(this.#file, `${JSON.stringify(placed, null, 2)}\n`);
    this.#entries = entries;
  }
}

function nameOf(value: { readonly namespace: string; readonly name: string }): string {
  return `${value.namespace}/${value.name}`;
}

/** Of the document that was just read, or what was kept of it. */
function valuesOf(object: ConfigObject<'Secret'>, stored: SecretValuesByName | undefined): SecretValues {
  const read = readSecretValues(object);
  return read === undefined ? (stored?.get(nameOf(object.metadata)) ?? {}) : Object.fromEntries(read);
}

function sameContent(a: Entry, b: Entry): boolean {
  const content = ({ object, directory }: Entry) => {
    const { labels, annotations } = object.metadata;
    // Where a Secret was read from is no part of it: it runs no command.
    return JSON.stringify([object.spec, labels, annotations, object.kind === 'Secret' ? '' : directory]);
  };
  return content(a) === content(b) && isDeepStrictEqual(a.values, b.values);
}
