// Cluster: which replica writes the root and the trust bundles: the holder of a Lease. What a term begins is ended before the next one.

import { randomUUID } from 'node:crypto';
import { type KubeClient, LeaseElection, type LeaseElectionOptions } from '@lateen/kubernetes';
import type { Logger } from '@lateen/telemetry';

export const LEASE = 'lateen-citadel';
/** So that another replica gets the Lease that was given back. */
const STAND_AGAIN_MS = 3_000;

/** What only the leader does. */
export interface LeaderTask {
  /** @param term of its own for each leadership. A rejection gives the Lease back. */
  begin(term: string): Promise<void>;
  end(): Promise<void>;
}

export interface LeadershipOptions
  extends Pick<LeaseElectionOptions, 'leaseDurationMs' | 'renewDeadlineMs' | 'retryPeriodMs'> {
  readonly client: KubeClient;
  readonly namespace: string;
  /** The pod's name. */
  readonly identity: string;
  readonly logger: Logger;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #tasks: LeaderTask[] = [];
  #begun: LeaderTask[] = [];
  #election: LeaseElection | undefined;
  #turns: Promise<void> = Promise.resolve();
  #again: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: LeadershipOptions) {
    this.#options = options;
  }

  /** Ask it before each write. */
  get isLeader(): boolean {
    return this.#election?.isLeader ?? false;
  }

  /** Who leads, as far as is known here; '' where nobody does. */
  get holder(): string {
    return this.#election?.holder ?? '';
  }

  /** Tasks begin in the order in which they were added, and end in the other. Add them before the start. */
  add(task: LeaderTask): void {
    this.#tasks.push(task);
  }

  start(): void {
    if (this.#stopped) return;
    const { client, namespace, identity, logger, ...timing } = this.#options;
    const election = new LeaseElection({
      ...timing,
      ...{ client, namespace, identity },
      name: LEASE,
      onElected: () => this.#turn(() => this.#begin(election)),
      onLost: (reason) => {
        logger.info({ reason }, 'this replica leads no more');
        this.#turn(() => this.#end());
      },
      onError: (error) => {
        if (error !== undefined) logger.warn({ reason: error.message }, `the Lease ${LEASE} cannot be held or read`);
      },
    });
    this.#election = election;
    election.start();
  }

  /** Gives the Lease back, because what the leader has to do cannot be done here now, and stands again later. */
  yield(reason: string): void {
    const election = this.#election;
    if (election === undefined || this.#stopped) return;
    this.#options.logger.error({ reason }, 'giving leadership back');
    this.#election = undefined;
    void election.stop().finally(() => {
      if (!this.#stopped) this.#again = setTimeout(() => this.start(), STAND_AGAIN_MS);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#again);
    await this.#election?.stop();
    this.#turn(() => this.#end());
    await this.#turns;
  }

  /** One after the other: a term that ends while it begins is ended when it has begun. */
  #turn(action: () => Promise<void>): void {
    this.#turns = this.#turns.then(action);
  }

  async #begin(election: LeaseElection): Promise<void> {
    const { logger, identity } = this.#options;
    if (!election.isLeader) return;
    logger.info({ identity }, 'this replica leads: it writes the root and the trust bundles');
    const term = randomUUID();
    try {
      for (const task of this.#tasks) {
        this.#begun.push(task);
        await task.begin(term);
      }
    } catch (error) {
      this.yield((error as Error).message);
    }
  }

  async #end(): Promise<void> {
    for (const task of this.#begun.splice(0).reverse()) await task.end();
  }
}
