// Commands: `lateenctl version`: this program's version, and those of the control plane that runs.

import { get } from 'node:http';
import type { Command } from 'commander';
import { openMesh } from '../mesh/open-mesh.js';
import { UnreachableError } from '../output/cli-error.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { COMPONENT_NAMES } from '../state/state-layout.js';
import { VERSION } from '../version.js';
import { remoteEndpoints, stateDirOf } from './context.js';

const TIMEOUT_MS = 2000;
/** The well-known one: a control plane by address is named by its admin port only. */
const MONITORING_PORT = 15014;

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
      const components = await componentVersions(placesOf(command));
      if (format === 'json') return printJson({ client: VERSION, components });
      print(`client version: ${VERSION}`);
      for (const [name, version] of Object.entries(components))
        print(`${name} version: ${version ?? 'does not answer'}`);
      if (Object.keys(components).length === 0) print('no mesh runs here');
    });
}

interface Place {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** The monitoring ports of the control plane; none where no mesh runs. */
function placesOf(command: Command): readonly Place[] {
  const remote = remoteEndpoints(command);
  if (remote !== undefined)
    return remote.map(({ service, address }) => ({ name: service, address, port: MONITORING_PORT }));
  try {
    const mesh = openMesh(stateDirOf(command));
    return COMPONENT_NAMES.map((name) => ({ name, address: mesh[name].address, port: mesh[name].monitoringPort }));
  } catch (error) {
    if (error instanceof UnreachableError) return [];
    throw error;
  }
}

async function componentVersions(places: readonly Place[]): Promise<Record<string, string | null>> {
  const versions = await Promise.all(
    places.map(async ({ name, address, port }) => [name, await versionAt(address, port)] as const),
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
