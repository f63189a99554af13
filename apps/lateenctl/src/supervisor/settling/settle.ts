// Supervisor: waits until what was applied runs, what was deleted is leaving, and Pilot has been told.

import type { ObjectRef, SettleResponse } from '../../control/control-api.js';
import { COMPONENT_NAMES } from '../../state/state-layout.js';
import type { ControlPlane } from '../control-plane.js';
import type { RegistryStream } from '../registry/registry-stream.js';
import type { Workloads } from '../workloads.js';
import type { ChangeBell } from './change-bell.js';

/** Some pods are ready from what they keep though a part of the control plane is stopped; others never are. */
const STOPPED_PART_GRACE_MS = 3_000;

export interface SettleParts {
  readonly workloads: Pick<Workloads, 'unsettled'>;
  readonly registry: Pick<RegistryStream, 'acknowledged'>;
  readonly controlPlane: Pick<ControlPlane, 'components'>;
  readonly changes: ChangeBell;
}

/** Of the objects Deployments have pods to wait for; of all others Pilot has to know. */
export async function settle(
  { workloads, registry, controlPlane, changes }: SettleParts,
  objects: readonly ObjectRef[],
  timeoutMs: number,
): Promise<SettleResponse> {
  const startedAtMs = performance.now();
  const leftMs = () => Math.max(0, startedAtMs + timeoutMs - performance.now());
  const stopped = () =>
    COMPONENT_NAMES.filter((name) => controlPlane.components.get(name)?.process.state === 'stopped');
  for (;;) {
    const waiting = workloads.unsettled(objects);
    if (waiting.length === 0) break;
    const graceLeftMs = startedAtMs + STOPPED_PART_GRACE_MS - performance.now();
    const limitMs = stopped().length > 0 ? Math.min(leftMs(), graceLeftMs) : leftMs();
    if (limitMs <= 0) return { waiting, stopped: stopped() };
    await changes.next(limitMs);
  }
  const limitMs = stopped().length > 0 ? Math.min(leftMs(), STOPPED_PART_GRACE_MS) : leftMs();
  const told = await registry.acknowledged(limitMs);
  return { waiting: told ? [] : ['pilot to take the registry'], stopped: told ? [] : stopped() };
}
