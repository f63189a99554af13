// Secrets: whatever is wrong with one, no problem and no object holds a value.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseDocuments, parseMeshConfig, validateObjects } from '../index.js';

const VALUE = 'hunter2s3cr3t';
const ENCODED = Buffer.from(VALUE).toString('base64');

/** What a parser says and keeps of a text. */
function heard(content: string): string {
  const file = { name: 'in.yaml', content };
  const { objects, problems } = parseDocuments([file], { defaultNamespace: 'default' });
  const forGalley = parseDocuments([file], { defaultNamespace: 'default', kubernetes: false });
  return JSON.stringify([objects, problems, validateObjects(objects), forGalley, parseMeshConfig(file).problems]);
}

const written = fc.constantFrom(
  VALUE,
  ENCODED,
  `"${VALUE}"`,
  `'${VALUE}`,
  `*${VALUE}`,
  `&${VALUE} x`,
  `[${VALUE}, ${ENCODED}]`,
  `{a: ${VALUE}}`,
  `{${VALUE}`,
  `"\\q${VALUE}"`,
  `!!binary ${VALUE}`,
  `@${VALUE}`,
  `%${VALUE}`,
  `"${VALUE}" trailing`,
  `|\n    ${VALUE}\n   ${VALUE}`,
  `${VALUE}: ${VALUE}: ${VALUE}`,
  `? ${VALUE}`,
  '12345678901',
  'true',
  '~',
);
const place = fc.constantFrom('data', 'stringData', 'type', 'immutable');
const key = fc.constantFrom('tls.key', 'tls.crt', 'password', '"a b"', 'cert', 'key', 'ca.crt');

test('no value is repeated, in whichever form it was written', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('Opaque', 'kubernetes.io/tls', ''),
      fc.array(fc.tuple(place, key, written), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (type, entries, whole) => {
        const lines = entries.map(([field, name, value]) =>
          whole ? `${field}: ${value}` : `${field}:\n  ${name}: ${value}`,
        );
        const text = heard(`apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: "${type}"\n${lines.join('\n')}\n`);
        expect(text).not.toContain(VALUE);
        expect(text).not.toContain(ENCODED);
        expect(text).not.toContain('12345678901');
      },
    ),
    { numRuns: 1000 },
  );
});

test('keys stay, values are hidden', () => {
  const content = `apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {password: ${ENCODED}}\nstringData: {user: ${VALUE}}\n`;
  const { objects } = parseDocuments([{ name: 'in.yaml', content }], { defaultNamespace: 'default' });
  expect(objects.map(({ spec }) => spec)).toEqual([
    { data: { password: '(hidden)' }, stringData: { user: '(hidden)' } },
  ]);
});
