// Workloads: `lateenctl workload configure GROUP NAME`: writes what a process outside of the registry joins the mesh with.

import { resolve } from 'node:path';
import type { WorkloadGroupSpec } from '@lateen/istio-config';
import { type Command, Option } from 'commander';
import { DEFAULT_NAMESPACE, requireLocal, requireSupervisor, type Target, targetOf } from '../commands/context.js';
import type { JoinResponse } from '../control/control-api.js';
import { withGalley } from '../mesh/galley-client.js';
import { CliError, UsageError } from '../output/cli-error.js';
import { print } from '../output/print.js';

interface ConfigureOptions {
  readonly namespace: string;
  readonly directory?: string;
  readonly output: 'text' | 'json';
}

/** A name of Kubernetes, which also stands in the proxy's id. */
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export function addWorkloadCommand(program: Command): void {
  program
    .command('workload')
    .summary('let processes outside of the registry join the mesh')
    .command('configure')
    .summary('write what a workload of a WorkloadGroup starts its sidecar with')
    .argument('<group>', 'the WorkloadGroup')
    .argument('<name>', 'name of the workload, unique in its namespace')
    .option('-n, --namespace <name>', 'namespace of the group', DEFAULT_NAMESPACE)
    .option('-d, --directory <dir>', 'where the files go (default: the name of the workload)')
    .addOption(new Option('-o, --output <format>', 'how it is told').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
The directory gets a bootstrap file with the group's probe, a token and the trust roots; the
last two are kept fresh while the mesh runs. Nothing is started: run the command that is
printed, beside an application that listens at 127.0.0.1. After the group's probe has
changed, or the mesh was started again, configure again.

Examples:
  lateenctl workload configure machines machine-1
  lateenctl workload configure machines machine-1 -n shop -d /srv/machine-1 -o json`,
    )
    .action(async (group: string, name: string, options: ConfigureOptions, command: Command) => {
      requireLocal(command);
      if (!NAME.test(name)) {
        throw new UsageError(`\`${name}\` is no name of a workload; write lower-case letters, digits and \`-\``);
      }
      const target = await targetOf(command);
      const { template, probe } = await groupOf(target, options.namespace, group);
      const directory = resolve(options.directory ?? name);
      const joined = await requireSupervisor(target, 'configuring a workload').join({
        namespace: options.namespace,
        group,
        name,
        serviceAccount: template?.serviceAccount || 'default',
        labels: {},
        readinessProbe: probe,
        directory,
      });
      print(
        options.output === 'json' ? JSON.stringify({ directory, ...joined }, undefined, 2) : textOf(directory, joined),
      );
    });
}

async function groupOf(target: Target, namespace: string, name: string): Promise<WorkloadGroupSpec> {
  const wanted = { kind: 'WorkloadGroup', namespace, name };
  const { resources } = await withGalley(target.controlPlane, (client) => client.list(wanted));
  const [group] = resources;
  if (group === undefined)
    throw new CliError(`there is no WorkloadGroup ${name} in namespace ${namespace}; apply it first`);
  // Galley keeps only what it has validated.
  return JSON.parse(group.specJson) as WorkloadGroupSpec;
}

/** As a shell takes it. */
function quoted(word: string): string {
  return /^[\w./:@=+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function textOf(directory: string, { address, command, environment }: JoinResponse): string {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${quoted(value)}`);
  return [
    `The workload has the address ${address}; its files are in ${directory}.`,
    'Start its sidecar with:',
    `  ${[...variables, ...command.map(quoted)].join(' ')}`,
  ].join('\n');
}
