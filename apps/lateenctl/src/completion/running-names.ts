// Completion: the names of what runs, if a mesh answers quickly; a shell must not wait.

import type { Command } from 'commander';
import { targetOf } from '../commands/context.js';

export interface RunningNames {
  readonly pods: readonly string[];
  readonly services: readonly string[];
  readonly namespaces: readonly string[];
  /** What `local stop`, `start` and `logs` take. */
  readonly targets: readonly string[];
}

export const NO_NAMES: RunningNames = { pods: [], services: [], namespaces: [], targets: [] };

const TIME_LIMIT_MS = 1_500;

/** @param place reads the options that say where the mesh is; half a command line may be wrong */
export async function runningNames(place: () => Command): Promise<RunningNames> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<RunningNames>((resolve) => {
    timer = setTimeout(() => resolve(NO_NAMES), TIME_LIMIT_MS);
  });
  try {
    return await Promise.race([askNames(place()), limit]);
  } catch {
    // No mesh, or one that does not answer: commands and options are completed all the same.
    return NO_NAMES;
  } finally {
    clearTimeout(timer);
  }
}

async function askNames(command: Command): Promise<RunningNames> {
  const target = await targetOf(command);
  const { supervisor } = target;
  const status = await supervisor?.status();
  const pods = status?.pods ?? (await target.pods());
  const objects = (await supervisor?.objects())?.objects ?? [];
  const services = objects.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name);
  const processes = (status?.processes ?? []).map(({ name }) => name);
  return {
    pods: unique(pods.map(({ name }) => name)),
    services: unique(services),
    namespaces: unique([...pods, ...objects.map(({ metadata }) => metadata)].map(({ namespace }) => namespace)),
    targets: unique([...processes, ...pods.map(({ name }) => name)]),
  };
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => name !== '').sort();
}
