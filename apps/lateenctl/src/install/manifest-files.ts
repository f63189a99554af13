// Installation: manifests as people read and compare them: YAML, an object a document.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Component, type KubernetesObject, objectName } from '@lateen/installation';
import { createTwoFilesPatch } from 'diff';
import { parseAllDocuments, stringify } from 'yaml';
import { CliError } from '../output/cli-error.js';

/** One document. */
export function manifestText(object: object): string {
  return stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 });
}

export function manifestsText(objects: readonly object[]): string {
  return objects.map((object) => `---\n${manifestText(object)}`).join('');
}

/** Writes `DIR/COMPONENT.yaml` for each component; other files there are left alone. */
export function writeComponents(directory: string, components: readonly Component[]): string[] {
  mkdirSync(directory, { recursive: true });
  return components.map(({ name, objects }) => {
    const file = join(directory, `${name}.yaml`);
    writeFileSync(file, manifestsText(objects));
    return file;
  });
}

/** @throws CliError naming the file, and the document in it, that is no manifest */
export function readManifests(file: string): readonly KubernetesObject[] {
  if (!existsSync(file)) throw new CliError(`${file}: there is no such file`);
  return parseAllDocuments(readFileSync(file, 'utf8')).flatMap((document, index) => {
    const [error] = document.errors;
    if (error !== undefined) throw new CliError(`${file}: document ${index + 1}: ${error.message}`);
    const object = document.toJS() as Partial<KubernetesObject> | null;
    if (object === null) return [];
    if (object.kind === undefined || object.apiVersion === undefined || object.metadata?.name === undefined) {
      throw new CliError(`${file}: document ${index + 1} is no object: it needs apiVersion, kind and metadata.name`);
    }
    return [object as KubernetesObject];
  });
}

export interface Difference {
  /** `Deployment/istio-system/pilot`. */
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** As `diff -u` shows it. */
  readonly text: string;
}

/** What differs, object by object; fields in another order do not count. */
export function differences(from: readonly KubernetesObject[], to: readonly KubernetesObject[]): Difference[] {
  const key = (object: KubernetesObject) => `${object.apiVersion.split('/')[0]} ${objectName(object)}`;
  const before = new Map(from.map((object) => [key(object), object]));
  const after = new Map(to.map((object) => [key(object), object]));
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((each): Difference[] => {
    const [old, new_] = [before.get(each), after.get(each)];
    const [oldText, newText] = [old, new_].map((object) => (object === undefined ? '' : sortedText(object)));
    if (oldText === newText) return [];
    const name = objectName((new_ ?? old)!);
    const change = old === undefined ? 'added' : new_ === undefined ? 'removed' : 'changed';
    return [{ name, change, text: createTwoFilesPatch(name, name, oldText!, newText!, '', '', { context: 3 }) }];
  });
}

function sortedText(object: object): string {
  return stringify(object, { aliasDuplicateObjects: false, lineWidth: 0, sortMapEntries: true });
}
