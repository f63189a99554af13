// Proxy configuration: its parts: where each comes from and how it is shown.

import { bootstrapSummary } from './bootstrap-summary.js';
import { clusterTable } from './cluster-table.js';
import { type ConfigDump, readBootstrap, readConfigDump } from './config-dump.js';
import { endpointTable } from './endpoint-table.js';
import { listenerTable } from './listener-table.js';
import { NotInDumpError, type ProxySource } from './proxy-source.js';
import { routeTable } from './route-table.js';
import { secretRows, secretTable } from './secret-table.js';

export interface Part {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  /** What `-o json` and `-o yaml` print. */
  read(source: ProxySource): Promise<unknown>;
  /** What is read, as a table. */
  short(value: unknown): string;
}

type Resources = ConfigDump[keyof ConfigDump];

function fromDump(
  name: string,
  aliases: readonly string[],
  summary: string,
  select: (dump: ConfigDump) => Resources,
  short: (resources: Resources) => string,
): Part {
  return {
    name,
    aliases,
    summary,
    read: async (source) => select(readConfigDump(await source.dump())),
    short: (value) => short(value as Resources),
  };
}

export const PARTS: readonly Part[] = [
  {
    name: 'bootstrap',
    aliases: ['b'],
    summary: 'what the sidecar was started with',
    read: async (source) => {
      const bootstrap = readBootstrap(await source.dump());
      if (bootstrap !== undefined) return bootstrap;
      throw new NotInDumpError(source.place ?? 'what the sidecar says', 'bootstrap');
    },
    short: bootstrapSummary,
  },
  fromDump('clusters', ['cluster', 'c'], 'clusters: what can be called', (dump) => dump.clusters, clusterTable),
  fromDump('listeners', ['listener', 'l'], 'listeners: where it listens', (dump) => dump.listeners, listenerTable),
  fromDump('routes', ['route', 'r'], 'routes: which request goes where', (dump) => dump.routes, routeTable),
  {
    name: 'endpoints',
    aliases: ['endpoint', 'ep'],
    summary: 'endpoints of each cluster, and their health',
    read: (source) => source.clusters(),
    short: endpointTable,
  },
  {
    name: 'secret',
    aliases: ['secrets', 's'],
    summary: 'certificates in use, and until when',
    read: (source) => source.certs(),
    short: (value) => secretTable(secretRows(value, Date.now())),
  },
];

/** Everything: the dump itself, which `--file` reads back; short, one table after another. */
export const ALL: Part = {
  name: 'all',
  aliases: ['a'],
  summary: 'all of it; with -o json a dump that --file reads back',
  read: (source) => source.dump(),
  short: () => '',
};

/** The tables of everything that a source knows, and in words what it does not know. */
export async function shortOfAll(source: ProxySource): Promise<string> {
  const sections = await Promise.all(
    PARTS.map(async (part) => {
      const table = await part.read(source).then(part.short, (error: unknown) => {
        if (error instanceof NotInDumpError) return `- (${error.message})`;
        throw error;
      });
      return `${part.name.toUpperCase()}\n${table}`;
    }),
  );
  return sections.join('\n\n');
}
