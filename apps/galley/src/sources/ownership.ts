// Sources: a resource has one owner, the admin API or one file of the watched directory; two are an error naming both.

import type { Problem } from '@lateen/istio-config';
import type { ConfigState } from '../store/config-store.js';
import { keyOf, type ResourceContent, sameOwner } from '../store/stored-resource.js';

/** Who put a resource in force, for people. */
export function describeOwner({ origin, source }: Pick<ResourceContent, 'origin' | 'source'>): string {
  if (origin === 'applied') return `"lateenctl apply" (from ${source.file}:${source.line})`;
  return `${source.file}:${source.line} of the watched directory`;
}

/** Resources of `put` that the state has from another owner, and those that stand in `put` twice. */
export function ownershipProblems(state: ConfigState, put: readonly ResourceContent[]): Problem[] {
  const problems: Problem[] = [];
  const seen = new Map<string, ResourceContent>();
  for (const content of put) {
    const key = keyOf(content);
    const twin = seen.get(key);
    if (twin !== undefined) {
      const what = `is defined in ${describeOwner(twin)} and in ${describeOwner(content)}; keep one of the two`;
      problems.push(problemOf(content, 'duplicate', what));
    }
    seen.set(key, content);
    const existing = state.resources.get(key);
    if (existing === undefined || sameOwner(existing, content)) continue;
    problems.push(
      problemOf(
        content,
        'other-owner',
        `belongs to ${describeOwner(existing)} and is also defined in ${describeOwner(content)}; remove one of the two`,
      ),
    );
  }
  return problems;
}

/** An error about a resource as a whole, at the place where it was written. */
export function problemOf(content: ResourceContent, code: string, what: string): Problem {
  const { kind, namespace, name, source } = content;
  return {
    file: source.file,
    line: source.line,
    column: source.column,
    kind,
    namespace,
    name,
    path: '',
    severity: 'error',
    code,
    message: `${kind} ${namespace}/${name} ${what}`,
  };
}

export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some(({ severity }) => severity === 'error');
}
