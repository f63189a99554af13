// Commands: `lateenctl proxy-status`: what Pilot sent to each proxy, and whether it was taken.

import type { Command } from 'commander';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { meshOf } from './context.js';

const TYPES = ['CDS', 'LDS', 'EDS', 'RDS'] as const;

/** A proxy as Pilot tells it at /debug/syncz. */
interface SyncedProxy {
  readonly proxyId: string;
  readonly protocol: string;
  readonly version: string;
  readonly types: readonly { readonly type: string; readonly status: string; readonly error?: string }[];
}

export function addProxyStatusCommand(program: Command): void {
  program
    .command('proxy-status')
    .alias('ps')
    .summary('what Pilot sent to each proxy, and whether it was taken')
    .argument('[proxy]', 'only this one: POD or POD.NAMESPACE')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
A type is SYNCED (taken), STALE (sent, no answer yet), NACK (refused; the reason follows the table) or NOT SENT.

Examples:
  lateenctl proxy-status
  lateenctl ps -o json`,
    )
    .action(async (proxy: string | undefined, options: { output: string }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const all = await pilotDebug<readonly SyncedProxy[]>(meshOf(command).mesh, '/debug/syncz');
      const shown = all.filter(
        ({ proxyId }) => proxy === undefined || proxyId === proxy || proxyId.startsWith(`${proxy}.`),
      );
      if (format === 'json') return printJson(shown);
      const rows = shown.map((each) => [
        each.proxyId,
        ...TYPES.map((type) => statusOf(each, type)),
        each.protocol,
        each.version,
      ]);
      print(formatTable(['NAME', ...TYPES, 'PROTOCOL', 'VERSION'], rows));
      for (const each of shown) {
        for (const { type, error } of each.types) {
          if (error !== undefined) print(`\n${each.proxyId} refused ${type}: ${error}`);
        }
      }
    });
}

function statusOf(proxy: SyncedProxy, type: string): string {
  const status = proxy.types.find((each) => each.type === type)?.status;
  return status ?? 'NOT SENT';
}
