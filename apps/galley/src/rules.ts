// Validation: what Galley asks of packages/istio-config, in one place.

import type { ConfigObject, InputFile, ParsedDocuments, Problem } from '@lateen/istio-config';
import type { ConfigState, StoreChange } from './store/config-store.js';
import {
  keyOf,
  MESH_CONFIG,
  objectOf,
  type ResourceContent,
  type ResourceKey,
  resourceKey,
} from './store/stored-resource.js';

/** The rules of the Istio API. */
export interface ConfigRules {
  /** Reads documents; each problem of each of them. Kubernetes kinds are refused by name. */
  parse(files: readonly InputFile[], defaultNamespace: string): ParsedDocuments;
  /** The same of one document that is no text: an object of an API server. */
  parseObject(name: string, object: unknown, defaultNamespace: string): ParsedDocuments;
  /** Checks that need more than one resource, over everything that would be in force. */
  checkTogether(objects: readonly ConfigObject[]): readonly Problem[];
  /** Reads a MeshConfig; `config` is there when no problem is an error. */
  parseMeshConfig(file: InputFile): { readonly config?: unknown; readonly problems: readonly Problem[] };
}

/**
 * Problems that a change would bring: those of the resources that are judged, and those that others did not have before.
 * A problem that was accepted earlier does not block a change of something else.
 * @param judged keys of the resources whose problems count in any case
 */
export function problemsOfChange(
  rules: ConfigRules,
  state: ConfigState,
  change: StoreChange,
  judged: ReadonlySet<string>,
): Problem[] {
  const after = new Map<ResourceKey, ResourceContent>(state.resources);
  for (const key of change.remove) after.delete(key);
  for (const content of change.put) after.set(keyOf(content), content);
  const problems = rules.checkTogether(objectsOf(after.values()));
  if (problems.length === 0) return [];
  const known = knownProblems(rules, state);
  return problems.filter((problem) => {
    const { kind, namespace, name } = problem;
    return judged.has(resourceKey(kind, namespace, name)) || !known.has(problemKey(problem));
  });
}

const knownByState = new WeakMap<ConfigState['resources'], ReadonlySet<string>>();

/** The problems that a state has, found once for each. */
function knownProblems(rules: ConfigRules, { resources }: ConfigState): ReadonlySet<string> {
  let known = knownByState.get(resources);
  if (known === undefined) {
    known = new Set(rules.checkTogether(objectsOf(resources.values())).map(problemKey));
    knownByState.set(resources, known);
  }
  return known;
}

function objectsOf(resources: Iterable<ResourceContent>): ConfigObject[] {
  return [...resources].filter(({ kind }) => kind !== MESH_CONFIG.kind).map(objectOf);
}

/** Lines may move without a problem becoming another one. */
function problemKey({ kind, namespace, name, path, code, message }: Problem): string {
  return JSON.stringify([kind, namespace, name, path, code, message]);
}
