// Whatever is done to a document: nothing is thrown, and every problem has a position inside the text.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatProblem, parseDocuments, parseMeshConfig, validateObjects } from '../src/index.js';
import { readRuleCases } from './rule-case.js';

const CASES = fileURLToPath(new URL('cases', import.meta.url));

const samples = [
  ...readdirSync(CASES).flatMap((kind) =>
    readdirSync(`${CASES}/${kind}`).map((name) => readFileSync(`${CASES}/${kind}/${name}/in.yaml`, 'utf8')),
  ),
  ...readRuleCases().map(({ content }) => content),
];
const lines = [...new Set(samples.flatMap((sample) => sample.split('\n')))];

type Edit = { readonly at: number; readonly remove: number; readonly insert: string };

const snippet = fc.oneof(
  fc.constantFrom(...lines.map((line) => `\n${line}\n`)),
  fc.constantFrom(
    '<<: *a',
    '&a ',
    '*a',
    '__proto__: {x: 1}',
    'constructor: 1',
    'toString:',
    '- ',
    '? ',
    ': ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '!!binary ',
    '!x ',
    '%YAML 1.1\n---\n',
    '\n---\n',
    '\n...\n',
    '\t',
    '\r\n',
    '\u0000',
    '\u2028',
    '\ufeff',
    '|',
    '>',
    'null',
    '~',
    '1e999',
    '-0',
    '.nan',
    '0x1F',
    '0o17',
    'true',
    'yes',
    '# ',
    'hosts: ',
    'spec: ',
    '@',
    '`',
    '%',
  ),
  fc.string({ maxLength: 8, unit: 'binary' }),
);

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat(100_000),
  remove: fc.oneof(fc.constant(0), fc.nat(12), fc.nat(200)),
  insert: fc.oneof(fc.constant(''), snippet),
});

function mutate(sample: string, edits: readonly Edit[]): string {
  let text = sample;
  for (const { at, remove, insert } of edits) {
    const start = at % (text.length + 1);
    text = text.slice(0, start) + insert + text.slice(start + remove);
  }
  return text;
}

function checkText(content: string): void {
  const file = { name: 'in.yaml', content };
  const parsed = parseDocuments([file], { defaultNamespace: 'default' });
  const lineLengths = content.split('\n').map((line) => line.length);
  for (const problem of [...parsed.problems, ...validateObjects(parsed.objects), ...parseMeshConfig(file).problems]) {
    expect(problem.line, formatProblem(problem)).toBeGreaterThanOrEqual(1);
    expect(problem.line, formatProblem(problem)).toBeLessThanOrEqual(lineLengths.length);
    expect(problem.column, formatProblem(problem)).toBeGreaterThanOrEqual(1);
    expect(problem.column, formatProblem(problem)).toBeLessThanOrEqual(lineLengths[problem.line - 1]! + 2);
    expect(problem.message).toContain(';');
    expect(problem.code).toMatch(/^[a-z-]+$/);
  }
  for (const { metadata, source } of parsed.objects) {
    expect(metadata.name).not.toBe('');
    expect(source.line).toBeGreaterThanOrEqual(1);
  }
}

describe('mutated documents', () => {
  test('never crash, and every problem has a position and advice', () => {
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.array(edit, { minLength: 1, maxLength: 6 }), (sample, edits) => {
        checkText(mutate(sample, edits));
      }),
      { numRuns: 1500 },
    );
  });

  test('never crash when lines of all samples are shuffled together', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...lines), { maxLength: 40 }), (picked) => checkText(picked.join('\n'))),
      { numRuns: 500 },
    );
  });

  test('never crash on any text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300, unit: 'binary' }), (text) => checkText(text)),
      { numRuns: 500 },
    );
  });
});
