// For tests: label and field selectors, as far as Lateen's programs use them.
import type { KubeObject, Pod } from '../objects.js';

export interface Selectors {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

export function matchesSelectors(object: KubeObject, selectors: Selectors): boolean {
  const { namespace, name, labels = {} } = object.metadata;
  if (selectors.namespace !== undefined && selectors.namespace !== namespace) return false;
  for (const term of terms(selectors.fieldSelector)) {
    const { key, value, negated } = splitTerm(term);
    const actual = { 'metadata.name': name, 'metadata.namespace': namespace, 'spec.nodeName': nodeOf(object) }[key];
    if ((actual === value) === negated) return false;
  }
  for (const term of terms(selectors.labelSelector)) {
    const { key, value, negated } = splitTerm(term);
    const holds = value === undefined ? key in labels : labels[key] === value;
    if (holds === negated) return false;
  }
  return true;
}

function nodeOf(object: KubeObject): string | undefined {
  return (object as Pod).spec?.nodeName;
}

function terms(selector: string | undefined): string[] {
  return (selector ?? '').split(',').filter((term) => term !== '');
}

/** `a=b`, `a==b`, `a!=b`, `a`, `!a`. */
function splitTerm(term: string): { key: string; value: string | undefined; negated: boolean } {
  const match = /^(!?)([^=!]+?)(?:(!=|==?)(.*))?$/.exec(term.trim());
  if (match === null) throw new Error(`the fake API server does not know the selector ${term}`);
  return { key: match[2]!, value: match[4], negated: match[1] === '!' || match[3] === '!=' };
}
