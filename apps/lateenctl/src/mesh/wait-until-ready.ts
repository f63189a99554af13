// Mesh: waits until the mesh, or what was started in it, is ready, and says what is missing where it is not.

import { setTimeout as sleep } from 'node:timers/promises';
import type { MeshStatus, ProcessStatus } from '../control/control-api.js';
import { CliError } from '../output/cli-error.js';
import { COMPONENT_NAMES } from '../state/state-layout.js';
import type { ControlClient } from './control-client.js';

const POLL_MS = 100;
/** Some processes are ready without the control plane, from what they keep; with a part of it stopped, others never are. */
const STOPPED_PART_GRACE_MS = 3000;

/** Waits until everything in the mesh is ready. @throws CliError where it is not in time */
export async function waitUntilReady(control: ControlClient, remainingMs: () => number): Promise<MeshStatus> {
  for (;;) {
    const status = await control.status();
    if (status.ready) return status;
    if (remainingMs() === 0) {
      throw new CliError(
        `not ready in time: ${status.waitingFor.join('; ')}. The mesh still runs: see \`lateenctl local status\` and ` +
          '`lateenctl local logs NAME`, end it with `lateenctl local down`',
      );
    }
    await sleep(POLL_MS);
  }
}

/** How a start went: everything is ready, or it waits for parts of the control plane that the user has stopped. */
export interface StartOutcome {
  /** Names with reasons; empty where everything is ready. */
  readonly waiting: readonly string[];
  readonly stoppedComponents: readonly string[];
}

/** Waits until the processes of these names are ready. @throws CliError where they are not in time */
export async function waitUntilStarted(
  status: () => Promise<MeshStatus>,
  names: readonly string[],
  timeoutMs: number,
  graceMs = STOPPED_PART_GRACE_MS,
): Promise<StartOutcome> {
  const startedAtMs = performance.now();
  for (;;) {
    const { processes } = await status();
    const outcome = startOutcome(processes, names);
    const { waiting, stoppedComponents } = outcome;
    const waitedMs = performance.now() - startedAtMs;
    if (waiting.length === 0 || (stoppedComponents.length > 0 && waitedMs >= graceMs)) return outcome;
    if (waitedMs >= timeoutMs) {
      throw new CliError(
        `not ready in time: ${waiting.join('; ')}. It is still being started: see \`lateenctl local status\` and ` +
          '`lateenctl local logs NAME`',
      );
    }
    await sleep(POLL_MS);
  }
}

/**
 * Waits until every sidecar that runs is connected to Pilot: after a pause they come back one by one.
 *
 * @param connected POD.NAMESPACE of each that Pilot knows
 * @returns who is still missing when the time is over
 */
export async function waitUntilConnected(
  status: () => Promise<MeshStatus>,
  connected: () => Promise<readonly string[]>,
  timeoutMs: number,
): Promise<readonly string[]> {
  const startedAtMs = performance.now();
  for (;;) {
    const [{ processes }, known] = await Promise.all([status(), connected()]);
    const missing = processes
      .filter(({ kind, state }) => kind === 'sidecar' && state === 'running')
      .map(({ pod, namespace }) => `${pod}.${namespace}`)
      .filter((proxyId) => !known.includes(proxyId));
    if (missing.length === 0 || performance.now() - startedAtMs >= timeoutMs) return missing;
    await sleep(POLL_MS);
  }
}

/** What of these names is not ready, and which components the user has stopped. A name that is gone is waited for no more. */
export function startOutcome(processes: readonly ProcessStatus[], names: readonly string[]): StartOutcome {
  const waiting = processes
    .filter(({ name, ready, state }) => names.includes(name) && !(ready && state === 'running'))
    .map(({ name, reason, lastEnd }) => `${name} (${reason || lastEnd || 'starting'})`);
  const stoppedComponents = COMPONENT_NAMES.filter((component) =>
    processes.some(({ name, state }) => name === component && state === 'stopped'),
  );
  return { waiting, stoppedComponents };
}
