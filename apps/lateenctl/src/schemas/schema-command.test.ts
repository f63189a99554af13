// `lateenctl schema`: what is written where, and what is said of a command line that does not say enough.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ISTIO_KINDS } from '@lateen/istio-config';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createProgram } from '../program.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lateen-schema-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(...words: string[]): Promise<unknown> {
  return createProgram().parseAsync(['schema', ...words], { from: 'user' });
}

function readJson(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>;
}

test('writes the schema of a kind, by any of its names', async () => {
  await run('ap', '--out', join(folder, 'deeper', 'a.json'));
  expect(readJson('deeper/a.json')).toMatchObject({ properties: { kind: { const: 'AuthorizationPolicy' } } });
});

test('writes the schema of a mesh file', async () => {
  await run('meshconfig', '--out', join(folder, 'mesh.json'));
  expect(readJson('mesh.json')).toHaveProperty('properties.accessLogFile');
});

test('writes all, and one that refers to each', async () => {
  await run('--all', '--out', folder);
  const names = readdirSync(folder);
  expect(names).toEqual(
    expect.arrayContaining([...ISTIO_KINDS.map((kind) => `${kind}.json`), 'all.json', 'MeshConfig.json']),
  );
  const combined = JSON.stringify(readJson('all.json'));
  for (const [, name] of combined.matchAll(/"\$ref":"([^"]+)"/g)) expect(names).toContain(name);
});

test.each([
  [[], /say which kind/],
  [['Widget'], /unknown kind "Widget"/],
  [['Pod'], /unknown kind "Pod"; one of (?!.*\bPod\b).*, MeshConfig$/],
  [['--all'], /say where the schemas go/],
  [['vs', '--all', '--out', 'x'], /not both/],
])('%j is refused', async (words, message) => {
  await expect(run(...words)).rejects.toThrow(message);
});
