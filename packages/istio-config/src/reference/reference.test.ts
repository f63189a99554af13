// Reference: every declared field is described, and every format has its place in the schemas.
import { expect, test } from 'vitest';
import { z } from 'zod';
import { keyFormat } from '../declare/message.js';
import { isDuration, stringFormat } from '../declare/scalars.js';
import { ISTIO_KINDS, KUBERNETES_KINDS } from '../index.js';
import { meshConfig } from '../kinds/mesh-config.js';
import { specSchema } from '../kinds/registry.js';
import { messagesOf } from './field-tree.js';
import { splitDefault } from './page.js';
import { patternOf } from './string-patterns.js';

const specs: readonly (readonly [string, z.ZodObject])[] = [
  ...[...ISTIO_KINDS, ...KUBERNETES_KINDS].map((kind) => [kind, specSchema(kind)] as const),
  ['MeshConfig', meshConfig],
];

test.each(specs)('%s: every field has a description of one line', (kind, spec) => {
  const wrong = messagesOf(spec, kind).flatMap(({ name, fields }) =>
    fields.filter(({ description }) => !/^\S[^\n]*\.$/.test(description)).map((field) => `${name}.${field.name}`),
  );
  expect(wrong).toEqual([]);
});

test.each(specs)('%s: every format of a string has its keywords', (_, spec) => {
  const unknown: string[] = [];
  z.toJSONSchema(spec, {
    unrepresentable: 'any',
    override: ({ zodSchema, path }) => {
      const format = isDuration(zodSchema) ? undefined : (stringFormat(zodSchema) ?? keyFormat(zodSchema));
      if (format && !patternOf(format)) unknown.push(path.join('.'));
    },
  });
  expect(unknown).toEqual([]);
});

test.each([
  ['What happens (default ALLOW).', 'What happens.', 'ALLOW'],
  ['The format (default: accessLogFormat).', 'The format.', 'accessLogFormat'],
  ['Where (default: Authorization with "Bearer ").', 'Where.', 'Authorization with "Bearer "'],
  ['A header (RE2).', 'A header (RE2).', ''],
])('%s', (description, text, fallback) => {
  expect(splitDefault(description)).toEqual({ text, fallback });
});
