// Reading what `-f` names: a directory of a program may hold JSON that is no document; a file that is named is always read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { readSources } from './read-sources.js';

let folder: string;
let said: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lateen-sources-'));
  said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, content: string): void {
  mkdirSync(join(folder, name, '..'), { recursive: true });
  writeFileSync(join(folder, name), content);
}

function namesOf(path: string, recursive = false): string[] {
  return readSources([path], { recursive }).map(({ name }) => basename(name));
}

test('a directory: YAML, JSON documents, and one line about other JSON', () => {
  write('a.yaml', 'kind: x');
  write('b.yml', '');
  write('c.json', '{"apiVersion": "v1", "kind": "Namespace"}');
  write('package.json', '{"name": "x"}');
  write('deeper/tsconfig.json', '{/* why */}');
  write('README.md', '');
  expect(namesOf(folder)).toEqual(['a.yaml', 'b.yml', 'c.json']);
  expect(said).toMatch(/^skipped \S*package\.json: JSON with neither apiVersion nor kind\n$/);
  said = '';
  expect(namesOf(folder, true)).toEqual(['a.yaml', 'b.yml', 'c.json']);
  expect(said).toMatch(/^skipped \S*tsconfig\.json, \S*package\.json: JSON/);
});

test('a file that is named is read, whatever it holds', () => {
  write('package.json', '{"name": "x"}');
  expect(namesOf(join(folder, 'package.json'))).toEqual(['package.json']);
  expect(said).toBe('');
});

test('a directory of other JSON only holds no document', () => {
  write('package.json', '{"name": "x"}');
  expect(() => namesOf(folder)).toThrow(/holds no file with documents/);
});
