// Workers: the data path of a proxy of several processes: the first one's own and its workers', as one. The first decides, and
// what is accepted is accepted by all.

import type { DataPlane, DataPlaneConfig, DataPlaneViews, PreparedConfig, TlsSecret } from '../data-plane.js';
import type { WorkerSet } from './worker-set.js';

/** What the control side uses of a data path. */
export type ProxyDataPlane = Omit<DataPlane, keyof DataPlaneViews | 'prepare' | 'takeEjection' | 'takeConnection'> &
  Pick<DataPlaneViews, 'listeners'>;

export class ManyProcesses implements ProxyDataPlane {
  constructor(
    private readonly own: DataPlane,
    private readonly workers: WorkerSet,
  ) {}

  /** Addresses are bound here, once; the workers are given the sockets. */
  async apply(config: DataPlaneConfig): Promise<void> {
    const own = await this.own.prepare(config);
    const theirs = await this.workers.prepare(config, own.sockets).catch((error: unknown) => {
      own.abandon();
      throw error;
    });
    await this.#commit(own, theirs);
  }

  updateSecrets(secrets: ReadonlyMap<string, TlsSecret>): void {
    this.own.updateSecrets(secrets);
    this.workers.updateSecrets(secrets);
  }

  /** Workers make last calls of their own. */
  async drain(graceMs: number, lastCalls?: () => Promise<void>): Promise<void> {
    await Promise.all([this.own.drain(graceMs, lastCalls), this.workers.drain(graceMs)]);
  }

  askToLeave(): void {
    this.own.askToLeave();
    this.workers.tell({ kind: 'askToLeave' });
  }

  drainListeners(): void {
    this.own.drainListeners();
    this.workers.drainListeners();
  }

  async close(): Promise<void> {
    await Promise.all([this.own.close(), this.workers.close()]);
  }

  /** Addresses are the same in all. */
  listeners(): ReturnType<DataPlane['listeners']> {
    return this.own.listeners();
  }

  warmingClusters(): readonly string[] {
    return this.own.warmingClusters();
  }

  get quotas(): DataPlane['quotas'] {
    return this.own.quotas;
  }

  get call(): DataPlane['call'] {
    return this.own.call;
  }

  async #commit(own: PreparedConfig, theirs: Awaited<ReturnType<WorkerSet['prepare']>>): Promise<void> {
    try {
      own.commit();
    } catch (error) {
      await theirs.abandon();
      throw error;
    }
    await theirs.commit();
  }
}
