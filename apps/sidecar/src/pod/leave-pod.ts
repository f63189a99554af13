// Pod mode: the end of a proxy whose pod goes: it serves on for a while, since clients learn of it late, and then drains.

import { setTimeout as delay } from 'node:timers/promises';
import type { Sidecar } from '../sidecar.js';
import type { PodDrain } from './pod-settings.js';

const LOOK_PERIOD_MS = 1_000;

/**
 * As Istio's agent: for `terminationDrainDuration`; or, with EXIT_ON_ZERO_ACTIVE_CONNECTIONS, for MINIMUM_DRAIN_DURATION and then
 * until nobody is connected. Meanwhile clients are asked to leave, and what they send is served.
 */
export async function leavePod(
  sidecar: Pick<Sidecar, 'leave' | 'connections' | 'stop'>,
  { durationMs, untilNobody, minimumMs }: PodDrain,
  periodMs = LOOK_PERIOD_MS,
): Promise<void> {
  sidecar.leave();
  await delay(untilNobody ? minimumMs : durationMs);
  while (untilNobody && (await sidecar.connections()) > 0) await delay(periodMs);
  await sidecar.stop();
}
