// Store: warming. A new or changed cluster waits for its endpoints, a listener for its routes and secrets; not for ever.

import type { ResourceEntry } from './resource-state.js';

export interface WarmingOptions {
  /** How long one waits, as Envoy's `initial_fetch_timeout`; 0 waits without end. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** Chooses, of the accepted resources of one type, those in effect. Kept between calls: since when each one waits. */
export class Warming<T> {
  #active: ReadonlyMap<string, ResourceEntry<T>> = new Map();
  /** Messages that wait, with the moment when they stop to. Keyed by message: a newer one waits anew. */
  #deadlines = new Map<T, number>();

  constructor(private readonly options: WarmingOptions) {}

  /** What is in effect now. */
  get active(): ReadonlyMap<string, ResourceEntry<T>> {
    return this.#active;
  }

  /** Entries that wait, of the state that was resolved last. */
  get warming(): readonly T[] {
    return [...this.#deadlines.keys()];
  }

  /** Milliseconds until the next wait ends; undefined when nothing waits. */
  get nextDeadlineInMs(): number | undefined {
    if (this.#deadlines.size === 0 || this.options.timeoutMs === 0) return undefined;
    return Math.max(0, Math.min(...this.#deadlines.values()) - this.options.now());
  }

  /**
   * The entries that are in effect with these accepted ones: an entry that is not ready leaves the one before it in
   * effect, and so does one that is blocked, however long. Changes nothing but the waits; `commit` makes it true.
   */
  resolve(
    accepted: ReadonlyMap<string, ResourceEntry<T>>,
    isReady: (value: T) => boolean,
    isBlocked: (value: T) => boolean = () => false,
  ): ReadonlyMap<string, ResourceEntry<T>> {
    const { now, timeoutMs } = this.options;
    const deadlines = new Map<T, number>();
    const next = new Map<string, ResourceEntry<T>>();
    for (const entry of accepted.values()) {
      const held = this.#active.get(entry.name);
      if (isBlocked(entry.value)) {
        if (held !== undefined) next.set(entry.name, held);
        continue;
      }
      if (held?.value === entry.value || isReady(entry.value)) {
        next.set(entry.name, entry);
        continue;
      }
      const deadline = this.#deadlines.get(entry.value) ?? now() + timeoutMs;
      if (timeoutMs > 0 && now() >= deadline) {
        next.set(entry.name, entry);
        continue;
      }
      deadlines.set(entry.value, deadline);
      if (held !== undefined) next.set(entry.name, held);
    }
    this.#deadlines = deadlines;
    return sameEntries(next, this.#active) ? this.#active : next;
  }

  commit(active: ReadonlyMap<string, ResourceEntry<T>>): void {
    this.#active = active;
  }
}

function sameEntries<T>(a: ReadonlyMap<string, ResourceEntry<T>>, b: ReadonlyMap<string, ResourceEntry<T>>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, entry] of a) if (b.get(name)?.value !== entry.value) return false;
  return true;
}
