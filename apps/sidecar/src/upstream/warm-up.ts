// Upstream: gives new endpoints of one cluster their share slowly (Envoy's slow start): says to the core how warm they are.

import { setWarmth, WARMTH_WHOLE, type WarmUpSettings, warmthAt } from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import type { Endpoint } from './endpoint.js';

/** Steps in which the share grows: fine enough not to be seen, coarse enough to cost nothing. */
const STEPS = 200;
const MAX_STEP_MS = 1000;

/** One for each cluster that has new endpoints warm up. Once all are warm nothing is done any more. */
export class WarmUp implements TimerOwner {
  private endpoints: readonly Endpoint[] = [];
  private readonly step = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly clusterSlot: number,
    readonly settings: WarmUpSettings,
  ) {}

  /** These are the endpoints now. */
  follow(endpoints: readonly Endpoint[]): void {
    this.endpoints = endpoints;
    this.onTimer();
  }

  onTimer(): void {
    const { path, settings } = this;
    path.clock.tick();
    const warmth = new Map(
      this.endpoints.map(({ slot, joinedMs }) => [slot, warmthAt(settings, path.clock.nowMs - joinedMs)]),
    );
    setWarmth(path.core, this.clusterSlot, warmth);
    const isWarm = [...warmth.values()].every((each) => each === WARMTH_WHOLE);
    if (isWarm) path.wheel.cancel(this.step);
    else path.wheel.schedule(this.step, Math.min(settings.windowMs / STEPS, MAX_STEP_MS));
  }

  /** All endpoints get their whole share. */
  close(): void {
    this.path.wheel.cancel(this.step);
    setWarmth(this.path.core, this.clusterSlot, new Map(this.endpoints.map(({ slot }) => [slot, WARMTH_WHOLE])));
  }
}
