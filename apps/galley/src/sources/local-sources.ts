// Sources of local mode: the watched directory and the file of MeshConfig, beside what is applied.
import { dirname } from 'node:path';
import type { Logger } from '@lateen/telemetry';
import type { ConfigRules } from '../rules.js';
import type { ConfigStore } from '../store/config-store.js';
import type { Origin } from '../store/stored-resource.js';
import { ConfigDirectory, type FileStatus } from './config-directory.js';
import { MeshConfigFile } from './mesh-config-file.js';
import { watchDirectory } from './watch-directory.js';

export interface LocalSourcesOptions {
  readonly configDir: string | undefined;
  readonly meshConfig: string | undefined;
  readonly rules: ConfigRules;
  readonly store: ConfigStore;
  readonly onStatus: (status: FileStatus) => void;
  readonly logger: Logger;
}

export interface LocalSources {
  /** For `/debug/status`. */
  status(): object;
  stop(): Promise<void>;
}

const DEFAULT_NAMESPACE = 'default';

/** Reads what is there and watches it; what an earlier run had from other sources is forgotten. */
export async function startLocalSources(options: LocalSourcesOptions): Promise<LocalSources> {
  const { store, rules, onStatus, logger } = options;
  const stops: (() => Promise<void>)[] = [];
  await forgetOrigins(store, options.configDir === undefined ? ['kubernetes', 'directory'] : ['kubernetes']);
  const meshConfig = new MeshConfigFile({ file: options.meshConfig, store, rules, onStatus });
  await meshConfig.refresh();
  if (options.meshConfig !== undefined) {
    stops.push(await watch(dirname(options.meshConfig), 0, () => meshConfig.refresh(), logger));
  }
  const directory = await watchConfigDirectory(options, stops);
  return {
    status: () => ({
      meshConfig: meshConfig.status,
      configDirectory: directory && { problem: directory.problem, files: directory.statuses },
    }),
    stop: async () => {
      for (const stop of stops.splice(0).reverse()) await stop();
    },
  };
}

async function watchConfigDirectory(
  { configDir, rules, store, onStatus, logger }: LocalSourcesOptions,
  stops: (() => Promise<void>)[],
): Promise<ConfigDirectory | undefined> {
  if (configDir === undefined) return undefined;
  const directory = new ConfigDirectory({
    directory: configDir,
    store,
    rules,
    defaultNamespace: DEFAULT_NAMESPACE,
    onStatus,
  });
  let lastProblem: string | undefined;
  const refresh = async () => {
    await directory.refresh();
    if (directory.problem !== undefined && directory.problem !== lastProblem) logger.error(directory.problem);
    lastProblem = directory.problem;
  };
  stops.push(await watch(configDir, undefined, refresh, logger));
  return directory;
}

/** What came from sources that Galley was not started with is not wanted any more. */
export function forgetOrigins(store: ConfigStore, origins: readonly Origin[]): Promise<void> {
  return store.transact((state) => ({
    change: {
      put: [],
      remove: [...state.resources].filter(([, { origin }]) => origins.includes(origin)).map(([key]) => key),
    },
    result: undefined,
  }));
}

async function watch(
  directory: string,
  depth: number | undefined,
  refresh: () => Promise<void>,
  logger: Logger,
): Promise<() => Promise<void>> {
  const watching = await watchDirectory({
    directory,
    depth,
    onChange: () => refresh().catch((error: Error) => logger.error({ directory, error }, 'reading changes failed')),
    onError: (error) => logger.error({ directory, error }, 'watching failed; changes are found more slowly'),
  });
  return () => watching.close();
}
