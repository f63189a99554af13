// Claims of verified tokens for the core: written as a list of paths and values, so that it can find one by its path.

import type { Core } from '../core.js';
import * as C from './claims-layout.js';

/** JSON as tokens have it. */
export type ClaimValue =
  | string
  | number
  | boolean
  | null
  | readonly ClaimValue[]
  | { readonly [name: string]: ClaimValue };

/** Between the names of a path; a name that has it can be matched by nobody. */
const SEPARATOR = '\0';

/** A path as keys of claims have it. */
export function claimKey(path: readonly string[]): string {
  return path.join(SEPARATOR);
}

/** The claims below a name (that of dynamic metadata) as bytes; undefined where there is no room for so many. */
export function encodeClaims(name: string, value: ClaimValue): Buffer | undefined {
  const parts: Buffer[] = [];
  let length = 0;
  // A list of what is left, and not recursion: claims are the caller's.
  const left: (readonly [string, ClaimValue])[] = [[name, value]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    for (const entry of entriesOf(...next)) {
      length += entry.length;
      if (length > C.CLAIMS_BYTES) return undefined;
      parts.push(entry);
    }
    const [path, inner] = next;
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) continue;
    for (const [field, each] of Object.entries(inner)) {
      if (!field.includes(SEPARATOR)) left.push([`${path}${SEPARATOR}${field}`, each]);
    }
  }
  return Buffer.concat(parts, length);
}

function entriesOf(path: string, value: ClaimValue): Buffer[] {
  if (typeof value === 'string') return [entry(path, C.CLAIM_STRING, value)];
  if (typeof value === 'number') return [entry(path, C.CLAIM_NUMBER, String(value))];
  if (typeof value === 'boolean') return [entry(path, C.CLAIM_BOOL, String(value))];
  const items = Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
  return [entry(path, C.CLAIM_OTHER, ''), ...items.map((item) => entry(path, C.CLAIM_ITEM, item))];
}

function entry(path: string, kind: number, text: string): Buffer {
  const key = Buffer.from(path, 'utf8');
  const value = Buffer.from(text, 'utf8');
  const bytes = Buffer.alloc((C.CLAIM_TEXT + key.length + value.length + 3) & ~3);
  bytes.writeInt32LE(key.length, C.CLAIM_KEY_LENGTH);
  bytes.writeInt32LE(value.length, C.CLAIM_VALUE_LENGTH);
  bytes.writeInt32LE(kind, C.CLAIM_KIND);
  key.copy(bytes, C.CLAIM_TEXT);
  value.copy(bytes, C.CLAIM_TEXT + key.length);
  return bytes;
}

/** Makes claims those of the request at hand; false where there is no room for all of them. */
export function putClaims(core: Core, claims: readonly Buffer[]): boolean {
  let at = C.CLAIMS;
  for (const bytes of claims) {
    if (at + bytes.length > C.CLAIMS + C.CLAIMS_BYTES) {
      clearClaims(core);
      return false;
    }
    core.bytes.set(bytes, at);
    at += bytes.length;
  }
  core.i32[C.CLAIMS_LENGTH >> 2] = at - C.CLAIMS;
  return true;
}

/** Nothing is known of the next request. */
export function clearClaims(core: Core): void {
  core.i32[C.CLAIMS_LENGTH >> 2] = 0;
}
