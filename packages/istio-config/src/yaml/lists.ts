// YAML documents → objects: a `List` (and `VirtualServiceList`…) stands for its items.
import type { FieldPath } from '../problem.js';

/** An object of a document. */
export interface ListedValue {
  readonly value: unknown;
  readonly base: FieldPath;
}

const MAX_NESTING = 4;

/** The objects of a document: itself, or the items of a list, or of lists in it. */
export function expandLists(value: unknown, base: FieldPath = []): ListedValue[] {
  if (base.length / 2 >= MAX_NESTING || !isList(value)) return [{ value, base }];
  return value.items.flatMap((item, index) => expandLists(item, [...base, 'items', index]));
}

function isList(value: unknown): value is { readonly items: readonly unknown[] } {
  if (typeof value !== 'object' || value === null || !('kind' in value) || !('items' in value)) return false;
  return typeof value.kind === 'string' && value.kind.endsWith('List') && Array.isArray(value.items);
}
