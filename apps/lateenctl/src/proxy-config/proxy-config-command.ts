// Commands: `lateenctl proxy-config all|bootstrap|clusters|listeners|routes|endpoints|secret|log POD`.

import type { Command } from 'commander';
import { sidecarInCluster } from '../cluster/sidecar-in-cluster.js';
import { targetOf } from '../commands/context.js';
import { requirePod } from '../mesh/known-pods.js';
import { UsageError } from '../output/cli-error.js';
import { outputFormat, print, printJson, printYaml } from '../output/print.js';
import { addLogCommand } from './log-command.js';
import { ALL, PARTS, type Part, shortOfAll } from './parts.js';
import { fileSource, type ProxySource, pilotSource, sidecarSource } from './proxy-source.js';

export const POD_ARGUMENT = 'NAME, NAME.NAMESPACE or deployment/NAME';

interface PartOptions {
  readonly namespace?: string;
  readonly file?: string;
  readonly output: string;
}

export function addProxyConfigCommand(program: Command): void {
  const proxyConfig = program
    .command('proxy-config')
    .alias('pc')
    .summary("what a pod's sidecar works with")
    .addHelpText(
      'after',
      `
A control plane by address (--pilot) tells what it sent to the sidecar; on its own machine the sidecar itself is asked.

Examples:
  lateenctl proxy-config routes productpage-v1 -n default
  lateenctl proxy-config clusters deployment/reviews-v1 -o json
  lateenctl proxy-config log ratings-v1 --level debug
  lateenctl pc secret ratings-v1`,
    );
  for (const part of [ALL, ...PARTS]) addPart(proxyConfig, part);
  addLogCommand(proxyConfig);
}

function addPart(proxyConfig: Command, part: Part): void {
  proxyConfig
    .command(part.name)
    .aliases(part.aliases)
    .summary(part.summary)
    .argument('[pod]', POD_ARGUMENT)
    .option('-n, --namespace <name>', 'namespace of the pod; default: searched in all')
    .option('--file <file>', 'read a config dump in place of a pod; - for standard input')
    .option('-o, --output <format>', 'short, json or yaml (table is short)', 'short')
    .addHelpText(
      'after',
      `
Exit codes: 0 shown, 1 no such pod or file, 3 the mesh or the sidecar does not answer.

Examples:
  lateenctl proxy-config ${part.name} productpage-v1
  lateenctl proxy-config ${part.name} deployment/reviews-v1 -n default -o json
  lateenctl proxy-config ${part.name} --file dump.json`,
    )
    .action(async (podText: string | undefined, options: PartOptions, command: Command) => {
      const format = outputFormat(options.output, ['short', 'table', 'json', 'yaml']);
      const source = await sourceOf(podText, options, command);
      if (format === 'json') return printJson(await part.read(source));
      if (format === 'yaml') return printYaml(await part.read(source));
      print(part === ALL ? await shortOfAll(source) : part.short(await part.read(source)));
    });
}

async function sourceOf(podText: string | undefined, options: PartOptions, command: Command): Promise<ProxySource> {
  if (options.file !== undefined) {
    if (podText !== undefined) throw new UsageError('give either POD or --file, not both');
    return fileSource(options.file);
  }
  if (podText === undefined) throw new UsageError('say whose: POD, or --file FILE');
  const target = await targetOf(command);
  const pod = requirePod(await target.pods(), podText, options.namespace);
  if (target.cluster !== undefined) return sidecarSource(await sidecarInCluster(target.cluster, pod));
  return target.supervisor === undefined ? pilotSource(target.controlPlane, pod) : sidecarSource(pod);
}
