// Commands: options that every command has, and how its action runs and fails.

import type { Command } from 'commander';
import { ControlClient } from '../mesh/control-client.js';
import { type Mesh, openMesh } from '../mesh/open-mesh.js';
import { UsageError } from '../output/cli-error.js';
import { DEFAULT_STATE_DIR } from '../state/state-layout.js';

export const DEFAULT_NAMESPACE = 'default';

/** The state directory that a command is to use: --state-dir, else LATEEN_STATE_DIR, else .lateen. */
export function stateDirOf(command: Command): string {
  const { stateDir } = command.optsWithGlobals<{ stateDir?: string }>();
  return stateDir ?? process.env.LATEEN_STATE_DIR ?? DEFAULT_STATE_DIR;
}

/** The running mesh and its supervisor. @throws UnreachableError where there is none */
export function meshOf(command: Command): { mesh: Mesh; control: ControlClient } {
  const mesh = openMesh(stateDirOf(command));
  return { mesh, control: new ControlClient(mesh.controlSocket) };
}

/** Collects the values of an option that may be given several times. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** A `--timeout` in milliseconds. @throws UsageError for what is no number of seconds */
export function timeoutMsOf(text: string): number {
  const seconds = Number(text);
  if (text.trim() === '' || !(seconds >= 0 && seconds <= 86_400)) {
    throw new UsageError(`--timeout ${text}: not a number of seconds (0 to 86400)`);
  }
  return seconds * 1000;
}
