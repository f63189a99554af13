// Workers: what a worker does: serves as the first process of its proxy tells it, with sockets and a configuration from there.

import { createLogger, type Logger } from '@lateen/telemetry';
import { createControlPlaneChannel } from '../config/ads-transport.js';
import { parseBootstrap, type SidecarBootstrap } from '../config/bootstrap.js';
import {
  ConfigRejected,
  type DataPlane,
  type DataPlaneOptions,
  type PreparedConfig,
  type TlsSecret,
} from '../data-plane.js';
import { type ClientHandle, SocketListener } from '../downstream/socket-listener.js';
import { AccessLogs } from '../observe/access-logs.js';
import { CheckpointClient } from '../observe/audit/checkpoint-client.js';
import { QuotaSession } from '../quota/quota-session.js';
import { Balance, CountTeller } from './balance.js';
import { ConfigReceiver } from './config-delta.js';
import { connectionLimitsOf } from './connection-limits.js';
import { type Observation, observe } from './observation.js';
import { ToldIdentity } from './told-identity.js';
import type { Answers, FromWorker, Notice, Question, ToWorker, WorkerStart } from './worker-messages.js';

const FIRST = 0;
/** So much may be lost of what a worker has counted when it is killed. */
const OBSERVED_EVERY_MS = 1_000;
/** Of a worker's time at most: with very many clusters it is told less often. */
const OBSERVING_SHARE = 0.02;

export interface WorkerParts {
  readonly createDataPlane: (options: DataPlaneOptions) => Promise<DataPlane>;
  /** Called once, when the first configuration is in effect. */
  readonly onReady: () => void;
}

/** Serves until the first process lets go of this one. */
export function runWorker(parts: WorkerParts): void {
  // Those who end a group of processes, as a terminal does: the first one drains all of them.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
  // The first process is gone, or has nothing to do for this one any more.
  process.on('disconnect', () => process.exit(0));
  let worker: Promise<Worker> | undefined;
  // What is told is done in its order; questions about what is seen do not wait for what takes time.
  let turn: Promise<unknown> = Promise.resolve();
  process.on('message', (message: ToWorker, handle: unknown) => {
    if (message.kind === 'start') {
      worker = Worker.start(message.start, parts);
      turn = answer(
        message.id,
        worker.then(() => undefined),
      );
      return;
    }
    if (message.kind === 'connection') {
      const connection = handle as ClientHandle;
      // A client waits for it, so what is being compiled is not waited for, unless its listener is to come with that.
      void (worker as Promise<Worker>).then((started) => {
        started.noteReceived();
        if (started.dataPlane.takeConnection(message.key, connection)) return;
        turn = turn.then(() => started.dataPlane.takeConnection(message.key, connection) || connection.close());
      });
      return;
    }
    if (message.kind === 'connections') {
      void (worker as Promise<Worker>).then((started) => started.take(message, handle));
      return;
    }
    const act = async () => (await (worker as Promise<Worker>)).take(message, handle);
    const done = message.kind === 'observe' || message.kind === 'drain' ? act() : turn.then(act);
    const said = 'id' in message ? answer(message.id, done) : done.then(() => undefined);
    if (message.kind !== 'observe' && message.kind !== 'drain') turn = said;
  });
}

/** Never rejects. */
async function answer(id: number, done: Promise<unknown>): Promise<void> {
  try {
    tellFirst({ kind: 'answer', id, answer: await done });
  } catch (error) {
    tellFirst({ kind: 'failed', id, reason: (error as Error).message });
  }
}

function tellFirst(message: FromWorker): void {
  // Otherwise this process is about to end.
  if (process.connected) process.send?.(message, undefined, {}, () => undefined);
}

/** False where it cannot be given. */
function giveFirst(key: string, connection: ClientHandle): boolean {
  if (!process.connected) return false;
  process.send?.({ kind: 'connection', key }, connection, {}, () => connection.close());
  return true;
}

class Worker {
  readonly #receiver = new ConfigReceiver();
  #prepared: PreparedConfig | undefined;
  #committed = false;
  /** Connections of the first process, ever. */
  #received = 0;
  readonly #counts: CountTeller;
  #observedSum = 0;

  private constructor(
    private readonly index: number,
    private readonly parts: WorkerParts,
    private readonly logger: Logger,
    private readonly accessLogs: AccessLogs,
    private readonly identity: ToldIdentity,
    readonly dataPlane: DataPlane,
    private readonly quotas: QuotaSession | undefined,
    /** Sockets that came for the configuration that is to come. */
    private readonly handles: Map<string, { close(): void }>,
    private readonly balance: Balance,
  ) {
    this.#counts = new CountTeller(
      () => dataPlane.stats.downstreamCxActive,
      (count) => tellFirst({ kind: 'connections', count, received: this.#received }),
    );
    this.#tellLater(OBSERVED_EVERY_MS);
  }

  static async start(start: WorkerStart, parts: WorkerParts): Promise<Worker> {
    const { index, count, version } = start;
    const logger = createLogger('sidecar', start.logLevel).child({ worker: index });
    logger.level = start.logLevel;
    const log: NonNullable<DataPlaneOptions['log']> = (level, message, fields) => logger[level](fields, message);
    const bootstrap = parseBootstrap(start.bootstrap.text, start.bootstrap.path);
    const identity = new ToldIdentity();
    const checkpoints = start.citadel && new CheckpointClient({ ...start.citadel, identity, node: bootstrap.node.id });
    const accessLogs = new AccessLogs({
      log,
      node: bootstrap.node,
      // Nothing is logged before there is a data path.
      call: (target, message) => dataPlane.call(target, message),
      signCheckpoint: checkpoints?.sign,
      auditDirectory: start.auditDirectory,
      // A chain is one process's.
      auditSuffix: `.worker-${index}`,
      auditWriter: () => ({
        workload: identity.current?.spiffeId,
        node: bootstrap.node.id,
        version,
        worker: `${index}`,
      }),
    });
    const share = { index, count };
    const sockets = new Map<string, { close(): void }>();
    const dataPlane: DataPlane = await parts.createDataPlane({
      node: bootstrap.node,
      share,
      ticketSecret: start.ticketSecret,
      connectionLimits: connectionLimitsOf(bootstrap.connectionLimits, share),
      createAccessLogSink: (configs) => accessLogs.createSink(configs),
      quotaCluster: bootstrap.ads?.clusterName,
      openSocket: (key, _address, backlog, sharedRead) => {
        const handle = sockets.get(key);
        if (handle === undefined) throw new Error(`the first process has not given the socket of ${key}`);
        sockets.delete(key);
        return SocketListener.adopt(handle, backlog, sharedRead);
      },
      onEjected: (ejection) => tellFirst({ kind: 'ejected', ejection }),
      giveAway: (key, connection) => balance.choose() === FIRST && giveFirst(key, connection),
      log,
    });
    const balance = new Balance(() => dataPlane.stats.downstreamCxActive);
    const quotas = createQuotas(bootstrap, identity, dataPlane, index, log);
    return new Worker(index, parts, logger, accessLogs, identity, dataPlane, quotas, sockets, balance);
  }

  /** A connection has come, whatever becomes of it. */
  noteReceived(): void {
    this.#received++;
    this.#counts.soon();
  }

  take(
    message: Exclude<ToWorker, { readonly kind: 'connection' }>,
    handle: unknown,
  ): Promise<Answers[Question['kind']]> | undefined {
    return 'id' in message ? this.#answer(message) : this.#heed(message, handle);
  }

  async #answer(question: Question): Promise<Answers[Question['kind']]> {
    switch (question.kind) {
      case 'prepare':
        return this.#prepare(question.config);
      case 'commit':
        this.#commit();
        return undefined;
      case 'abandon':
        this.#prepared?.abandon();
        this.#prepared = undefined;
        this.#closeUnused();
        return undefined;
      case 'observe':
        return this.#seen();
      case 'drain':
        await this.dataPlane.drain(question.graceMs, () => this.accessLogs.closeCollectors());
        this.quotas?.close();
        await this.accessLogs.close();
        return this.#seen();
      case 'start':
        throw new Error('it has started already');
    }
  }

  #heed(notice: Exclude<Notice, { readonly kind: 'connection' }>, handle: unknown): undefined {
    switch (notice.kind) {
      case 'socket':
        this.handles.get(notice.key)?.close();
        this.handles.set(notice.key, handle as { close(): void });
        return;
      case 'connections':
        this.balance.told(FIRST, notice.count, notice.received);
        return;
      case 'secrets': {
        this.#takeSecrets(this.#receiver.secrets(notice.secrets));
        return;
      }
      case 'ejected':
        this.dataPlane.takeEjection(notice.ejection);
        return;
      case 'askToLeave':
        this.dataPlane.askToLeave();
        return;
      case 'drainListeners':
        this.dataPlane.drainListeners();
        return;
      case 'logLevel':
        this.logger.level = notice.level;
    }
  }

  #takeSecrets(secrets: ReadonlyMap<string, TlsSecret>): void {
    try {
      this.dataPlane.updateSecrets(secrets);
      this.identity.take(secrets);
    } catch (error) {
      const reason = (error as Error).message;
      this.logger.error({ reason }, 'the renewed certificate cannot be used; the previous one stays');
    }
  }

  async #prepare(delta: Parameters<ConfigReceiver['receive']>[0]): Promise<Answers['prepare']> {
    const config = this.#receiver.receive(delta);
    this.identity.take(config.secrets);
    try {
      this.#prepared = await this.dataPlane.prepare(config);
      return undefined;
    } catch (error) {
      if (error instanceof ConfigRejected) return error.problems;
      throw error;
    }
  }

  #commit(): void {
    if (this.#prepared === undefined) throw new Error('nothing is prepared');
    this.#prepared.commit();
    this.#prepared = undefined;
    this.#closeUnused();
    if (!this.#committed) this.parts.onReady();
    this.#committed = true;
  }

  #closeUnused(): void {
    for (const handle of this.handles.values()) handle.close();
    this.handles.clear();
  }

  #seen(): Observation {
    return observe(this.index, this.dataPlane, this.accessLogs);
  }

  #tellLater(delayMs: number): void {
    setTimeout(() => {
      const startMs = performance.now();
      this.#tellSeen();
      this.#tellLater(Math.max(OBSERVED_EVERY_MS, (performance.now() - startMs) / OBSERVING_SHARE));
    }, delayMs).unref();
  }

  /** Only where something has changed. */
  #tellSeen(): void {
    let sum = 0;
    for (const value of Object.values(this.dataPlane.stats)) if (typeof value === 'number') sum += value;
    if (sum === this.#observedSum) return;
    this.#observedSum = sum;
    tellFirst({ kind: 'observed', observation: this.#seen() });
  }
}

/** To the quota service a worker is a client as any proxy is, so that what is left of a quota is divided by who needs it. */
function createQuotas(
  { ads, node }: SidecarBootstrap,
  identity: ToldIdentity,
  { quotas: buckets }: DataPlane,
  index: number,
  log: NonNullable<DataPlaneOptions['log']>,
): QuotaSession | undefined {
  if (ads === undefined) return undefined;
  const nodeId = `${node.id}#worker-${index}`;
  return new QuotaSession({
    ...createControlPlaneChannel(ads, identity),
    buckets,
    nodeId,
    nowMs: () => performance.now(),
    log,
  });
}
