// lateenctl: parses the command line; see program.ts for the commands.

import '@lateen/telemetry/held-optimizer.js';
import { CommanderError } from 'commander';
import { closeTargets } from './commands/context.js';
import { isCompletionRequest, prepareCompletion } from './completion/completion.js';
import { runningNames } from './completion/running-names.js';
import { withWaitValue } from './distribution/wait-choice.js';
import { CliError, EXIT } from './output/cli-error.js';
import { endWithReader } from './output/closed-output.js';
import { errorColors } from './output/print.js';
import { createProgram, placeOf } from './program.js';

for (const output of [process.stdout, process.stderr]) endWithReader(output, (code) => process.exit(code));

async function main(): Promise<void> {
  const program = createProgram();
  let args = process.argv.slice(2);
  if (isCompletionRequest(args)) {
    args = await prepareCompletion(program, args, (words) => runningNames(() => placeOf(words)));
  }
  await program.parseAsync(withWaitValue(args), { from: 'user' }).finally(closeTargets);
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

// The bundle is CommonJS, which cannot wait here; what report() throws ends the process all the same.
main().catch((error) => {
  process.exitCode = report(error);
});
