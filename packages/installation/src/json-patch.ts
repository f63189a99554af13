// Manifests: what makes one object of another, as a JSON patch (RFC 6902) that people can read: lists are replaced as a whole.
import { isDeepStrictEqual } from 'node:util';

export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** Operations that make `to` of `from`, in order of the fields. */
export function jsonPatch(from: object, to: object, path = ''): PatchOperation[] {
  const before = from as Readonly<Record<string, unknown>>;
  const after = to as Readonly<Record<string, unknown>>;
  const changed = Object.keys(before).flatMap((key): PatchOperation[] => {
    const place = `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (after[key] === undefined) return before[key] === undefined ? [] : [{ op: 'remove', path: place }];
    if (isDeepStrictEqual(before[key], after[key])) return [];
    const [old, new_] = [before[key], after[key]];
    if (isMapping(old) && isMapping(new_)) return jsonPatch(old, new_, place);
    return [{ op: before[key] === undefined ? 'add' : 'replace', path: place, value: after[key] }];
  });
  const added = Object.keys(after).flatMap((key): PatchOperation[] =>
    key in before || after[key] === undefined
      ? []
      : [{ op: 'add', path: `${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, value: after[key] }],
  );
  return [...changed, ...added];
}

function isMapping(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
