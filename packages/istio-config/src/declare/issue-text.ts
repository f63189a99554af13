// Declarations: a validation issue of the schema library → a fault that says what is wrong and what to do.
import { z } from 'zod';
import type { FieldPath } from '../problem.js';
import type { Fault } from './fault.js';
import { childSchema, messageDescription, unwrapSchema } from './message.js';
import { isDuration } from './scalars.js';
import { nearestWord } from './suggest.js';

/** Faults for one issue (an issue about unknown keys is one fault for each). */
export function issueFaults(schema: z.core.$ZodType, root: unknown, issue: z.core.$ZodIssue): Fault[] {
  const path = issue.path.filter((part): part is string | number => typeof part !== 'symbol');
  const value = valueAt(root, path);
  const fault = (code: string, message: string, part: Fault['part'] = 'value'): Fault[] => [
    { path, part, severity: 'error', code, message },
  ];
  switch (issue.code) {
    case 'unrecognized_keys': {
      const owner = schemaAt(schema, path);
      return issue.keys.map((key) => unknownField(owner, [...path, key], 'error'));
    }
    case 'invalid_type': {
      if (value === undefined) return fault('required', requiredText(schema, path));
      return fault('type', typeText(path, schemaAt(schema, path), issue.expected, value));
    }
    case 'invalid_union':
      if (value === undefined) return fault('required', requiredText(schema, path));
      return fault('type', `${fieldName(path)} must be a port's number or name, but is ${describe(value)}; write one`);
    case 'invalid_value':
      if (value === undefined) return fault('required', requiredText(schema, path));
      return fault('enum', enumText(issue.values.map(String), value));
    case 'too_small':
    case 'too_big':
      return fault('range', rangeText(path, schemaAt(schema, path), value));
    case 'custom':
      return fault(String(issue.params?.code ?? 'invalid'), issue.message);
    default:
      return fault('invalid', `${fieldName(path)} is not valid (${issue.message}); correct it`);
  }
}

/** The fault of a field that a message does not have. */
export function unknownField(owner: z.core.$ZodType | undefined, path: FieldPath, severity: Fault['severity']): Fault {
  const key = String(path.at(-1));
  const bare = owner && unwrapSchema(owner);
  const known = bare instanceof z.ZodObject ? Object.keys(bare.shape) : [];
  const description = bare && messageDescription(bare);
  const others = [...(description?.alsoKnown ?? []), ...Object.keys(description?.withoutEffect ?? {})];
  const instead = description?.instead?.[key] ?? nearestWord(key, [...known, ...others]);
  const advice = instead
    ? `did you mean \`${instead}\`?`
    : known.length > 0 && known.length <= 12
      ? `write one of ${known.join(', ')}, or remove it`
      : 'remove it';
  const inside = description ? ` in ${description.name}` : '';
  return {
    path,
    part: 'key',
    severity,
    code: 'unknown-field',
    ...(instead !== undefined && { instead }),
    message: `unknown field \`${key}\`${inside}; ${advice}`,
  };
}

/** The schema at a path, or undefined. */
export function schemaAt(schema: z.core.$ZodType, path: FieldPath): z.core.$ZodType | undefined {
  let current: z.core.$ZodType | undefined = schema;
  for (const part of path) current = current && childSchema(current, part);
  return current;
}

function valueAt(root: unknown, path: FieldPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function fieldName(path: FieldPath): string {
  const last = path.at(-1);
  if (last === undefined) return 'the value';
  if (typeof last === 'string') return `\`${last}\``;
  const list = path.at(-2);
  return typeof list === 'string' ? `an item of \`${list}\`` : 'an item';
}

function requiredText(schema: z.core.$ZodType, path: FieldPath): string {
  const owner = schemaAt(schema, path.slice(0, -1));
  const description = owner && messageDescription(unwrapSchema(owner));
  return `${fieldName(path)} is required${description ? ` in ${description.name}` : ''}; add it`;
}

const EXPECTED: Readonly<Record<string, { readonly what: string; readonly advice: string }>> = {
  string: { what: 'a string', advice: 'write a string' },
  number: { what: 'a number', advice: 'write a number' },
  int: { what: 'a whole number', advice: 'write a whole number' },
  boolean: { what: 'true or false', advice: 'write true or false' },
  array: { what: 'a list', advice: 'begin each item with `- `' },
  object: { what: 'a mapping', advice: 'write `key: value` lines below it' },
  record: { what: 'a mapping', advice: 'write `key: value` lines below it' },
};

function typeText(path: FieldPath, schema: z.core.$ZodType | undefined, expected: string, value: unknown): string {
  const { what, advice } = EXPECTED[expected] ?? { what: expected, advice: `write ${expected}` };
  if (value === null) return `${fieldName(path)} must be ${what}, but is empty; write a value or remove the key`;
  if (schema && isDuration(unwrapSchema(schema))) {
    return `${fieldName(path)} must be a duration, but is ${describe(value)}; write a number with a unit, such as 5s`;
  }
  return `${fieldName(path)} must be ${what}, but is ${describe(value)}; ${typeAdvice(expected, value) ?? advice}`;
}

function typeAdvice(expected: string, value: unknown): string | undefined {
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean')) return 'put it in quotes';
  const numeric = typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value));
  if ((expected === 'number' || expected === 'int') && numeric) return 'take the quotes off';
  if (expected === 'boolean' && (value === 'true' || value === 'false')) return 'take the quotes off';
  return undefined;
}

function describe(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'string') return `the string ${JSON.stringify(shorten(value))}`;
  return `the ${typeof value} ${String(value)}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function enumText(allowed: readonly string[], value: unknown): string {
  const nearest = typeof value === 'string' ? nearestWord(value, allowed) : undefined;
  const shown = typeof value === 'string' ? `\`${shorten(value)}\`` : describe(value);
  const advice = nearest ? `did you mean \`${nearest}\`?` : 'write one of them';
  return `${shown} is not one of ${allowed.join(', ')}; ${advice}`;
}

function rangeText(path: FieldPath, schema: z.core.$ZodType | undefined, value: unknown): string {
  const bare = schema && unwrapSchema(schema);
  if (bare instanceof z.ZodNumber) {
    return `${fieldName(path)} is ${describe(value)}; write a number ${interval(bare.minValue, bare.maxValue)}`;
  }
  if (typeof value === 'string') {
    if (value === '') return `${fieldName(path)} is empty; write a value`;
    return `${fieldName(path)} has ${value.length} characters, which is too many; shorten it`;
  }
  if (Array.isArray(value)) {
    if (value.length === 0) return `${fieldName(path)} is an empty list; add an item`;
    return `${fieldName(path)} has ${value.length} items, which is too many; remove some`;
  }
  return `${fieldName(path)} is out of range; correct it`;
}

function interval(min: number | null, max: number | null): string {
  const least = min !== null && Number.isFinite(min) ? min : undefined;
  const most = max !== null && Number.isFinite(max) ? max : undefined;
  if (least !== undefined && most !== undefined) return `from ${least} to ${most}`;
  return least !== undefined ? `of at least ${least}` : `of at most ${most}`;
}
