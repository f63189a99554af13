// Leadership by a Lease: of several replicas one at a time does what only one may do. The rules are those of client-go.
import { isAlreadyExists, isConflict, isNotFound } from './api-error.js';
import type { KubeClient } from './client.js';
import { waitOrAborted } from './informer/backoff.js';
import type { Lease } from './objects.js';
import { resourceTypes } from './resource-type.js';

export interface LeaseElectionOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Who asks: the pod's name; no two replicas may share it. */
  readonly identity: string;
  /** Called when leadership begins. */
  readonly onElected?: () => void;
  /** Called when leadership ends, before anybody else can have it: what is under way must be given up. */
  readonly onLost?: (reason: string) => void;
  /** Called at each failed attempt, and with undefined when one works again. */
  readonly onError?: (error: Error | undefined) => void;
  /** Called when the holder changes. */
  readonly onHolder?: (identity: string) => void;
  /** How long others respect a holder that is silent. Default 15 s. */
  readonly leaseDurationMs?: number;
  /** How long a holder that cannot renew still leads; must be less than the duration. Default 10 s. */
  readonly renewDeadlineMs?: number;
  /** Between attempts. Default 2 s. */
  readonly retryPeriodMs?: number;
}

type Outcome = 'held' | 'taken' | 'unclear';

/**
 * Start it once; `stop` is final. Clocks of replicas need not agree: how old a holder's word is, is told by when this
 * program saw it change.
 */
export class LeaseElection {
  readonly #options: Required<Pick<LeaseElectionOptions, 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'>> &
    LeaseElectionOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #leads = false;
  /** When the last renewal that worked was sent, by the local clock. */
  #renewedAt = 0;
  #deadline: NodeJS.Timeout | undefined;
  /** The Lease as seen last, and when it was first seen so. */
  #seen: { readonly lease: Lease; readonly record: string; readonly at: number } | undefined;
  #failing = false;

  constructor(options: LeaseElectionOptions) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
    if (!(retryPeriodMs < renewDeadlineMs && renewDeadlineMs < leaseDurationMs)) {
      throw new Error('a lease needs retryPeriodMs < renewDeadlineMs < leaseDurationMs');
    }
    this.#options = { ...options, leaseDurationMs, renewDeadlineMs, retryPeriodMs };
  }

  /** False also when a timer that would say so is late: ask before each write that only the leader may do. */
  get isLeader(): boolean {
    return this.#leads && performance.now() - this.#renewedAt < this.#options.renewDeadlineMs;
  }

  /** Who holds it, as seen last; '' when nobody does. */
  get holder(): string {
    return this.#seen?.lease.spec?.holderIdentity ?? '';
  }

  start(): this {
    this.#running ??= this.#run();
    return this;
  }

  /** Gives the Lease back if it is held, so that another can take it at once. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    const held = this.isLeader;
    this.#lose('stopping');
    if (held) await this.#release();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const { retryPeriodMs } = this.#options;
    while (!signal.aborted) {
      const sentAt = performance.now();
      try {
        const outcome = await this.#acquireOrRenew();
        if (outcome === 'held') this.#hold(sentAt);
        else if (outcome === 'taken') this.#lose(`${this.holder} has the lease`);
        this.#report(undefined);
      } catch (error) {
        if (signal.aborted) return;
        this.#report(error as Error);
      }
      // Jitter only for those who wait: a holder renews in time.
      const waitMs = this.#leads ? retryPeriodMs : retryPeriodMs * (1 + Math.random() * 0.2);
      if (await waitOrAborted(waitMs, signal)) return;
    }
  }

  async #acquireOrRenew(): Promise<Outcome> {
    const { client, namespace, name, identity, leaseDurationMs, renewDeadlineMs } = this.#options;
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(renewDeadlineMs)]);
    const now = microTime();
    const mine = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(leaseDurationMs / 1_000), renewTime: now };
    let lease: Lease;
    try {
      lease = await client.get(resourceTypes.leases, { namespace, name }, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const spec = { ...mine, acquireTime: now, leaseTransitions: 0 };
      return this.#write(() =>
        client.create(resourceTypes.leases, { metadata: { name, namespace }, spec }, { signal }),
      );
    }
    this.#observe(lease);
    const { holderIdentity = '', acquireTime, leaseTransitions = 0 } = lease.spec ?? {};
    const isMine = holderIdentity === identity;
    if (holderIdentity !== '' && !isMine && !this.#isExpired(lease)) return 'taken';
    const spec = {
      ...lease.spec,
      ...mine,
      acquireTime: isMine ? (acquireTime ?? now) : now,
      leaseTransitions: isMine ? leaseTransitions : leaseTransitions + 1,
    };
    return this.#write(() => client.update(resourceTypes.leases, { ...lease, spec }, { signal }));
  }

  /** A conflict is no answer yet: another replica was quicker, or an own renewal was, whose answer got lost. */
  async #write(write: () => Promise<Lease>): Promise<Outcome> {
    try {
      this.#observe(await write());
      return 'held';
    } catch (error) {
      if (isConflict(error) || isAlreadyExists(error)) return 'unclear';
      throw error;
    }
  }

  #observe(lease: Lease): void {
    const record = JSON.stringify(lease.spec ?? {});
    if (record === this.#seen?.record) return;
    const before = this.holder;
    this.#seen = { lease, record, at: performance.now() };
    if (this.holder !== before) this.#options.onHolder?.(this.holder);
  }

  #isExpired(lease: Lease): boolean {
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1_000;
    return performance.now() - (this.#seen?.at ?? 0) >= durationMs;
  }

  #hold(sentAt: number): void {
    const { renewDeadlineMs, onElected } = this.#options;
    this.#renewedAt = sentAt;
    clearTimeout(this.#deadline);
    // An answer that took longer than the deadline makes no leader.
    const leftMs = renewDeadlineMs - (performance.now() - sentAt);
    if (leftMs <= 0) {
      this.#lose('the lease was renewed too late');
      return;
    }
    this.#deadline = setTimeout(() => this.#lose(`the lease could not be renewed for ${renewDeadlineMs} ms`), leftMs);
    if (this.#leads) return;
    this.#leads = true;
    onElected?.();
  }

  #lose(reason: string): void {
    clearTimeout(this.#deadline);
    if (!this.#leads) return;
    this.#leads = false;
    this.#options.onLost?.(reason);
  }

  async #release(): Promise<void> {
    const { client, namespace, name, identity, renewDeadlineMs, onError } = this.#options;
    const signal = AbortSignal.timeout(renewDeadlineMs);
    try {
      // Read again: a renewal that was broken off may have been made nevertheless.
      const lease = await client.get(resourceTypes.leases, { namespace, name }, signal);
      if (lease.spec?.holderIdentity !== identity) return;
      const now = microTime();
      const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
      await client.update(resourceTypes.leases, { ...lease, spec }, { signal });
    } catch (error) {
      onError?.(error as Error); // others wait until it has expired
    }
  }

  #report(error: Error | undefined): void {
    if (error === undefined && !this.#failing) return;
    this.#failing = error !== undefined;
    this.#options.onError?.(error);
  }
}

/** Kubernetes's MicroTime. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
