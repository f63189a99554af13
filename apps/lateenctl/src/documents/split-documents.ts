// Documents: one file may hold both families; tells apart what goes to Galley and what goes to the supervisor.

import {
  type ConfigObject,
  describeKind,
  type InputFile,
  objectsOfKind,
  type Problem,
  parseDocuments,
} from '@lateen/istio-config';
import type { SourceText } from '../control/control-api.js';
import type { PlacedObject } from '../kubernetes/object-store.js';
import type { KubernetesObject } from '../kubernetes/read-object.js';

/** A document marker: `---` or `...` at the start of a line is one wherever it stands (YAML 1.2, section 9.1.2). */
const MARKER = /^(?:---|\.\.\.)(?:\s|$)/;

/** True for what the supervisor plays. */
export function isKubernetesObject(object: ConfigObject): object is KubernetesObject {
  return describeKind(object.kind).family === 'kubernetes';
}

/**
 * The files with only their Istio documents: every other line is empty, so that positions stay right. Files without one
 * are left out.
 */
export function istioFiles(files: readonly InputFile[], objects: readonly ConfigObject[]): InputFile[] {
  const kept: InputFile[] = [];
  for (const { name, content } of files) {
    const own = objects.filter((object) => object.source.file === name && !isKubernetesObject(object));
    if (own.length === 0) continue;
    const lines = content.split('\n');
    const documents = documentNumbers(lines);
    const wanted = new Set(own.map((object) => documents[object.source.line - 1]));
    const text = lines.map((line, index) => (wanted.has(documents[index]) || MARKER.test(line) ? line : ''));
    kept.push({ name, content: text.join('\n') });
  }
  return kept;
}

/** For each line, the number of the document that it belongs to. */
function documentNumbers(lines: readonly string[]): number[] {
  let document = 0;
  return lines.map((line) => {
    if (MARKER.test(line)) document++;
    return document;
  });
}

/** What the supervisor reads of some files. */
export interface SupervisedDocuments {
  readonly objects: readonly PlacedObject[];
  /** Galley takes these; pods that start with them are told their hosts. */
  readonly entries: readonly ConfigObject<'ServiceEntry'>[];
  /** The same; the sidecars of such pods are started by them. */
  readonly proxyConfigs: readonly ConfigObject<'ProxyConfig'>[];
}

/** The Kubernetes objects of some files; what is wrong with them is added to `problems`. */
export function readKubernetesDocuments(
  files: readonly SourceText[],
  defaultNamespace: string,
  problems: Problem[],
): SupervisedDocuments {
  const directories = new Map(files.map((file) => [file.name, file.directory]));
  const parsed = parseDocuments(files, { defaultNamespace });
  const placed: PlacedObject[] = [];
  for (const object of parsed.objects) {
    if (!isKubernetesObject(object)) continue;
    placed.push({ object, directory: directories.get(object.source.file) ?? '/' });
  }
  const names = new Set(
    placed.map(({ object }) => `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`),
  );
  for (const problem of parsed.problems) {
    const known = names.has(`${problem.kind}/${problem.namespace}/${problem.name}`);
    if (known || problem.severity === 'error') problems.push(problem);
  }
  return {
    objects: placed,
    entries: objectsOfKind(parsed.objects, 'ServiceEntry'),
    proxyConfigs: objectsOfKind(parsed.objects, 'ProxyConfig'),
  };
}
