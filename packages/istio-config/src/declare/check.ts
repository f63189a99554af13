// Declarations: checks a value against a declared message and keeps the parts that are right.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { FieldPath } from '../problem.js';
import type { Fault } from './fault.js';
import { issueFaults, unknownField } from './issue-text.js';
import { childSchema, keyFormat, type MessageDescription, messageDescription, unwrapSchema } from './message.js';

/**
 * A value whose faulty parts are taken out: a key whose value was wrong is still there with `undefined`, so that rules
 * can tell "set, but wrong" (`'route' in rule`) from "not set".
 */
export type Loose<T> = T extends readonly (infer Item)[]
  ? readonly (Loose<Item> | undefined)[]
  : T extends object
    ? { readonly [K in keyof T]?: Loose<T[K]> | undefined }
    : T;

export interface CheckedValue<T> {
  readonly value: Loose<T>;
  readonly faults: readonly Fault[];
}

/** Checks structure: unknown fields, types, formats, ranges, required fields, one-ofs. Finds all faults, not the first. */
export function checkStructure<M extends z.ZodObject>(schema: M, input: unknown): CheckedValue<z.infer<M>> {
  const faults: Fault[] = [];
  const result = schema.safeParse(input);
  let value: unknown = input;
  if (!result.success) {
    value = structuredClone(input);
    for (const issue of result.error.issues) {
      faults.push(...issueFaults(schema, input, issue));
      if (issue.code === 'unrecognized_keys') removeValues(value, issue.path, issue.keys);
      else value = without(value, issue.path);
    }
  }
  checkFieldGroups(schema, value, [], faults);
  const usable = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
  // Everything that the schema found wrong has been taken out, which is what Loose says.
  return { value: usable as Loose<z.infer<M>>, faults };
}

/** Sets what is at the path to undefined. A path that is not there (a missing required field) changes nothing. */
function without(root: unknown, path: readonly PropertyKey[]): unknown {
  if (path.length === 0) return undefined;
  const owner = objectAt(root, path.slice(0, -1));
  const last = path[path.length - 1]!;
  if (owner && Object.hasOwn(owner, last)) owner[last] = undefined;
  return root;
}

/** Takes out the values of unknown fields. The keys stay, since an object that has one is not whole. */
function removeValues(root: unknown, path: readonly PropertyKey[], keys: readonly string[]): void {
  const owner = objectAt(root, path);
  for (const key of keys) if (owner) owner[key] = undefined;
}

function objectAt(root: unknown, path: readonly PropertyKey[]): Record<PropertyKey, unknown> | undefined {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>) : undefined;
}

/** What spans fields: one-ofs, the keys of maps, and unknown fields of Kubernetes messages. */
function checkFieldGroups(schema: z.core.$ZodType, value: unknown, path: FieldPath, faults: Fault[]): void {
  if (typeof value !== 'object' || value === null) return;
  const bare = unwrapSchema(schema);
  if (bare instanceof z.ZodArray && Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkFieldGroups(bare.element, item, [...path, index], faults);
    return;
  }
  if (Array.isArray(value)) return;
  checkOneOfs(bare, value, path, faults);
  const format = keyFormat(bare);
  const description = messageDescription(bare);
  for (const [key, item] of Object.entries(value)) {
    const wrong = format?.(key);
    if (wrong)
      faults.push({ path: [...path, key], part: 'key', severity: 'error', code: wrong.code, message: wrong.text });
    const child = childSchema(bare, key);
    if (child) checkFieldGroups(child, item, [...path, key], faults);
    else if (description?.alsoKnown) checkOpenField(bare, description, item, [...path, key], faults);
  }
}

/** A field of a Kubernetes message that is not declared. */
function checkOpenField(
  owner: z.core.$ZodType,
  { alsoKnown = [], withoutEffect = {}, defaults = {} }: MessageDescription,
  value: unknown,
  path: FieldPath,
  faults: Fault[],
): void {
  const key = String(path.at(-1));
  if (alsoKnown.includes(key)) return;
  const reason = Object.hasOwn(withoutEffect, key) ? withoutEffect[key] : undefined;
  if (reason === undefined) {
    faults.push(unknownField(owner, path, 'warning'));
    return;
  }
  const usual = Object.hasOwn(defaults, key) ? (defaults[key] ?? []) : [];
  if (saysNothing(value) || usual.some((one) => isDeepStrictEqual(one, value))) return;
  faults.push(withoutEffectFault(path, reason));
}

/** The warning of a field that is not acted on in local mode. */
export function withoutEffectFault(path: FieldPath, reason: string): Fault {
  const message = `\`${path.at(-1)}\` is accepted, but not acted on in local mode (${reason}); it may stay`;
  return { path, part: 'key', severity: 'warning', code: 'not-acted-on', message };
}

/** Whether a field is as good as left out. */
function saysNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function checkOneOfs(schema: z.core.$ZodType, value: object, path: FieldPath, faults: Fault[]): void {
  const description = messageDescription(schema);
  if (!description) return;
  const { name, atMostOneOf = [], exactlyOneOf = [] } = description;
  for (const group of [...atMostOneOf, ...exactlyOneOf]) {
    const [first, ...rest] = group.filter((field) => Object.hasOwn(value, field));
    for (const extra of rest) {
      const message = `\`${extra}\` and \`${first}\` exclude each other in ${name}; keep one`;
      faults.push({ path: [...path, extra], part: 'key', severity: 'error', code: 'one-of', message });
    }
    if (first === undefined && exactlyOneOf.includes(group)) {
      const message = `${name} needs one of ${group.map((field) => `\`${field}\``).join(', ')}; add one`;
      faults.push({ path, part: 'value', severity: 'error', code: 'one-of', message });
    }
  }
}
