// Commands: `lateenctl proxy-config routes|clusters|listeners|endpoints|secret POD`.

import type { Command } from 'commander';
import { requirePod, sidecarAdminJson } from '../mesh/sidecar-admin.js';
import { outputFormat, print, printJson } from '../output/print.js';
import { clusterTable } from '../proxy-config/cluster-table.js';
import { type ConfigDump, readConfigDump } from '../proxy-config/config-dump.js';
import { endpointTable } from '../proxy-config/endpoint-table.js';
import { listenerTable } from '../proxy-config/listener-table.js';
import { routeTable } from '../proxy-config/route-table.js';
import { secretRows, secretTable } from '../proxy-config/secret-table.js';
import { meshOf } from './context.js';

const CONFIG_DUMP = '/config_dump?include_eds';
const POD_ARGUMENT = 'NAME, NAME.NAMESPACE or deployment/NAME';

/** One part of a sidecar's configuration: where it comes from and how it is shown. */
interface Part {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly path: string;
  readonly json: (answer: unknown) => unknown;
  readonly table: (answer: unknown) => string;
}

function fromDump(
  name: string,
  aliases: readonly string[],
  summary: string,
  select: (dump: ConfigDump) => ConfigDump[keyof ConfigDump],
  table: (resources: ConfigDump[keyof ConfigDump]) => string,
): Part {
  const read = (answer: unknown) => select(readConfigDump(answer));
  return { name, aliases, summary, path: CONFIG_DUMP, json: read, table: (answer) => table(read(answer)) };
}

const PARTS: readonly Part[] = [
  fromDump('routes', ['route', 'r'], 'routes: which request goes where', (dump) => dump.routes, routeTable),
  fromDump('clusters', ['cluster', 'c'], 'clusters: what can be called', (dump) => dump.clusters, clusterTable),
  fromDump('listeners', ['listener', 'l'], 'listeners: where it listens', (dump) => dump.listeners, listenerTable),
  {
    name: 'endpoints',
    aliases: ['endpoint', 'ep'],
    summary: 'endpoints of each cluster, and their health',
    path: '/clusters?format=json',
    json: (answer) => answer,
    table: endpointTable,
  },
  {
    name: 'secret',
    aliases: ['secrets', 's'],
    summary: 'certificates in use, and until when',
    path: '/certs',
    json: (answer) => answer,
    table: (answer) => secretTable(secretRows(answer, Date.now())),
  },
];

export function addProxyConfigCommand(program: Command): void {
  const proxyConfig = program
    .command('proxy-config')
    .alias('pc')
    .summary("what a pod's sidecar works with")
    .addHelpText(
      'after',
      `
Examples:
  lateenctl proxy-config routes productpage-v1 -n default
  lateenctl proxy-config clusters deployment/reviews-v1 -o json
  lateenctl pc secret ratings-v1`,
    );
  for (const part of PARTS) addPart(proxyConfig, part);
}

function addPart(proxyConfig: Command, part: Part): void {
  proxyConfig
    .command(part.name)
    .aliases(part.aliases)
    .summary(part.summary)
    .argument('<pod>', POD_ARGUMENT)
    .option('-n, --namespace <name>', 'namespace of the pod; default: searched in all')
    .option('-o, --output <format>', 'table or json', 'table')
    .addHelpText(
      'after',
      `
Exit codes: 0 shown, 1 no such pod, 3 the mesh or the sidecar does not answer.

Examples:
  lateenctl proxy-config ${part.name} productpage-v1
  lateenctl proxy-config ${part.name} deployment/reviews-v1 -n default -o json`,
    )
    .action(async (podText: string, options: { namespace?: string; output: string }, command: Command) => {
      const format = outputFormat(options.output, ['table', 'json']);
      const { pods } = await meshOf(command).control.status();
      const pod = requirePod(pods, podText, options.namespace);
      const answer = await sidecarAdminJson<unknown>(pod, part.path);
      if (format === 'json') printJson(part.json(answer));
      else print(part.table(answer));
    });
}
