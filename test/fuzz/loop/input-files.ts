// Fuzzing: inputs as files: `corpus/TARGET/` to start from, `found/TARGET/` for every input that ever failed.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../../harness/repository.js';

const ROOM = `${REPOSITORY}test/fuzz/`;

export interface InputFile {
  /** Relative to the folder of the fuzzer. */
  readonly file: string;
  readonly input: Buffer;
}

function readFolder(folder: string): InputFile[] {
  const directory = join(ROOM, folder);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .filter((name) => !name.endsWith('.md'))
    .map((name) => ({ file: join(folder, name), input: readFileSync(join(directory, name)) }));
}

export const corpusOf = (target: string): readonly InputFile[] => readFolder(join('corpus', target));
export const foundOf = (target: string): readonly InputFile[] => readFolder(join('found', target));

/** Writes an input under a name made of its content; the path for the report. */
export function keepInput(folder: 'corpus' | 'found', target: string, input: Buffer): string {
  const directory = join(ROOM, folder, target);
  mkdirSync(directory, { recursive: true });
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  writeFileSync(join(directory, name), input);
  return `test/fuzz/${folder}/${target}/${name}`;
}
