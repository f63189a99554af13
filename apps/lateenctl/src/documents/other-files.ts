// Documents: tells files that hold no resources, but settings of the mesh or of a single proxy, from those that do.

import { isMeshConfig, type Problem } from '@lateen/istio-config';

interface NamedText {
  readonly name: string;
  readonly content: string;
}

export interface SortedFiles<F extends NamedText> {
  /** Those with resources, and those of which nothing is known: they are read as resources. */
  readonly documents: readonly F[];
  readonly meshConfigs: readonly F[];
  /** Envoy's bootstrap files. */
  readonly bootstraps: readonly F[];
}

/** A top-level field that only a bootstrap file has, in either of its spellings. */
const BOOTSTRAP_FIELD = /^(?:static_resources|staticResources|dynamic_resources|dynamicResources)\s*:/m;
const RESOURCE_FIELD = /^(?:apiVersion|kind)\s*:/m;

export function sortFiles<F extends NamedText>(files: readonly F[]): SortedFiles<F> {
  const bootstraps = files.filter(({ content }) => BOOTSTRAP_FIELD.test(content) && !RESOURCE_FIELD.test(content));
  const meshConfigs = files.filter((file) => !bootstraps.includes(file) && isMeshConfig(file.content));
  const documents = files.filter((file) => !bootstraps.includes(file) && !meshConfigs.includes(file));
  return { documents, meshConfigs, bootstraps };
}

const RESOURCE_KEY = /"(?:apiVersion|kind)"\s*:/;

/**
 * True for JSON that is neither a resource nor a mesh file: a list, or an object with neither apiVersion nor kind. Text
 * that is not quite JSON (a tsconfig.json may have comments) is one where no such key stands anywhere in it.
 */
export function isOtherJson(content: string): boolean {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return !RESOURCE_KEY.test(content);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return true;
  return !('apiVersion' in value || 'kind' in value || isMeshConfig(content));
}

/** What is said of a mesh file where resources are wanted. */
export function meshConfigProblem(file: NamedText): Problem {
  return problemOf(
    file,
    'error',
    `a MeshConfig is no resource that can be applied; start the mesh with \`lateenctl local up --mesh-config ${file.name}\`, or put ` +
      'it into mesh.yaml of the state directory',
  );
}

/** What is said of a bootstrap file. */
export function bootstrapProblem(file: NamedText, severity: Problem['severity']): Problem {
  return problemOf(
    file,
    severity,
    `an Envoy bootstrap file is for a single proxy and not looked at here; check it with \`lateen-sidecar --config-path ${file.name} ` +
      '--mode validate`',
  );
}

function problemOf({ name: file }: NamedText, severity: Problem['severity'], message: string): Problem {
  const nobody = { kind: '', namespace: '', name: '' };
  return { file, line: 1, column: 1, ...nobody, path: '', severity, code: 'other-file', message };
}
