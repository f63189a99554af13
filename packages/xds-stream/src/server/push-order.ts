// ADS server: make before break. Says what must wait for what, and lets removals go when nothing can use them any more.

import type { ResourceEntry, ServedType } from './model.js';
import type { TypeState } from './type-state.js';

/** How long a client has to subscribe to what a new resource refers to (a cluster's endpoints) before others go on … */
const REFERENCE_WAIT_MS = 1000;
/** … and how long where it has not subscribed to anything of that type yet, and perhaps never will. */
const FIRST_REFERENCE_WAIT_MS = 250;

interface Awaited {
  readonly typeUrl: string;
  readonly deadlineMs: number;
  /** What refers to it. Once none of these is served any more, nobody will subscribe. */
  readonly referrers: ReadonlySet<string>;
  readonly from: TypeState;
}

function isServed({ referrers, from }: Awaited): boolean {
  return [...referrers].some((name) => from.served.has(name));
}

/** Gates and removals of one stream. */
export class PushOrder {
  /** Names that something sent lately refers to, with the time until which the client may take to subscribe to them. */
  private readonly awaited = new Map<string, Awaited>();

  constructor(
    private readonly types: readonly ServedType[],
    private readonly states: ReadonlyMap<string, TypeState>,
    private readonly removalGraceMs: number,
  ) {}

  /** True while a type must be held back. A type that nobody subscribed to, a NACK or a time-out never holds. */
  isGated(type: ServedType, nowMs: number): boolean {
    return type.waitsFor.some((typeUrl) => {
      const state = this.states.get(typeUrl);
      if (this.awaits(typeUrl, nowMs)) return true;
      return state?.subscribed === true && (state.inFlight(nowMs) || state.dirty);
    });
  }

  /** Notes what was sent: what it refers to is sent again, or awaited where the client does not know it yet. */
  noteSent(state: TypeState, changed: readonly string[], nowMs: number): void {
    const { refreshes } = state.type;
    if (refreshes === undefined) return;
    const referred = this.states.get(refreshes.typeUrl);
    for (const name of changed) {
      const entry: ResourceEntry | undefined = state.target(name);
      if (entry === undefined) continue;
      for (const referredName of refreshes.namesOf(entry)) {
        const waitMs = referred?.subscribed ? REFERENCE_WAIT_MS : FIRST_REFERENCE_WAIT_MS;
        // Also where it is subscribed now: a request that drops the name may be on its way, and be taken back after it.
        const referrers = new Set([...(this.awaited.get(referredName)?.referrers ?? []), name]);
        const deadlineMs = nowMs + waitMs;
        this.awaited.set(referredName, { typeUrl: refreshes.typeUrl, deadlineMs, referrers, from: state });
        if (!referred?.wants(referredName) || referred.target(referredName) === undefined) continue;
        referred.demanded.add(referredName);
        referred.dirty = true;
      }
    }
  }

  /** A rejected resource will not make the client subscribe to anything. */
  noteRejected(state: TypeState): void {
    const referredType = state.type.refreshes?.typeUrl;
    for (const [name, { typeUrl }] of this.awaited) if (typeUrl === referredType) this.awaited.delete(name);
  }

  /** True while the client lacks a subscription to what it was just sent refers to. */
  awaits(typeUrl: string, nowMs: number): boolean {
    const state = this.states.get(typeUrl);
    let found = false;
    for (const [name, awaited] of this.awaited) {
      if (awaited.typeUrl !== typeUrl) continue;
      if (awaited.deadlineMs <= nowMs) this.awaited.delete(name);
      // What refers to it may come back before the client has noticed that it went, so it is not forgotten.
      else if (!state?.wants(name) && isServed(awaited)) found = true;
    }
    return found;
  }

  /** True when every ordered type that the client subscribed to is sent and answered (or out of time). */
  isSettled(nowMs: number): boolean {
    for (const type of this.types) {
      if (!type.removeLast && type.waitsFor.length === 0) continue;
      const state = this.states.get(type.typeUrl);
      if (state?.subscribed !== true) continue;
      if (state.dirty || state.inFlight(nowMs) || this.awaits(type.typeUrl, nowMs)) return false;
    }
    return true;
  }

  /**
   * True while the client still runs on listeners or routes from before a NACK: these may use what is to be removed, so
   * nothing is, until something newer is accepted.
   */
  private runsOnOldRoutes(): boolean {
    return this.types.some((type) => type.waitsFor.length > 0 && this.states.get(type.typeUrl)?.error !== undefined);
  }

  /** Starts the grace time of what is retained once everything is settled, and releases what is over it. */
  releaseRemovals(seq: number, nowMs: number): void {
    const settled = this.isSettled(nowMs) && !this.runsOnOldRoutes();
    for (const state of this.states.values()) {
      for (const [name, retained] of state.retained) {
        if (retained.releaseAtMs === undefined) {
          if (settled && retained.vanishedSeq <= seq) retained.releaseAtMs = nowMs + this.removalGraceMs;
        }
        if (retained.releaseAtMs !== undefined && retained.releaseAtMs <= nowMs) {
          state.retained.delete(name);
          state.dirty = true;
        }
      }
    }
  }

  /** The next moment at which waiting ends by itself; Infinity when nothing waits. */
  nextDeadlineMs(nowMs: number): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.awaited.values()) {
      if (deadlineMs > nowMs) earliest = Math.min(earliest, deadlineMs);
    }
    for (const state of this.states.values()) earliest = state.earliestDeadline(nowMs, earliest);
    return earliest;
  }
}
