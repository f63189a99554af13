// Workers: all workers of a proxy: a configuration is put in effect in all of them or in none; who ends is replaced.

import type { LogLevel } from '@lateen/telemetry';
import { Backoff } from '@lateen/xds-stream';
import { type ConfigProblem, ConfigRejected, type DataPlaneConfig, type TlsSecret } from '../data-plane.js';
import type { ClientHandle, SharedSocket } from '../downstream/socket-listener.js';
import type { Ejection } from '../upstream/outliers/outlier-detector.js';
import { addEnded } from './add-up.js';
import { Balance, CountTeller } from './balance.js';
import { type Observation, remains } from './observation.js';
import type { Notice, WorkerStart } from './worker-messages.js';
import { WorkerGone, type WorkerOptions, WorkerProcess } from './worker-process.js';

export interface WorkerSetOptions extends Pick<WorkerOptions, 'program' | 'output'> {
  readonly start: Omit<WorkerStart, 'index' | 'logLevel'>;
  readonly logLevel: () => LogLevel;
  /** A worker has ejected an endpoint; the other workers are told already. */
  readonly onEjected: (ejection: Ejection) => void;
  /** Connections of the first process. */
  readonly connections: () => number;
  /** A worker gives a connection to the first process. */
  readonly onConnection: (key: string, connection: ClientHandle) => void;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

interface InEffect {
  readonly config: DataPlaneConfig;
  readonly sockets: readonly SharedSocket[];
}

/** A worker that says nothing for so long is ended and replaced. */
const ANSWER_LIMIT_MS = 30_000;
/** A page waits so long for what a worker counts, and then shows what it said last. */
const OBSERVE_LIMIT_MS = 2_000;
/** How long a proxy that starts waits for its workers before it serves with those that are there. */
const START_LIMIT_MS = 10_000;
/** Beyond the time to drain: a collector of audit records that does not answer is called twice, for three seconds each. */
const LAST_WORDS_LIMIT_MS = 15_000;
/** From having nothing to do any more to its end. */
const END_LIMIT_MS = 5_000;
/** Between a worker that ends soon after its start and the next one. */
const RESTART = { initialMs: 250, maxMs: 10_000 };
const LONG_LIVED_MS = 10_000;

export class WorkerSet {
  /** By index from 1; undefined while there is none. Only those that have the configuration in effect, once there is one. */
  readonly #workers = new Map<number, WorkerProcess>();
  /** Started, and without a configuration yet. */
  readonly #joining = new Set<WorkerProcess>();
  #ended: Observation | undefined;
  #inEffect: InEffect | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closing = false;
  /** Workers that were replaced. */
  restarts = 0;
  readonly #firstStart: Promise<unknown>;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #balance: Balance;
  readonly #counts: CountTeller;

  constructor(private readonly options: WorkerSetOptions) {
    this.#balance = new Balance(options.connections);
    this.#counts = new CountTeller(options.connections, (count) => {
      for (const worker of this.#workers.values())
        worker.tell({ kind: 'connections', count, received: worker.received });
    });
    const indexes = Array.from({ length: options.start.count - 1 }, (_, index) => index + 1);
    const started = indexes.map((index) => this.#start(index, new Backoff(RESTART)));
    this.#firstStart = Promise.race([
      Promise.all(started),
      new Promise((resolve) => this.#timers.add(setTimeout(resolve, START_LIMIT_MS).unref())),
    ]);
  }

  /** What ended workers have counted. */
  get ended(): Observation | undefined {
    return this.#ended;
  }

  /**
   * Has every worker compile a configuration and take its sockets.
   * @throws ConfigRejected with what a worker finds wrong with it; what ran before keeps running in all
   */
  async prepare(
    config: DataPlaneConfig,
    sockets: readonly SharedSocket[],
  ): Promise<{ readonly commit: () => Promise<void>; readonly abandon: () => Promise<void> }> {
    await this.#firstStart;
    const leave = await this.#enter();
    const next = { config, sockets };
    const workers = [...this.#workers.values()];
    const verdicts = await Promise.all(workers.map((worker) => this.#prepareIn(worker, next)));
    const end = (kind: 'commit' | 'abandon') => async () => {
      if (kind === 'commit') this.#inEffect = next;
      await Promise.all(workers.map((worker) => this.#settleIn(worker, kind, sockets)));
      leave();
    };
    const problems = verdicts.flat();
    if (problems.length === 0) return { commit: end('commit'), abandon: end('abandon') };
    await end('abandon')();
    throw new ConfigRejected(problems);
  }

  /** Gives a connection to the worker that has fewer; false where the first process is to keep it. */
  give(key: string, connection: ClientHandle): boolean {
    const index = this.#balance.choose();
    return index !== undefined && this.#workers.get(index)?.give(key, connection) === true;
  }

  updateSecrets(secrets: ReadonlyMap<string, TlsSecret>): void {
    if (this.#inEffect !== undefined) {
      this.#inEffect = { ...this.#inEffect, config: { ...this.#inEffect.config, secrets } };
    }
    this.tell({ kind: 'secrets', secrets });
  }

  /** Tells all of them, except one. */
  tell(notice: Notice, except?: WorkerProcess): void {
    for (const worker of [...this.#workers.values(), ...this.#joining]) if (worker !== except) worker.tell(notice);
  }

  /** What is seen of each worker now, or was seen of it last. */
  async observe(): Promise<readonly Observation[]> {
    const asked = [...this.#workers].map(async ([index, worker]) => {
      const now = await worker.ask({ kind: 'observe' }, OBSERVE_LIMIT_MS).catch(() => worker.observation);
      return { index, worker, now };
    });
    const answers = await Promise.all(asked);
    // One that has ended meanwhile is among those that have.
    return answers.flatMap(({ index, worker, now }) =>
      this.#workers.get(index) === worker && now !== undefined ? [now] : [],
    );
  }

  /** Lets every worker end what it has under way. What they have counted is kept. */
  async drain(graceMs: number): Promise<void> {
    this.#stopStarting();
    await Promise.all(
      [...this.#workers.values()].map((worker) =>
        worker.ask({ kind: 'drain', graceMs }, graceMs + LAST_WORDS_LIMIT_MS).catch(() => undefined),
      ),
    );
  }

  /** Stops accepting, for good: who ends is not replaced any more. */
  drainListeners(): void {
    this.#stopStarting();
    this.tell({ kind: 'drainListeners' });
  }

  async close(): Promise<void> {
    this.#stopStarting();
    const workers = [...this.#workers.values(), ...this.#joining];
    for (const worker of workers) worker.release();
    const patience = setTimeout(() => {
      for (const worker of workers) worker.kill();
    }, END_LIMIT_MS);
    await Promise.all(workers.map(({ ended }) => ended));
    clearTimeout(patience);
  }

  #stopStarting(): void {
    this.#closing = true;
    this.#counts.close();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Resolves when the worker serves, or has ended. */
  async #start(index: number, backoff: Backoff): Promise<void> {
    const { start, program, output, logLevel, log } = this.options;
    const worker = new WorkerProcess({
      program,
      output,
      onEjected: (ejection) => {
        this.tell({ kind: 'ejected', ejection }, worker);
        this.options.onEjected(ejection);
      },
      onCount: (count, received) => {
        if (this.#workers.get(index) === worker) this.#balance.told(index, count, received);
      },
      onConnection: (key, connection) => {
        this.#counts.soon();
        // Others may have fewer still.
        if (!this.give(key, connection)) this.options.onConnection(key, connection);
      },
    });
    this.#joining.add(worker);
    void worker.ended.then(({ code, signal }) => this.#replace(index, worker, backoff, { code, signal }));
    try {
      await worker.start({ ...start, index, logLevel: logLevel() }, ANSWER_LIMIT_MS);
      await this.#join(index, worker);
    } catch (error) {
      if (this.#closing) return;
      log('error', 'a worker cannot start', { worker: index, pid: worker.pid, reason: (error as Error).message });
      worker.kill();
    }
  }

  /** Gives a worker what is in effect, when nothing is being changed. */
  async #join(index: number, worker: WorkerProcess): Promise<void> {
    const leave = await this.#enter();
    try {
      if (this.#inEffect !== undefined) {
        const problems = await this.#prepareIn(worker, this.#inEffect);
        if (problems.length > 0) throw new ConfigRejected(problems);
        await this.#settleIn(worker, 'commit', this.#inEffect.sockets);
      }
      if (!this.#joining.delete(worker)) return;
      this.#workers.set(index, worker);
      this.#balance.told(index, 0, 0);
      worker.tell({ kind: 'connections', count: this.options.connections(), received: 0 });
      this.options.log('info', 'a worker serves', { worker: index, pid: worker.pid });
    } finally {
      leave();
    }
  }

  #replace(index: number, worker: WorkerProcess, backoff: Backoff, end: object): void {
    this.#joining.delete(worker);
    if (this.#workers.get(index) === worker) this.#workers.delete(index);
    this.#balance.forget(index);
    if (worker.observation !== undefined) {
      const left = remains(worker.observation);
      this.#ended = this.#ended === undefined ? left : addEnded(this.#ended, left);
    }
    if (this.#closing) return;
    const longLived = performance.now() - worker.startedMs > LONG_LIVED_MS;
    if (longLived) backoff.reset();
    const restartInMs = longLived ? 0 : Math.round(backoff.nextMs());
    this.options.log('error', 'a worker has ended, and is replaced; the others serve', {
      worker: index,
      pid: worker.pid,
      ...end,
      restartInMs,
    });
    this.restarts++;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#start(index, backoff);
    }, restartInMs);
    this.#timers.add(timer);
  }

  /** One that is gone, or does not answer, has no objections: it is replaced by one that begins with what is in effect then. */
  async #prepareIn(worker: WorkerProcess, { config, sockets }: InEffect): Promise<readonly ConfigProblem[]> {
    for (const { key, handle } of sockets) if (!worker.sockets.has(key)) worker.tell({ kind: 'socket', key }, handle);
    try {
      return (await worker.ask({ kind: 'prepare', config: worker.sender.delta(config) }, ANSWER_LIMIT_MS)) ?? [];
    } catch (error) {
      this.#giveUp(worker, error as Error);
      return [];
    }
  }

  async #settleIn(worker: WorkerProcess, kind: 'commit' | 'abandon', sockets: readonly SharedSocket[]): Promise<void> {
    try {
      await worker.ask({ kind }, ANSWER_LIMIT_MS);
      if (kind === 'abandon') return;
      worker.sender.committed();
      worker.sockets = new Set(sockets.map(({ key }) => key));
    } catch (error) {
      this.#giveUp(worker, error as Error);
    }
  }

  #giveUp(worker: WorkerProcess, error: Error): void {
    // That it has ended is logged there.
    if (!(error instanceof WorkerGone && error.why === 'ended')) {
      this.options.log('error', 'a worker does not take the configuration', { pid: worker.pid, reason: error.message });
    }
    worker.kill();
  }

  /** Waits until nobody else changes what is in effect. Resolves to what ends the own turn. */
  async #enter(): Promise<() => void> {
    let leave = () => {};
    const before = this.#turn;
    this.#turn = new Promise((resolve) => {
      leave = resolve;
    });
    await before;
    return leave;
  }
}
