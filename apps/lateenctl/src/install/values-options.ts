// Installation: the values that a command line names, by files and words.

import { readFileSync } from 'node:fs';
import { resolveValues, type WholeValues } from '@lateen/installation';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { collect } from '../commands/context.js';
import { CliError, ReportedError } from '../output/cli-error.js';
import { printProblems } from '../output/print.js';
import { VERSION } from '../version.js';

export interface ValuesOptions {
  readonly filename: readonly string[];
  readonly set: readonly string[];
  readonly revision?: string;
}

/** The options of every command that makes manifests. */
export function addValuesOptions(command: Command): Command {
  return command
    .option('-f, --filename <file>', 'file of values, - for standard input; a later one over an earlier', collect, [])
    .option('-s, --set <path=value>', 'a value over the files: profile=demo, components.pilot.replicas=3', collect, [])
    .option('-r, --revision <name>', 'name of this control plane beside another');
}

/**
 * @param under values that the files are laid over
 * @throws ReportedError when something about them is wrong: every problem is printed
 */
export function valuesOf(options: ValuesOptions, under?: object): WholeValues {
  const said = options.filename.map((name) => ({ name: name === '-' ? 'standard input' : name, content: read(name) }));
  const files = under === undefined ? said : [{ name: 'the installed values', content: stringify(under) }, ...said];
  const set = options.revision === undefined ? options.set : [...options.set, `revision=${options.revision}`];
  const { values, problems } = resolveValues({ files, set, release: VERSION });
  printProblems(problems);
  if (values === undefined) throw new ReportedError();
  return values;
}

function read(name: string): string {
  try {
    return readFileSync(name === '-' ? 0 : name, 'utf8');
  } catch (error) {
    throw new CliError(`-f ${name}: cannot be read: ${(error as Error).message}`);
  }
}
