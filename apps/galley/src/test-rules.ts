// For unit tests of the store and the sources: rules small enough to see through. The real ones have their own tests.

import type { ConfigObject, InputFile, Problem } from '@lateen/istio-config';
import { parseAllDocuments } from 'yaml';
import type { ConfigRules } from './rules.js';

function problem(object: Partial<Problem> & { file: string }, code: string, message: string): Problem {
  return {
    line: 1,
    column: 1,
    kind: '',
    namespace: '',
    name: '',
    path: '',
    severity: 'error',
    ...object,
    code,
    message,
  };
}

function parse(files: readonly InputFile[], defaultNamespace: string) {
  const objects: ConfigObject[] = [];
  const problems: Problem[] = [];
  for (const file of files) {
    for (const document of parseAllDocuments(file.content)) {
      if ('empty' in document) continue;
      if (document.errors.length > 0) {
        problems.push(problem({ file: file.name }, 'syntax', document.errors[0]!.message));
        continue;
      }
      const value = document.toJS();
      if (value === null) continue;
      const { apiVersion, kind, metadata, spec } = value;
      const source = { file: file.name, line: 1, column: 1 };
      const { name, namespace = defaultNamespace, labels = {}, annotations = {} } = metadata;
      if (spec?.invalid !== undefined) {
        problems.push(problem({ file: file.name, kind, namespace, name, path: 'spec.invalid' }, 'unknown-field', 'no'));
        continue;
      }
      objects.push({
        apiVersion,
        kind,
        metadata: { name, namespace, labels, annotations },
        spec,
        source,
      } as ConfigObject);
    }
  }
  return { objects, problems };
}

/** `spec.needs: NAME` wants a DestinationRule of that name; `spec.invalid` is not valid; the rest is. */
export const testRules: ConfigRules = {
  parse,
  parseObject: (name, object, defaultNamespace) => parse([{ name, content: JSON.stringify(object) }], defaultNamespace),
  checkTogether: (objects) => {
    const rules = new Set(
      objects.filter(({ kind }) => kind === 'DestinationRule').map(({ metadata }) => metadata.name),
    );
    return objects.flatMap(({ kind, metadata: { namespace, name }, spec, source }) => {
      const { needs } = spec as { needs?: string };
      if (needs === undefined || rules.has(needs)) return [];
      return [problem({ file: source.file, kind, namespace, name }, 'dangling', `${needs} does not exist`)];
    });
  },
  parseMeshConfig: (file) => {
    const { objects, problems } = parse([{ ...file, content: `{metadata: {name: x}, spec: ${file.content}}` }], '');
    return { config: objects[0]?.spec, problems };
  },
};
