// Commands: `lateenctl version`: this program's version, and those of the control plane that runs.

import { get } from 'node:http';
import type { Command } from 'commander';
import { type Mesh, openMesh } from '../mesh/open-mesh.js';
import { UnreachableError } from '../output/cli-error.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { COMPONENT_NAMES } from '../state/state-layout.js';
import { VERSION } from '../version.js';
import { stateDirOf } from './context.js';

const TIMEOUT_MS = 2000;

export function addVersionCommand(program: Command): void {
  program
    .command('version')
    .summary('versions of this program and of the control plane')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Exit codes: 0 shown, whether or not a mesh runs here.

Examples:
  lateenctl version
  lateenctl version -o json`,
    )
    .action(async (options: { output: string }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const components = await componentVersions(runningMesh(stateDirOf(command)));
      if (format === 'json') return printJson({ client: VERSION, components });
      print(`client version: ${VERSION}`);
      for (const [name, version] of Object.entries(components))
        print(`${name} version: ${version ?? 'does not answer'}`);
      if (Object.keys(components).length === 0) print('no mesh runs here');
    });
}

function runningMesh(stateDir: string): Mesh | undefined {
  try {
    return openMesh(stateDir);
  } catch (error) {
    if (error instanceof UnreachableError) return undefined;
    throw error;
  }
}

async function componentVersions(mesh: Mesh | undefined): Promise<Record<string, string | null>> {
  if (mesh === undefined) return {};
  const versions = await Promise.all(
    COMPONENT_NAMES.map(
      async (name) => [name, await versionAt(mesh[name].address, mesh[name].monitoringPort)] as const,
    ),
  );
  return Object.fromEntries(versions);
}

/** The version that a component tells at its monitoring port, or null where it does not answer. */
function versionAt(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const call = get({ host, port, path: '/version', agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        const { version } = JSON.parse(text) as { version?: string };
        resolve(version ?? null);
      });
    });
    call.setTimeout(TIMEOUT_MS, () => call.destroy());
    call.on('error', () => resolve(null));
  });
}
