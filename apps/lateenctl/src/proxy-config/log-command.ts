// Commands: `lateenctl proxy-config log POD [--level LEVEL]`.

import { LOG_LEVELS } from '@lateen/telemetry';
import type { Command } from 'commander';
import { requireSupervisor, stateDirOf, targetOf } from '../commands/context.js';
import { requirePod } from '../mesh/known-pods.js';
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
Exit codes: 0 shown or changed, 1 no such pod, 2 no such level, 3 the mesh or the sidecar does not answer.

Examples:
  lateenctl proxy-config log productpage-v1
  lateenctl proxy-config log productpage-v1 --level debug`,
    )
    .action(async (podText: string, { namespace, level, output }: LogOptions, command: Command) => {
      const format = outputFormat(output, ['short', 'json', 'yaml']);
      if (level !== undefined) requireLevel(level);
      const target = await targetOf(command);
      requireSupervisor(target, "the sidecar's log level");
      const pod = requirePod(await target.pods(), podText, namespace);
      const path = level === undefined ? '/logging' : `/logging?level=${level}`;
      const answer = await sidecarAdminPost(stateLayout(stateDirOf(command)), pod, path);
      const loggers = readLoggers(answer);
      if (format === 'json') return printJson({ loggers });
      if (format === 'yaml') return printYaml({ loggers });
      print(
        Object.entries(loggers)
          .map(([name, value]) => `${name}: ${value}`)
          .join('\n'),
      );
    });
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
