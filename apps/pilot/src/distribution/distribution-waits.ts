// Distribution: waits until a change is everywhere, refused somewhere, or the time is over. Looks again when something moved.

import type { DistributionReport } from '@lateen/telemetry';
import type { ChangeCounter } from '../snapshot/change-counter.js';
import { type DistributionProgress, type DistributionSources, lookAtDistribution } from './distribution.js';
import type { DistributionQuery } from './distribution-query.js';

/** What is refused may be taken after all, when what was in its way has gone: an address in use, for example. */
const REFUSAL_GRACE_MS = 1_000;
/** Events that come together are looked at together. */
const GATHER_MS = 5;
/** A snapshot that makes no difference to a proxy is taken up without an event. */
const LOOK_AGAIN_MS = 200;

/** Each looks at all proxies whenever something moved, so that many at once would keep Pilot from pushing. */
const MAX_WAITS = 64;

/** Thrown where too many wait already; the message is for who asked. */
export class TooManyWaits extends Error {
  constructor() {
    super(`${MAX_WAITS} requests wait already; ask later, or with timeoutMs=0 for how far it has come`);
    this.name = 'TooManyWaits';
  }
}

export class DistributionWaits {
  #waiting = 0;
  readonly #sleepers = new Set<() => void>();

  constructor(
    private readonly sources: DistributionSources,
    private readonly changes: Pick<ChangeCounter, 'newest'>,
  ) {}

  /** To be called when a proxy has answered, came or went, when configuration came, and when a snapshot is out. */
  moved(): void {
    for (const wake of [...this.#sleepers]) wake();
  }

  /** Resolves to how far it has come. @param gone whoever asked has left @throws TooManyWaits */
  async wait(query: DistributionQuery, gone: AbortSignal): Promise<DistributionReport> {
    if (query.timeoutMs > 0 && this.#waiting >= MAX_WAITS) throw new TooManyWaits();
    this.#waiting += 1;
    try {
      return await this.#lookUntilDecided(query, gone);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #lookUntilDecided(query: DistributionQuery, gone: AbortSignal): Promise<DistributionReport> {
    const startedMs = performance.now();
    const progress: DistributionProgress = { atLeast: query.present ? this.changes.newest : 0 };
    let refusedSinceMs: number | undefined;
    for (;;) {
      const report = lookAtDistribution(this.sources, query, progress);
      if (report.complete || gone.aborted) return report;
      const nowMs = performance.now();
      const leftMs = startedMs + query.timeoutMs - nowMs;
      if (leftMs <= 0) return report;
      const decided = report.waitingFor === undefined && report.proxies.every(({ state }) => state !== 'pending');
      refusedSinceMs = decided ? (refusedSinceMs ?? nowMs) : undefined;
      if (refusedSinceMs !== undefined && nowMs - refusedSinceMs >= REFUSAL_GRACE_MS) return report;
      await this.#sleep(Math.min(leftMs, LOOK_AGAIN_MS), gone);
    }
  }

  #sleep(limitMs: number, gone: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      let timer = setTimeout(() => wake(0), limitMs);
      const wake = (inMs: number) => {
        this.#sleepers.delete(soon);
        gone.removeEventListener('abort', soon);
        clearTimeout(timer);
        if (inMs === 0) resolve();
        else timer = setTimeout(resolve, inMs);
      };
      const soon = () => wake(GATHER_MS);
      this.#sleepers.add(soon);
      gone.addEventListener('abort', soon);
    });
  }
}
