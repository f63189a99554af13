// For tests: what a patch makes of an object.

type Json = Record<string, unknown>;

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7386. Server-side apply is played the same way: nobody here tests who owns which field. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const result: Json = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

interface Operation {
  readonly op: 'add' | 'replace' | 'remove' | 'test';
  readonly path: string;
  readonly value?: unknown;
}

/** RFC 6902: add, replace, remove, test. @throws Error for a test that fails, and for a path that leads nowhere */
export function jsonPatch(target: object, operations: readonly Operation[]): object {
  const result = structuredClone(target);
  for (const { op, path, value } of operations) {
    const parts = path
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = parts.pop()!;
    let parent: unknown = result;
    for (const part of parts) parent = (parent as Json | undefined)?.[part];
    if (typeof parent !== 'object' || parent === null) throw new Error(`${path} leads nowhere`);
    const holder = parent as Json;
    if (op === 'test') {
      if (JSON.stringify(holder[last]) !== JSON.stringify(value)) throw new Error(`the test of ${path} failed`);
    } else if (Array.isArray(parent) && op !== 'replace') {
      const at = last === '-' ? parent.length : Number(last);
      if (op === 'add') parent.splice(at, 0, value);
      else parent.splice(at, 1);
    } else if (op === 'remove') delete holder[last];
    else holder[last] = value;
  }
  return result;
}
