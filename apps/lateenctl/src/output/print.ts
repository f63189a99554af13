// Output: standard output in the format that was asked for; colours only on a terminal.

import { formatProblem, type Problem } from '@lateen/istio-config';
import pc from 'picocolors';
import { stringify } from 'yaml';
import { UsageError } from './cli-error.js';

export type OutputFormat = 'table' | 'short' | 'json' | 'yaml';

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

export function printYaml(value: unknown): void {
  print(stringify(value));
}

/** Checks an `-o` option against what the command can do. */
export function outputFormat(text: string, allowed: readonly OutputFormat[]): OutputFormat {
  const format = allowed.find((each) => each === text);
  if (format === undefined) throw new UsageError(`-o ${text}: unknown format; one of ${allowed.join(', ')}`);
  return format;
}

/** Colours for standard output and error. picocolors follows NO_COLOR, FORCE_COLOR and whether output is a terminal. */
const colors = (stream: NodeJS.WriteStream) => pc.createColors(pc.isColorSupported && stream.isTTY === true);

export const outColors = colors(process.stdout);
export const errorColors = colors(process.stderr);

/** Counts problems in words: `2 errors, 1 warning`; '' for none. */
export function problemCounts(problems: readonly Problem[]): string {
  const counts = (['error', 'warning'] as const).map((severity) => {
    const count = problems.filter((problem) => problem.severity === severity).length;
    return count === 0 ? [] : [`${count} ${count === 1 ? severity : `${severity}s`}`];
  });
  return counts.flat().join(', ');
}

/** Writes problems to standard error, one a line. */
export function printProblems(problems: readonly Problem[]): void {
  for (const problem of problems) {
    const line = formatProblem(problem);
    process.stderr.write(`${problem.severity === 'error' ? errorColors.red(line) : errorColors.yellow(line)}\n`);
  }
}
