// Commands: `lateenctl proxy-status`: what Pilot sent to each proxy, and whether it was taken.

import type { Command } from 'commander';
import { isInNamespace, namedProxies } from '../control/proxy-name.js';
import { pilotDebug } from '../mesh/pilot-debug.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { formatTable } from '../output/table.js';
import { type Target, targetOf } from './context.js';

const TYPES = ['CDS', 'LDS', 'EDS', 'RDS'] as const;

/** A proxy as Pilot tells it at /debug/syncz. */
interface SyncedProxy {
  readonly proxyId: string;
  readonly protocol: string;
  readonly version: string;
  readonly types: readonly { readonly type: string; readonly status: string; readonly error?: string }[];
}

interface StatusOptions {
  readonly namespace?: string;
  readonly output: string;
}

export function addProxyStatusCommand(program: Command): void {
  program
    .command('proxy-status')
    .alias('ps')
    .summary('what Pilot sent to each proxy, and whether it was taken')
    .argument('[pod]', 'only this one: NAME, NAME.NAMESPACE or deployment/NAME')
    .option('-n, --namespace <name>', 'namespace of the pod; default: searched in all')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
A type is SYNCED (taken), STALE (sent, no answer yet), NACK (refused; the reason follows the table) or NOT SENT.

Examples:
  lateenctl proxy-status
  lateenctl proxy-status reviews-v1
  lateenctl ps -o json`,
    )
    .action(async (podText: string | undefined, options: StatusOptions, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const target = await targetOf(command);
      const all = await pilotDebug<readonly SyncedProxy[]>(target.controlPlane, '/debug/syncz');
      const shown = await chosen(all, podText, options.namespace, target);
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

/** The proxies that the user named. @throws CliError listing the pods where none is */
async function chosen(
  all: readonly SyncedProxy[],
  podText: string | undefined,
  namespace: string | undefined,
  target: Target,
): Promise<readonly SyncedProxy[]> {
  if (podText === undefined) return all.filter(({ proxyId }) => isInNamespace(proxyId, namespace));
  const pods = await target.pods();
  const ids = namedProxies(
    all.map(({ proxyId }) => proxyId),
    pods,
    podText,
    namespace,
  );
  return all.filter(({ proxyId }) => ids.has(proxyId));
}

function statusOf(proxy: SyncedProxy, type: string): string {
  const status = proxy.types.find((each) => each.type === type)?.status;
  return status ?? 'NOT SENT';
}
