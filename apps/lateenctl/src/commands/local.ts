// Commands: `lateenctl local down|status|stop|start`.

import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ProcessStatus } from '../control/control-api.js';
import { ControlClient } from '../mesh/control-client.js';
import type { ControlPlane } from '../mesh/control-plane.js';
import { openMesh } from '../mesh/open-mesh.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { waitUntilConnected, waitUntilStarted } from '../mesh/wait-until-ready.js';
import { CliError, UnreachableError } from '../output/cli-error.js';
import { outColors, outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { processExists } from '../supervisor/processes/process-identity.js';
import { requireLocal, stateDirOf, supervisorOf, targetOf, timeoutMsOf } from './context.js';
import { addLocalExec } from './local-exec.js';
import { addLocalLogs } from './local-logs.js';
import { addLocalUp } from './local-up.js';

const POLL_MS = 50;
const DOWN_LIMIT_MS = 30_000;

export function addLocalCommands(program: Command): void {
  const local = program
    .command('local')
    .hook('preAction', (_local, command) => requireLocal(command))
    .summary('a mesh on this machine, without a cluster')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl local up -f examples/bookinfo/bookinfo.yaml
  lateenctl local status
  lateenctl local logs productpage-v1/sidecar --tail 20
  lateenctl local exec productpage-v1 -- curl -s http://reviews:9080/reviews/0
  lateenctl local stop pilot --signal KILL
  lateenctl local start pilot
  lateenctl local down`,
    );
  addLocalUp(local);
  addDown(local);
  addStatus(local);
  addLocalLogs(local);
  addLocalExec(local);
  addStop(local);
  addStart(local);
}

function addDown(local: Command): void {
  local
    .command('down')
    .summary('end the mesh and every process of it')
    .description(
      'Ends the mesh and every process of it. What was applied stays in the state directory for the next `up`.',
    )
    .addHelpText(
      'after',
      `
Exit codes: 0 ended, 1 not ended in time, 3 no mesh runs here.

Examples:
  lateenctl local down
  lateenctl local down --state-dir /tmp/mesh-2`,
    )
    .action(async (_options: object, command: Command) => {
      const mesh = openMesh(stateDirOf(command));
      const control = new ControlClient(mesh.controlSocket);
      try {
        await control.shutdown();
      } catch (error) {
        if (!(error instanceof UnreachableError) || processExists(mesh.pid)) throw error;
        rmSync(mesh.layout.meshFile, { force: true });
        return print('the mesh had ended already');
      }
      const deadline = Date.now() + DOWN_LIMIT_MS;
      while (processExists(mesh.pid) && Date.now() < deadline) await sleep(POLL_MS);
      if (processExists(mesh.pid))
        throw new CliError(`the supervisor (pid ${mesh.pid}) has not ended within ${DOWN_LIMIT_MS / 1000} s`);
      print('the mesh has ended');
    });
}

function addStatus(local: Command): void {
  local
    .command('status')
    .summary('every process with its address, ports and state')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Exit codes: 0 shown, whether or not everything is ready; 3 no mesh runs here.

Examples:
  lateenctl local status
  lateenctl local status -o json`,
    )
    .action(async (options: { output: string }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const status = await supervisorOf(command).status();
      if (format === 'json') return printJson(status);
      print(
        formatTable(
          ['NAME', 'PID', 'STATE', 'READY', 'RESTARTS', 'ADDRESS', 'PORTS'],
          status.processes.map(processRow),
        ),
      );
      const { address, port, httpsPort } = status.ingress;
      const https = httpsPort === undefined ? '' : `, https://${address}:${httpsPort}`;
      print(`\ningress http://${address}:${port}${https}, addresses ${status.block}, state in ${status.stateDir}`);
      if (status.ready) print(outColors.green('everything is ready'));
      else print(`${outColors.yellow('waiting for')} ${status.waitingFor.join('; ')}`);
    });
}

function processRow(process: ProcessStatus): string[] {
  return [
    process.name,
    process.pid === null ? '-' : String(process.pid),
    process.state,
    process.ready ? 'yes' : 'no',
    String(process.restarts),
    process.address === '' ? '-' : process.address,
    Object.values(process.ports).join(',') || '-',
  ];
}

const TARGETS = `
A target is pilot, galley, citadel; a pod (NAME, NAME.NAMESPACE) or deployment/NAME: its application and its sidecar;
or one of them: POD/app, POD/sidecar. \`lateenctl local status\` lists the names.`;

function addStop(local: Command): void {
  local
    .command('stop')
    .summary('end one process and keep it down, for experiments')
    .argument('<target>', 'see below')
    .option('--signal <name>', 'signal to send', 'TERM')
    .addHelpText(
      'after',
      `${TARGETS}

Examples:
  lateenctl local stop pilot --signal KILL
  lateenctl local stop deployment/reviews-v1
  lateenctl local stop reviews-v1/sidecar`,
    )
    .action(async (target: string, options: { signal: string }, command: Command) => {
      const { stopped } = await supervisorOf(command).stop({ target, signal: options.signal });
      for (const name of stopped) print(`${name} stopped`);
    });
}

interface StartOptions {
  readonly wait: boolean;
  readonly timeout: string;
}

function addStart(local: Command): void {
  local
    .command('start')
    .summary('start what `local stop` ended, and wait until it is ready')
    .argument('<target>', 'see below')
    .option('--no-wait', 'return at once')
    .option('--timeout <seconds>', 'how long to wait until it is ready', '30')
    .addHelpText(
      'after',
      `${TARGETS}

Exit codes: 0 ready (or waiting for a part of the control plane that is stopped), 1 not ready in time or no such target.

Examples:
  lateenctl local start pilot
  lateenctl local start deployment/reviews-v1 --timeout 60
  lateenctl local start reviews-v1/sidecar --no-wait`,
    )
    .action(async (target: string, options: StartOptions, command: Command) => {
      const timeoutMs = timeoutMsOf(options.timeout);
      const control = supervisorOf(command);
      const { started } = await control.start(target);
      for (const name of started) print(`${name} started`);
      if (!options.wait) return;
      const { waiting, stoppedComponents } = await waitUntilStarted(() => control.status(), started, timeoutMs);
      if (waiting.length > 0) {
        const stopped = stoppedComponents.join(', ');
        return print(`${outColors.yellow('waiting for')} ${waiting.join('; ')}; stopped: ${stopped}`);
      }
      print(`${outColors.green('ready')}: ${started.join(', ')}`);
      if (started.includes('pilot'))
        await reportConnections(control, (await targetOf(command)).controlPlane, timeoutMs);
    });
}

/** Pilot is ready before the sidecars have found out: they try again one by one. */
async function reportConnections(control: ControlClient, plane: ControlPlane, timeoutMs: number): Promise<void> {
  print('waiting for the sidecars to connect to pilot');
  const connected = async () =>
    (await pilotDebug<readonly { readonly proxyId: string }[]>(plane, '/debug/syncz')).map(({ proxyId }) => proxyId);
  const missing = await waitUntilConnected(() => control.status(), connected, timeoutMs);
  if (missing.length > 0) throw new CliError(`not connected to pilot in time: ${missing.join(', ')}; they try again`);
  print('every sidecar is connected');
}
