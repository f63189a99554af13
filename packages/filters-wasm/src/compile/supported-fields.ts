// Refuses by name every field that is set and that nobody here reads.
import { type DescField, type DescMessage, isFieldSet, type MessageShape } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import type { ProblemList } from './problems.js';

const { IMPLICIT } = FeatureSet_FieldPresence;

/** Of one message and one list of supported fields: those that are refused, in the order of how they are looked at. */
interface RefusedFields {
  /** Set unless undefined. */
  readonly byPresence: readonly DescField[];
  /** Set where they are not empty, not zero, or chosen. */
  readonly others: readonly DescField[];
}

const refusedFields = new WeakMap<DescMessage, Map<string, RefusedFields>>();

/** `supported` are proto field names separated by spaces; any other field that is set is a problem at `path`. */
export function refuseOtherFields<Desc extends DescMessage>(
  problems: ProblemList,
  path: string,
  schema: Desc,
  message: MessageShape<Desc>,
  supported: string,
): void {
  if (!hasOtherFields(schema, message, supported)) return;
  const { byPresence, others } = readRefused(schema, supported);
  for (const field of [...byPresence, ...others]) {
    if (isFieldSet(message, field)) problems.add(join(path, field.name), 'is not supported');
  }
}

/** Whether refuseOtherFields() would refuse any. */
export function hasOtherFields<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  supported: string,
): boolean {
  const { byPresence, others } = refusedFields.get(schema)?.get(supported) ?? readRefused(schema, supported);
  const values = message as unknown as Readonly<Record<string, unknown>>;
  // Most fields of most messages are these, and undefined; whether one is set in earnest is rarely a question.
  for (const field of byPresence) if (values[field.localName] !== undefined && isFieldSet(message, field)) return true;
  for (const field of others) if (isFieldSet(message, field)) return true;
  return false;
}

function readRefused(schema: DescMessage, supported: string): RefusedFields {
  const names = new Set(supported.split(/\s+/).filter((name) => name !== ''));
  for (const name of names) {
    if (!schema.fields.some((field) => field.name === name)) throw new Error(`${schema.typeName} has no field ${name}`);
  }
  const refused = schema.fields.filter((field) => !names.has(field.name));
  const isByPresence = ({ oneof, presence }: DescField) => oneof === undefined && presence !== IMPLICIT;
  const fields = { byPresence: refused.filter(isByPresence), others: refused.filter((field) => !isByPresence(field)) };
  const bySupported = refusedFields.get(schema) ?? new Map<string, RefusedFields>();
  refusedFields.set(schema, bySupported.set(supported, fields));
  return fields;
}

/** `a.b`, or `b` at the top. */
export function join(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}
