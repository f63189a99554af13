// Places: where each part of a spec was written. Translation hands out the very objects of the specs, which is how a part
// is found again.

import { type ConfigObject, type FieldPath, formatPath, locateField } from '@lateen/istio-config';
import type { MeshSnapshot } from '@lateen/translate';
import type { Because } from '../explanation.js';

/** A part of a document. */
export interface Place {
  readonly object: ConfigObject;
  readonly path: FieldPath;
}

/** Finds parts of specs by their identity. */
export class Places {
  readonly #parts = new Map<object, Place>();
  readonly #objects = new Map<string, ConfigObject>();

  /** @param others documents that translation does not see: Services, Deployments */
  constructor(snapshot: MeshSnapshot, others: readonly ConfigObject[]) {
    for (const object of [...[...snapshot.configsByKind.values()].flat(), ...others]) {
      this.#objects.set(keyOf(object.kind, object.metadata.namespace, object.metadata.name), object);
      this.#walk(object, object.spec, ['spec']);
    }
  }

  #walk(object: ConfigObject, part: unknown, path: FieldPath): void {
    // A part that is an alias of another (YAML) stands where it was written first.
    if (typeof part !== 'object' || part === null || this.#parts.has(part)) return;
    this.#parts.set(part, { object, path });
    const entries = Array.isArray(part) ? part.entries() : Object.entries(part);
    for (const [key, value] of entries) this.#walk(object, value, [...path, key]);
  }

  /** The place of a part; undefined for what no document holds. */
  of(part: object | undefined): Place | undefined {
    return part === undefined ? undefined : this.#parts.get(part);
  }

  /** The first document of a kind for which `is` holds. */
  find(kind: string, is: (object: ConfigObject) => boolean): ConfigObject | undefined {
    return [...this.#objects.values()].find((object) => object.kind === kind && is(object));
  }

  /** A document by its name. */
  object(kind: string, namespace: string, name: string): ConfigObject | undefined {
    return this.#objects.get(keyOf(kind, namespace, name));
  }
}

function keyOf(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** The place, or a field below it. */
export function below({ object, path }: Place, ...further: FieldPath): Place {
  return { object, path: [...path, ...further] };
}

/** What a place holds; undefined where the path leads to nothing. */
export function valueAt({ object, path }: Place): unknown {
  let value: unknown = object;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

/** A place as users read it. @param of the cluster or workload that it decides something for */
export function because({ object, path }: Place, decides: string, of = ''): Because {
  const { kind, metadata, source } = object;
  const { namespace, name } = metadata;
  const line = path.length === 0 ? source.line : locateField(object, path, 'key').line;
  return { file: source.file, line, kind, namespace, name, path: formatPath(path), decides, of };
}

/** `VirtualService NAMESPACE/NAME http[0].match[1]`. */
export function placeName({ object, path }: Place): string {
  const { kind, metadata } = object;
  const owner = metadata.namespace === '' ? metadata.name : `${metadata.namespace}/${metadata.name}`;
  const field = formatPath(path[0] === 'spec' ? path.slice(1) : path);
  return field === '' ? `${kind} ${owner}` : `${kind} ${owner} ${field}`;
}

/** `FILE:LINE`; what came from an API server has no lines. */
export function positionText({ file, line }: { readonly file: string; readonly line: number }): string {
  return line > 0 ? `${file}:${line}` : file;
}
