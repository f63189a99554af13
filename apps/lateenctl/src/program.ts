// lateenctl: all commands in one place.

import { Command } from 'commander';
import { addApplyCommand, addValidateCommand } from './commands/apply.js';
import { addAuthnCommand } from './commands/authn.js';
import { addDeleteCommand } from './commands/delete.js';
import { addGetCommand } from './commands/get.js';
import { addLocalCommands } from './commands/local.js';
import { addProxyConfigCommand } from './commands/proxy-config.js';
import { addProxyStatusCommand } from './commands/proxy-status.js';
import { addVersionCommand } from './commands/version.js';
import { VERSION } from './version.js';

/** The command line; errors are thrown, not answered by ending the process. */
export function createProgram(): Command {
  const program = new Command('lateenctl')
    .description('Runs and looks into a Lateen service mesh.')
    .version(VERSION, '-V, --version', 'print the version of this program')
    .option('--state-dir <dir>', 'state directory of the mesh (default: LATEEN_STATE_DIR, else .lateen)')
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText(
      'after',
      `
Exit codes:
  0  done
  1  refused: invalid documents, a name that does not exist, not ready in time
  2  the command line is wrong
  3  no mesh runs here, or a part of it does not answer

Examples:
  lateenctl local up -f examples/bookinfo/bookinfo.yaml
  lateenctl apply -f examples/handbook/virtual-service-reviews.yaml
  lateenctl get virtualservice
  lateenctl proxy-config routes productpage-v1
  lateenctl local down`,
    )
    .exitOverride();
  addLocalCommands(program);
  addApplyCommand(program);
  addDeleteCommand(program);
  addGetCommand(program);
  addValidateCommand(program);
  addProxyStatusCommand(program);
  addProxyConfigCommand(program);
  addAuthnCommand(program);
  addVersionCommand(program);
  for (const command of everyCommand(program)) command.exitOverride();
  return program;
}

function everyCommand(command: Command): Command[] {
  return command.commands.flatMap((each) => [each, ...everyCommand(each)]);
}
