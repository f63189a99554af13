// Translate: a hash that is the same for equal values, whatever the order of their keys.

import { createHash } from 'node:crypto';

/** JSON with sorted keys; Maps as sorted objects, bigint as text; `undefined` members are left out. */
export function stableJson(value: unknown): string {
  if (typeof value === 'bigint') return `"${value}"`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(stableJson).join(',')}]`;
  const entries = value instanceof Map ? [...value.entries()] : Object.entries(value);
  const members = entries
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => compareText(String(a), String(b)))
    .map(([key, member]) => `${JSON.stringify(String(key))}:${stableJson(member)}`);
  return `{${members.join(',')}}`;
}

/** 128 bits of SHA-256 over the value's stable JSON, as hex. */
export function stableHash(value: unknown): string {
  return createHash('sha256').update(stableJson(value)).digest('hex').slice(0, 32);
}

const contentHashes = new WeakMap<object, string>();

/** The stable hash of an object that never changes: worked out once for each object. */
export function contentHash(value: object): string {
  let hash = contentHashes.get(value);
  if (hash === undefined) {
    hash = stableHash(value);
    contentHashes.set(value, hash);
  }
  return hash;
}

/** Order by UTF-16 code units: the same on every machine, unlike localeCompare. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
