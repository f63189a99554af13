// The table of what is acted on names fields that exist, and the order of its parts.
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { ACTED_ON } from './acted-on.js';
import { expandPath, pathSteps } from './acted-on-check.js';
import { childSchema } from './declare/message.js';
import { meshConfig } from './kinds/mesh-config.js';
import { isKind, specSchema } from './kinds/registry.js';

function schemaOf(kind: string): z.core.$ZodType {
  return isKind(kind) ? specSchema(kind) : meshConfig;
}

function exists(schema: z.core.$ZodType, path: string): boolean {
  let current: z.core.$ZodType | undefined = schema;
  for (const step of pathSteps(path)) current = current && childSchema(current, step === '[]' ? 0 : step);
  return current !== undefined;
}

describe.each(Object.entries(ACTED_ON))('%s', (kind, { done, stored, refused = {}, values = {} }) => {
  test('names only declared fields', () => {
    const paths = [...done, ...Object.keys(stored), ...Object.keys(refused), ...Object.keys(values)];
    expect(paths.flatMap(expandPath).filter((path) => !exists(schemaOf(kind), path))).toEqual([]);
  });

  test('says one thing about each field', () => {
    const paths = [...done, ...Object.keys(stored)].flatMap(expandPath);
    expect(paths.filter((path, index) => paths.indexOf(path) !== index)).toEqual([]);
  });

  test('has values only where the field is acted on', () => {
    const acted = new Set(done.flatMap(expandPath));
    expect(
      Object.keys(values)
        .flatMap(expandPath)
        .filter((path) => !acted.has(path)),
    ).toEqual([]);
  });
});

const refusedKinds = Object.entries(ACTED_ON).filter(([, { refused }]) => refused?.[''] !== undefined);

test.each(refusedKinds)(
  '%s, which is refused as a whole, would be acted on in full without that line',
  (kind, table) => {
    const schema = schemaOf(kind);
    const listed = table.done.flatMap(expandPath);
    const fields = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    expect(fields.length).toBeGreaterThan(1);
    expect(fields.filter((field) => !listed.includes(field))).toEqual([]);
  },
);

test('braces expand', () => {
  expect(expandPath('a.{b,c}[].{d,e}')).toEqual(['a.b[].d', 'a.b[].e', 'a.c[].d', 'a.c[].e']);
});
