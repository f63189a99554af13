// lateenctl: parses the command line; see program.ts for the commands.

import { CommanderError } from 'commander';
import { CliError, EXIT } from './output/cli-error.js';
import { errorColors } from './output/print.js';
import { createProgram } from './program.js';

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  process.exitCode = report(error);
}

/** Prints a failure where that was not done yet, and says the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  if (error instanceof CliError) {
    if (error.message !== '') process.stderr.write(`${errorColors.red('error:')} ${error.message}\n`);
    return error.exitCode;
  }
  throw error;
}
