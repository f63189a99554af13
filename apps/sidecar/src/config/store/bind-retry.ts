// Store: listeners whose address cannot be bound now. They stay accepted, and are tried again until they bind or are gone.

import { TYPE_URL } from '@lateen/xds-proto';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { Backoff } from '@lateen/xds-stream';
import type { ConfigProblem } from '../../data-plane.js';
import type { ResourceEntry } from './resource-state.js';

/** An accepted listener that is not in effect since one of its addresses is busy or not there. */
export interface UnboundListener {
  readonly name: string;
  /** `cannot bind ADDRESS: REASON`, one for each address, without the field path. */
  readonly reason: string;
  /** Milliseconds since the epoch of the last attempt. */
  readonly atMs: number;
  /** Whether an older version of it serves meanwhile. */
  readonly olderServes: boolean;
}

/** Waits between attempts: these bounds, doubling, with jitter between a half and the whole. */
const RETRY = { initialMs: 1_000, maxMs: 5_000 };

/** Remembers what is unbound between batches, and asks for the next attempt. */
export class BindRetry {
  #unbound: ReadonlyMap<string, UnboundListener> = new Map();
  #timer: NodeJS.Timeout | undefined;
  #backoff = new Backoff(RETRY);

  constructor(private readonly tryAgain: () => void) {}

  get unbound(): ReadonlyMap<string, UnboundListener> {
    return this.#unbound;
  }

  /** Takes what an applied batch left unbound. */
  settle(unbound: ReadonlyMap<string, UnboundListener>): void {
    // A listener that was not among them is tried again soon, also where others have waited for long.
    if ([...unbound.keys()].some((name) => !this.#unbound.has(name))) this.#backoff.reset();
    this.#unbound = unbound;
  }

  /** To be called after each batch, which was an attempt. */
  arm(): void {
    clearTimeout(this.#timer);
    if (this.#unbound.size > 0) this.#timer = setTimeout(this.tryAgain, this.#backoff.nextMs());
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

/** Listeners that one batch cannot bind, by message: a newer version of the same name is tried on its own. */
export class Unbindable {
  readonly #reasons = new Map<Listener, string>();

  get size(): number {
    return this.#reasons.size;
  }

  has(listener: Listener): boolean {
    return this.#reasons.has(listener);
  }

  /** Takes the failed binds of listeners that are not in effect; whether there were any. */
  add(
    problems: readonly ConfigProblem[],
    accepted: ReadonlyMap<string, ResourceEntry<Listener>>,
    active: ReadonlyMap<string, ResourceEntry<Listener>>,
  ): boolean {
    let found = false;
    for (const { resourceType, resourceName, message, mayPass } of problems) {
      if (mayPass !== true || resourceType !== TYPE_URL.listener) continue;
      const listener = accepted.get(resourceName)?.value;
      if (listener === undefined || listener === active.get(resourceName)?.value) continue;
      const before = this.#reasons.get(listener);
      this.#reasons.set(listener, before === undefined ? message : `${before}; ${message}`);
      found = true;
    }
    return found;
  }

  /** Those that are accepted in the end. */
  among(
    accepted: ReadonlyMap<string, ResourceEntry<Listener>>,
    active: ReadonlyMap<string, ResourceEntry<Listener>>,
    atMs: number,
  ): Map<string, UnboundListener> {
    const unbound = new Map<string, UnboundListener>();
    for (const { name, value } of accepted.values()) {
      const reason = this.#reasons.get(value);
      if (reason !== undefined) unbound.set(name, { name, reason, atMs, olderServes: active.has(name) });
    }
    return unbound;
  }
}
