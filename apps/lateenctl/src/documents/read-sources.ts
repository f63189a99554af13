// Documents: what `-f` names, read: a file, a directory's YAML and JSON files, or standard input.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, extname, join, relative, resolve } from 'node:path';
import type { SourceText } from '../control/control-api.js';
import { UsageError } from '../output/cli-error.js';
import { isOtherJson } from './other-files.js';

/** How many files are named where several are skipped. */
const MAX_NAMES = 8;
const EXTENSIONS = new Set(['.yaml', '.yml', '.json']);

export interface ReadOptions {
  /** Enter the directories of a directory too. */
  readonly recursive: boolean;
}

/** Reads everything that the `-f` options name, in their order; files of a directory in the order of their names. */
export function readSources(paths: readonly string[], options: ReadOptions): SourceText[] {
  if (paths.length === 0) throw new UsageError('say what to read: -f FILE, -f DIRECTORY or -f - for standard input');
  return paths.flatMap((path) => {
    if (path === '-') return [{ name: '<stdin>', content: readFileSync(0, 'utf8'), directory: process.cwd() }];
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw new UsageError(`${path} does not exist`);
    if (!stat.isDirectory()) return [readSource(path)];
    const files = listFiles(path, options.recursive);
    if (files.length === 0) throw new UsageError(`${path} holds no .yaml, .yml or .json file`);
    const sources = withoutOtherJson(files.map(readSource));
    if (sources.length === 0) throw new UsageError(`${path} holds no file with documents`);
    return sources;
  });
}

/** A directory may be that of a program, whose package.json is no document. A file that is named itself is always read. */
function withoutOtherJson(files: readonly SourceText[]): SourceText[] {
  const skipped = files.filter((file) => extname(file.name) === '.json' && isOtherJson(file.content));
  if (skipped.length > 0) {
    const names = skipped.slice(0, MAX_NAMES).map(({ name }) => name);
    const more = skipped.length > MAX_NAMES ? ` and ${skipped.length - MAX_NAMES} more` : '';
    process.stderr.write(`skipped ${names.join(', ')}${more}: JSON with neither apiVersion nor kind\n`);
  }
  return files.filter((file) => !skipped.includes(file));
}

function readSource(path: string): SourceText {
  const fromHere = relative(process.cwd(), resolve(path));
  const name = fromHere.startsWith('..') ? path : fromHere;
  return { name, content: readFileSync(path, 'utf8'), directory: dirname(resolve(path)) };
}

function listFiles(directory: string, recursive: boolean): string[] {
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return recursive ? listFiles(path, recursive) : [];
    return EXTENSIONS.has(extname(entry.name)) ? [path] : [];
  });
}
