// Version: `lateenctl version`: of this program, of the control plane that runs, and of the proxies.

import type { Command } from 'commander';
import { meansCluster } from '../commands/context.js';
import { UnreachableError } from '../output/cli-error.js';
import { errorColors, outputFormat, print, printJson } from '../output/print.js';
import { VERSION } from '../version.js';
import { localVersions, type MeshVersions } from './mesh-versions.js';

export function addVersionCommand(program: Command): void {
  program
    .command('version')
    .summary('versions of this program, of the control plane and of the proxies')
    .option('-o, --output <format>', 'table or json', 'table')
    .option('--no-remote', 'only of this program')
    .addHelpText(
      'after',
      `
In a cluster every Galley, Pilot and Citadel of every revision is asked; of one that does not answer its image's tag is told.
Exit codes: 0 shown, whether or not a mesh runs, 3 the API server does not answer.

Examples:
  lateenctl version
  lateenctl version -o json
  lateenctl version --no-remote`,
    )
    .action(async (options: { output: string; remote: boolean }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const versions = options.remote ? await versionsOf(command) : undefined;
      if (format === 'json') return printJson({ client: VERSION, ...versions });
      print(versionsText(versions));
    });
}

/** Undefined where no mesh runs. */
async function versionsOf(command: Command): Promise<MeshVersions | undefined> {
  const warn = (text: string) => process.stderr.write(`${errorColors.yellow('not known:')} ${text}\n`);
  if (!meansCluster(command)) return localVersions(command, warn);
  const [{ withCluster }, { clusterVersions }] = await Promise.all([
    import('../cluster/cluster.js'),
    import('./cluster-versions.js'),
  ]);
  try {
    return await withCluster(command, (cluster) => clusterVersions(cluster, warn));
  } catch (error) {
    // What is known without anybody's answer is not kept back.
    if (error instanceof UnreachableError) print(`client version: ${VERSION}`);
    throw error;
  }
}

export function versionsText(versions: MeshVersions | undefined): string {
  const lines = [`client version: ${VERSION}`];
  if (versions === undefined || versions.controlPlane.length === 0) return [...lines, 'no mesh runs here'].join('\n');
  const groups = new Map<string, string[]>();
  for (const { component, version, pod, told } of versions.controlPlane) {
    const line = `${component} version: ${version ?? 'does not answer'}`;
    groups.set(line, [
      ...(groups.get(line) ?? []),
      ...(pod === undefined ? [] : [told ? pod : `${pod}, by its image`]),
    ]);
  }
  for (const [line, pods] of groups) lines.push(pods.length === 0 ? line : `${line} (${pods.join('; ')})`);
  for (const { version, proxies } of versions.dataPlane ?? []) {
    lines.push(`data plane version: ${version} (${proxies} ${proxies === 1 ? 'proxy' : 'proxies'})`);
  }
  if (versions.dataPlane?.length === 0) lines.push('data plane version: none (no proxies)');
  return lines.join('\n');
}
