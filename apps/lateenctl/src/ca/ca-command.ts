// Commands: `lateenctl ca status` and `ca rotate-root`: how the certificate authority stands, and a new root for it.

import { setTimeout as sleep } from 'node:timers/promises';
import { parseDurationMs } from '@lateen/istio-config';
import type { AuthorityStatus } from '@lateen/telemetry';
import type { Command } from 'commander';
import { targetOf, timeoutMsOf } from '../commands/context.js';
import { authorityStatus, rotateRoot } from '../mesh/citadel-admin.js';
import type { ControlPlane } from '../mesh/control-plane.js';
import { CliError, UnreachableError, UsageError } from '../output/cli-error.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { statusText, stepText } from './ca-status-text.js';

const LOOK_MS = 500;

export function addCaCommand(program: Command): void {
  const ca = program
    .command('ca')
    .summary('the certificate authority of the mesh')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl ca status
  lateenctl ca rotate-root --grace 1h --wait`,
    );
  addStatus(ca);
  addRotateRoot(ca);
}

function addStatus(ca: Command): void {
  ca.command('status')
    .summary('what signs, which roots are trusted, and how far a rotation of the root is')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Examples:
  lateenctl ca status
  lateenctl ca status -o json`,
    )
    .action(async (options: { output: string }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const status = await authorityStatus((await targetOf(command)).controlPlane);
      if (format === 'json') return printJson(status);
      print(statusText(status, Date.now()));
    });
}

function addRotateRoot(ca: Command): void {
  ca.command('rotate-root')
    .summary('replace the root of the mesh, with both roots trusted in between')
    .description(
      'Citadel makes a new root, puts it into every bundle beside the old one, signs with it once everybody knows it, and\n' +
        'takes the old one away once nobody holds a certificate of it. No connection fails on the way. A rotation goes on by\n' +
        'itself, also after Citadel was restarted; `lateenctl ca status` shows how far it is.',
    )
    .option(
      '--grace <duration>',
      'how long each step waits at most for holders of certificates that have not followed',
      '1h',
    )
    .option('--wait', 'return when the rotation is over, and say each step', false)
    .option('--timeout <seconds>', 'with --wait: how long to wait', '86400')
    .addHelpText(
      'after',
      `
Exit codes: 0 begun (with --wait: completed), 1 refused, or not over in time.

Examples:
  lateenctl ca rotate-root
  lateenctl ca rotate-root --grace 10m --wait`,
    )
    .action(async (options: { grace: string; wait: boolean; timeout: string }, command: Command) => {
      const graceMs = parseDurationMs(options.grace);
      if (graceMs === undefined || graceMs < 0)
        throw new UsageError(`--grace ${options.grace}: not a duration; write for example 90s, 10m or 1h`);
      const timeoutMs = timeoutMsOf(options.timeout);
      const { controlPlane } = await targetOf(command);
      const status = await rotateRoot(controlPlane, Math.ceil(graceMs / 1000));
      const rotation = status.rotation ?? status.last;
      print(`rotation of the root begun: ${rotation?.from} -> ${rotation?.to}`);
      if (options.wait) await waitUntilOver(controlPlane, status, Date.now() + timeoutMs);
      else print('see how far it is with `lateenctl ca status`');
    });
}

async function waitUntilOver(controlPlane: ControlPlane, begun: AuthorityStatus, deadlineMs: number): Promise<void> {
  const to = begun.rotation?.to ?? begun.last?.to;
  let status = begun;
  let said = '';
  for (;;) {
    const text = stepText(status);
    if (text !== said) print(text);
    said = text;
    if (status.rotation === undefined) {
      if (status.last?.to === to && status.last?.outcome === 'completed') return;
      throw new CliError('the rotation was taken back; see the log of citadel');
    }
    if (Date.now() >= deadlineMs) throw new CliError('the rotation is not over yet; it goes on by itself');
    await sleep(LOOK_MS);
    // Citadel may be starting again, and goes on with the rotation then.
    status = await authorityStatus(controlPlane).catch((error) => {
      if (!(error instanceof UnreachableError) || Date.now() >= deadlineMs) throw error;
      return status;
    });
  }
}
