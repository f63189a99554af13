// Bootstrap file: checks a parsed file against the protobuf descriptors: unknown fields, types, enum values, one-ofs.
// The protobuf library would stop at the first of these and not say where it is.

import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonValue,
  ScalarType,
} from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { closestName } from './closest-name.js';
import type { PathStep } from './located-yaml.js';
import { SUPPORT_TABLE } from './support/support-table.js';
import { refusalOf } from './support/walk-support.js';

export interface StructureProblem {
  readonly path: readonly PathStep[];
  /** Whether the key itself is at fault rather than its value. */
  readonly atKey: boolean;
  readonly message: string;
}

/**
 * Every structural fault of `value` as a JSON form of `schema`. As Envoy does, one value where a list is expected is taken
 * for a list of it: it is made one in `value`. A field that changes nothing here is left out of `value` where its content is
 * not known.
 */
export function checkStructure(schema: DescMessage, value: unknown): StructureProblem[] {
  const problems: StructureProblem[] = [];
  checkMessage(schema, value, [], problems);
  return problems;
}

function checkMessage(schema: DescMessage, value: unknown, path: PathStep[], problems: StructureProblem[]): void {
  const fault = (message: string, at = path, atKey = false) => problems.push({ path: at, atKey, message });
  if (schema.typeName === 'google.protobuf.Any') {
    checkAny(value, path, problems);
    return;
  }
  if (schema.typeName.startsWith('google.protobuf.')) {
    // Durations, wrappers, structs: small enough for the library to judge.
    try {
      fromJson(schema, value as JsonValue);
    } catch {
      fault(`${describe(value)} is not a ${expectedForm(schema)}`);
    }
    return;
  }
  if (!isObject(value)) {
    fault(`expected an object (${schema.typeName}), found ${describe(value)}`);
    return;
  }
  const seen = new Map<DescField, string>();
  const oneofs = new Map<string, string>();
  for (const [key, item] of Object.entries(value)) {
    const at = [...path, key];
    if (key === '@type') continue;
    const field = fieldNamed(schema, key);
    if (field === undefined) {
      const names = schema.fields.map(({ name }) => name);
      const meant = closestName(key, names);
      const suggestion = meant === undefined ? '' : `; did you mean \`${meant}\`?`;
      fault(`unknown field \`${key}\` in ${schema.typeName}${suggestion}`, at, true);
      continue;
    }
    const twin = seen.get(field);
    if (twin !== undefined) fault(`\`${key}\` and \`${twin}\` are the same field`, at, true);
    seen.set(field, key);
    if (item === null || item === undefined) continue;
    if (field.oneof !== undefined) {
      const other = oneofs.get(field.oneof.name);
      if (other !== undefined) fault(`\`${key}\` and \`${other}\` exclude each other`, at, true);
      oneofs.set(field.oneof.name, key);
    }
    if (field.fieldKind === 'list' && !Array.isArray(item)) value[key] = [item];
    const faults: StructureProblem[] = [];
    checkField(field, value[key], at, faults);
    if (faults.length === 0) continue;
    const support = SUPPORT_TABLE[schema.typeName];
    if (support?.inert !== undefined && field.name in support.inert) {
      // It changes nothing, so its content may be of types that are not known here.
      delete value[key];
    } else {
      // Of a field that is refused anyway, the reason is worth more than what is wrong inside.
      const refusal = support === undefined ? undefined : refusalOf(field.name, support);
      if (refusal === undefined) problems.push(...faults);
      else fault(refusal, at, true);
    }
  }
}

function checkField(field: DescField, value: unknown, path: PathStep[], problems: StructureProblem[]): void {
  if (field.fieldKind === 'list') {
    // Anything else was made a list of one.
    (value as readonly unknown[]).forEach((item, index) => {
      checkSingle(field, field.listKind, item, [...path, index], problems);
    });
  } else if (field.fieldKind === 'map') {
    if (!isObject(value)) {
      problems.push({ path, atKey: false, message: `expected an object, found ${describe(value)}` });
      return;
    }
    for (const [key, item] of Object.entries(value)) checkSingle(field, field.mapKind, item, [...path, key], problems);
  } else {
    checkSingle(field, field.fieldKind, value, path, problems);
  }
}

function checkSingle(
  field: DescField,
  kind: 'message' | 'enum' | 'scalar',
  value: unknown,
  path: PathStep[],
  problems: StructureProblem[],
): void {
  if (kind === 'message' && field.message !== undefined) checkMessage(field.message, value, path, problems);
  else if (kind === 'enum' && field.enum !== undefined) checkEnum(field.enum, value, path, problems);
  else if (kind === 'scalar' && field.scalar !== undefined) checkScalar(field.scalar, value, path, problems);
}

function checkAny(value: unknown, path: PathStep[], problems: StructureProblem[]): void {
  const fault = (message: string, at = path) => problems.push({ path: at, atKey: false, message });
  if (!isObject(value)) {
    fault(`expected an object with @type, found ${describe(value)}`);
    return;
  }
  const typeUrl = value['@type'];
  if (typeof typeUrl !== 'string') {
    fault('needs `@type`, the type of this configuration');
    return;
  }
  const typeName = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
  const schema = xdsRegistry.getMessage(typeName);
  if (schema === undefined) {
    fault(`type ${typeName || typeUrl} is not supported`, [...path, '@type']);
    return;
  }
  checkMessage(schema, value, path, problems);
}

function checkEnum(schema: DescEnum, value: unknown, path: PathStep[], problems: StructureProblem[]): void {
  const known =
    typeof value === 'string'
      ? schema.values.some(({ name }) => name === value)
      : typeof value === 'number' && schema.value[value] !== undefined;
  if (known) return;
  const names = schema.values.map(({ name }) => name);
  const meant = typeof value === 'string' ? closestName(value.toUpperCase(), names) : undefined;
  const suggestion = meant === undefined ? `one of ${names.join(', ')}` : `did you mean \`${meant}\`?`;
  problems.push({
    path,
    atKey: false,
    message: `${describe(value)} is not a value of ${schema.typeName}; ${suggestion}`,
  });
}

function checkScalar(type: ScalarType, value: unknown, path: PathStep[], problems: StructureProblem[]): void {
  const fault = (expected: string) =>
    problems.push({ path, atKey: false, message: `expected ${expected}, found ${describe(value)}` });
  switch (type) {
    case ScalarType.STRING:
      if (typeof value !== 'string') fault('a string');
      return;
    case ScalarType.BYTES:
      if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) fault('base64 text');
      return;
    case ScalarType.BOOL:
      if (typeof value !== 'boolean') fault('true or false');
      return;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      if (typeof value !== 'number' && !(typeof value === 'string' && value !== '' && !Number.isNaN(Number(value)))) {
        fault('a number');
      }
      return;
    default:
      checkInteger(type, value, fault);
  }
}

const UNSIGNED: ReadonlySet<ScalarType> = new Set([
  ScalarType.UINT32,
  ScalarType.UINT64,
  ScalarType.FIXED32,
  ScalarType.FIXED64,
]);
const WIDE: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
  ScalarType.SINT64,
]);

function checkInteger(type: ScalarType, value: unknown, fault: (expected: string) => void): void {
  const number =
    typeof value === 'number' ? value : typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
  const unsigned = UNSIGNED.has(type);
  const bits = WIDE.has(type) ? 64 : 32;
  const max = unsigned ? 2 ** bits - 1 : 2 ** (bits - 1) - 1;
  const min = unsigned ? 0 : -(2 ** (bits - 1));
  if (!Number.isInteger(number) || number < min || number > max) {
    fault(unsigned ? `a whole number from 0 to ${max}` : `a whole number of ${bits} bits`);
  }
}

function fieldNamed(schema: DescMessage, key: string): DescField | undefined {
  return schema.fields.find(({ name, jsonName }) => name === key || jsonName === key);
}

function expectedForm(schema: DescMessage): string {
  switch (schema.typeName) {
    case 'google.protobuf.Duration':
      return 'duration, for example `10s` or `0.25s`';
    case 'google.protobuf.BoolValue':
      return 'truth value, true or false';
    case 'google.protobuf.UInt32Value':
      return 'whole number from 0 to 4294967295';
    default:
      return schema.typeName;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
