// Time: one reading of the clock for each event, since a request would otherwise read it seven times.

/** `nowMs` is as old as the event that is being handled: whoever is called by the event loop calls `tick` first. */
export class Clock {
  /** Milliseconds of a monotonic clock. */
  nowMs = performance.now();

  tick(): void {
    this.nowMs = performance.now();
  }
}
