// Commands: `lateenctl proxy-config log POD [--level LEVEL]`.

import { LOG_LEVELS } from '@lateen/telemetry';
import type { Command } from 'commander';
import { requireSupervisor, stateDirOf, type Target, targetOf } from '../commands/context.js';
import { type KnownPod, requirePod } from '../mesh/known-pods.js';
import { sidecarAdminPost } from '../mesh/sidecar-admin.js';
import { UsageError } from '../output/cli-error.js';
import { outputFormat, print, printJson, printYaml } from '../output/print.js';
import { stateLayout } from '../state/state-layout.js';

interface LogOptions {
  readonly namespace?: string;
  readonly level?: string;
  readonly output: string;
}

export function addLogCommand(proxyConfig: Command): void {
  proxyConfig
    .command('log')
    .summary("the sidecar's log level, and how to change it")
    .description(
      'Shows what a sidecar logs, or changes it until the sidecar starts again. A sidecar has one logger: levels for\n' +
        'parts of it (http:debug), as Envoy has them, are refused.',
    )
    .argument('<pod>', 'NAME, NAME.NAMESPACE or deployment/NAME')
    .option('-n, --namespace <name>', 'namespace of the pod; default: searched in all')
    .option('--level <level>', `sets it: ${LOG_LEVELS.join(', ')}`)
    .option('-o, --output <format>', 'short, json or yaml', 'short')
    .addHelpText(
      'after',
      `
In a cluster the proxy's own container makes the change, which takes the permission \`create\` of \`pods/exec\`.
Exit codes: 0 shown or changed, 1 no such pod, 2 no such level, 3 the mesh or the sidecar does not answer.

Examples:
  lateenctl proxy-config log productpage-v1
  lateenctl proxy-config log productpage-v1 --level debug`,
    )
    .action(async (podText: string, { namespace, level, output }: LogOptions, command: Command) => {
      const format = outputFormat(output, ['short', 'json', 'yaml']);
      if (level !== undefined) requireLevel(level);
      const target = await targetOf(command);
      if (target.cluster === undefined) requireSupervisor(target, "the sidecar's log level");
      const pod = requirePod(await target.pods(), podText, namespace);
      const path = level === undefined ? '/logging' : `/logging?level=${level}`;
      const loggers = readLoggers(await post(target, command, pod, path));
      if (format === 'json') return printJson({ loggers });
      if (format === 'yaml') return printYaml({ loggers });
      print(
        Object.entries(loggers)
          .map(([name, value]) => `${name}: ${value}`)
          .join('\n'),
      );
    });
}

async function post({ cluster }: Target, command: Command, pod: KnownPod, path: string): Promise<string> {
  if (cluster === undefined) return sidecarAdminPost(stateLayout(stateDirOf(command)), pod, path);
  const { loggingInCluster } = await import('../cluster/logging-in-cluster.js');
  return loggingInCluster(cluster.access.kubeConfig, pod, path);
}

function requireLevel(level: string): void {
  if ((LOG_LEVELS as readonly string[]).includes(level)) return;
  const why = level.includes(':') ? 'a sidecar has one logger, so a level stands alone; it is ' : '';
  throw new UsageError(`--level ${level}: ${why}one of ${LOG_LEVELS.join(', ')}`);
}

/** Envoy's answer: a heading, then `NAME: LEVEL` lines. */
function readLoggers(answer: string): Record<string, string> {
  const lines = [...answer.matchAll(/^ +([\w-]+): (\w+)$/gm)];
  return Object.fromEntries(lines.map(([, name, level]) => [name!, level!]));
}
