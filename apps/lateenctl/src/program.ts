// lateenctl: all commands in one place.

import { ADMIN_ROLES } from '@lateen/identity/plain';
import { Command, Option } from 'commander';
import { addAnalyzeCommand } from './analyze/analyze-command.js';
import { addAuditCommand } from './audit/audit-command.js';
import { addBugReportCommand } from './bug-report/bug-report-command.js';
import { addCaCommand } from './ca/ca-command.js';
import { addClusterOptions } from './cluster/cluster.js';
import { addApplyCommand, addValidateCommand } from './commands/apply.js';
import { addAuthnCommand } from './commands/authn.js';
import { addDeleteCommand } from './commands/delete.js';
import { addGetCommand } from './commands/get.js';
import { addLocalCommands } from './commands/local.js';
import { addProxyStatusCommand } from './commands/proxy-status.js';
import { addCompletion } from './completion/completion.js';
import { addDescribeCommand } from './describe/describe-command.js';
import { addWaitCommand } from './distribution/wait-command.js';
import { addDoctorCommand } from './doctor/doctor-command.js';
import { addExplainCommand } from './explain/explain-command.js';
import { addCheckInjectCommand } from './injection/check-inject-command.js';
import { addKubeInjectCommand } from './injection/kube-inject-command.js';
import { addCheckCommands } from './install/check/check-command.js';
import { addInstallCommands } from './install/install-command.js';
import { addManifestCommand } from './install/manifest-command.js';
import { addTagCommand } from './install/tag-command.js';
import { addUninstallCommand } from './install/uninstall-command.js';
import { addProxyConfigCommand } from './proxy-config/proxy-config-command.js';
import { addSchemaCommand } from './schemas/schema-command.js';
import { addVersionCommand } from './version/version-command.js';
import { VERSION } from './version.js';
import { addWorkloadCommand } from './workload/workload-command.js';

/** Where the mesh is: options that every command takes. */
function addPlaceOptions(command: Command): Command {
  return addClusterOptions(command)
    .option('--state-dir <dir>', 'state directory of the mesh (default: LATEEN_STATE_DIR, else .lateen)')
    .addOption(
      new Option('--galley <host[:port]>', 'Galley elsewhere, by the address of its admin API').env('LATEEN_GALLEY'),
    )
    .addOption(
      new Option('--pilot <host[:port]>', 'Pilot elsewhere, by the address of its admin API').env('LATEEN_PILOT'),
    )
    .addOption(
      new Option('--citadel <host[:port]>', 'Citadel elsewhere, by the address of its admin API').env('LATEEN_CITADEL'),
    )
    .addOption(
      new Option('--as <role>', 'in a mesh of this machine: the role to act in (default: admin)')
        .choices(ADMIN_ROLES)
        .env('LATEEN_AS'),
    )
    .addOption(new Option('--ca <file>', 'with these: PEM of the trust roots of that mesh').env('LATEEN_CA'))
    .addOption(new Option('--cert <file>', 'with these: PEM of your client certificate').env('LATEEN_CERT'))
    .addOption(new Option('--key <file>', 'with these: PEM of its key').env('LATEEN_KEY'));
}

/** Finds the mesh that a half-written command line means. */
export function placeOf(words: readonly string[]): Command {
  const command = addPlaceOptions(new Command()).allowUnknownOption().allowExcessArguments().exitOverride();
  return command
    .configureOutput({ writeErr: () => undefined })
    .helpOption(false)
    .parse([...words], { from: 'user' });
}

/** The command line; errors are thrown, not answered by ending the process. */
export function createProgram(): Command {
  const program = addPlaceOptions(new Command('lateenctl'))
    .description('Runs and looks into a Lateen service mesh.')
    .version(VERSION, '-V, --version', 'print the version of this program')
    .option('--no-color', 'no colours, as NO_COLOR=1 says')
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText(
      'after',
      `
Exit codes:
  0  done
  1  refused: invalid documents, a name that does not exist, not ready in time
  2  the command line is wrong
  3  no mesh runs here, a part of it does not answer, or is not who it should be
Results go to standard output; errors, warnings and progress to standard error.

Examples:
  lateenctl local up -f examples/bookinfo/bookinfo.yaml
  lateenctl apply -f examples/handbook/virtual-service-reviews.yaml
  lateenctl get virtualservice
  lateenctl describe pod productpage-v1
  lateenctl proxy-config routes productpage-v1
  lateenctl --pilot pilot.example.com --ca ca.pem --cert me.pem --key me-key.pem proxy-status
  lateenctl local down`,
    )
    .exitOverride();
  addLocalCommands(program);
  addApplyCommand(program);
  addDeleteCommand(program);
  addGetCommand(program);
  addWaitCommand(program);
  addValidateCommand(program);
  addAnalyzeCommand(program);
  addDescribeCommand(program);
  addDoctorCommand(program);
  addExplainCommand(program);
  addProxyStatusCommand(program);
  addProxyConfigCommand(program);
  addKubeInjectCommand(program);
  addCheckInjectCommand(program);
  addAuthnCommand(program);
  addCaCommand(program);
  addAuditCommand(program);
  addSchemaCommand(program);
  addWorkloadCommand(program);
  addInstallCommands(program);
  addUninstallCommand(program);
  addManifestCommand(program);
  addCheckCommands(program);
  addTagCommand(program);
  addBugReportCommand(program);
  addVersionCommand(program);
  addCompletion(program);
  for (const command of everyCommand(program)) command.exitOverride();
  return program;
}

function everyCommand(command: Command): Command[] {
  return command.commands.flatMap((each) => [each, ...everyCommand(each)]);
}
