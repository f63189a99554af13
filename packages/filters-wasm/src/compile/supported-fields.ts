// Refuses by name every field that is set and that nobody here reads.
import { type DescField, type DescMessage, isFieldSet, type MessageShape } from '@bufbuild/protobuf';
import type { ProblemList } from './problems.js';

const refusedFields = new WeakMap<DescMessage, Map<string, readonly DescField[]>>();

/** `supported` are proto field names separated by spaces; any other field that is set is a problem at `path`. */
export function refuseOtherFields<Desc extends DescMessage>(
  problems: ProblemList,
  path: string,
  schema: Desc,
  message: MessageShape<Desc>,
  supported: string,
): void {
  let bySupported = refusedFields.get(schema);
  if (bySupported === undefined) {
    bySupported = new Map();
    refusedFields.set(schema, bySupported);
  }
  let refused = bySupported.get(supported);
  if (refused === undefined) {
    const names = new Set(supported.split(/\s+/).filter((name) => name !== ''));
    for (const name of names) {
      if (!schema.fields.some((field) => field.name === name))
        throw new Error(`${schema.typeName} has no field ${name}`);
    }
    refused = schema.fields.filter((field) => !names.has(field.name));
    bySupported.set(supported, refused);
  }
  for (const field of refused) {
    if (isFieldSet(message, field)) problems.add(join(path, field.name), 'is not supported');
  }
}

/** `a.b`, or `b` at the top. */
export function join(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}
