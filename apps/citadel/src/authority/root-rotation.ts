// Authority: replaces the root step by step. Each step is decided on disk before anything acts on it, so that a restart at any
// moment goes on where the last process was, or takes back what nobody has seen.
//
//   make        a new root is made and stored
//   distribute  both roots stand in every bundle; the old one still signs, until everybody knows the new one
//   issue       the new root signs; both are trusted until nobody holds a certificate of the old one
//   remove      the old root leaves the bundles and its key is erased
//
// A holder that does not follow is waited for as long as the grace time says. The new root is not cross-signed by the old
// one: roots have path length 0, so that none can make another authority, and whoever knows both roots needs no such bridge.

import type { Logger, PastRotation, Rotation } from '@lateen/telemetry';
import { faultPoint } from './fault-point.js';
import type { Holder, Holders } from './holders.js';
import type { OwnRoots } from './own-roots.js';
import type { RootState } from './root-state.js';

/** Thrown where a rotation cannot begin; the message is for who asked. */
export class RotationRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RotationRefused';
  }
}

export interface RootRotationOptions {
  readonly roots: OwnRoots;
  readonly holders: Holders;
  /** Fills the holders from the journal. */
  readonly readHolders: () => Promise<void>;
  /** Told of each step, for the journal. Rejects where it cannot be written. */
  readonly record: (step: string, rotation: Rotation) => Promise<void>;
  /** False where others issue certificates too, of whom the journal knows nothing: each step waits for the whole grace time then. */
  readonly journalIsComplete?: boolean;
  /** How long everybody must have followed before the next step; covers what is on its way. */
  readonly settleMs?: number;
  readonly logger: Logger;
  /** The state cannot be written any more: another process owns it, or the disk is full. */
  readonly onFailure: (error: Error) => void;
}

export interface RotationStatus {
  readonly rotation: Rotation | undefined;
  readonly last: PastRotation | undefined;
  /** Whom the present step waits for. */
  readonly waitingFor: readonly Holder[];
}

const SETTLE_MS = 3_000;
/** Whoever asked when the last process was killed may not have got the answer, and asks again within this time. */
const SETTLE_AFTER_RESTART_MS = 40_000;
const LOOK_MS = 200;

export class RootRotation {
  readonly #options: RootRotationOptions;
  #running: Promise<void> | undefined;
  #starting = false;
  /** The first step that an earlier process began. */
  #resumed = false;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(options: RootRotationOptions) {
    this.#options = options;
  }

  get status(): RotationStatus {
    const { rotation, last } = this.#options.roots.state;
    return { rotation, last, waitingFor: rotation === undefined ? [] : this.#waitingFor(rotation) };
  }

  /** Goes on with a rotation that an earlier process began. Call it before the first certificate is issued. */
  async resume(): Promise<void> {
    const { roots, readHolders, logger } = this.#options;
    const { rotation } = roots.state;
    if (rotation === undefined) return;
    if (rotation.step === 'make') {
      await this.#rollBack(rotation);
      logger.warn({ to: rotation.to }, 'took back a rotation whose new root was not complete');
      return;
    }
    await readHolders();
    logger.info({ ...rotation }, 'going on with the rotation of the root');
    this.#resumed = true;
    this.#run();
  }

  /** Begins a rotation; resolves when the new root is stored and on its way to everybody. @throws RotationRefused */
  async start(graceSeconds: number, requestedBy: string): Promise<Rotation> {
    const { roots, readHolders } = this.#options;
    const { state } = roots;
    if (state.rotation !== undefined || this.#starting) {
      throw new RotationRefused('a rotation of the root is under way; see `lateenctl ca status`');
    }
    this.#starting = true;
    try {
      await readHolders();
      const root = await roots.make();
      const now = new Date().toISOString();
      const common = { from: state.issuing, to: root.id, graceSeconds, requestedBy, startedAt: now, stepSince: now };
      const making: Rotation = { ...common, step: 'make' };
      await this.#commit({ ...state, rotation: making });
      faultPoint('make:decided');
      await roots.add(root).catch(async (error) => {
        await this.#rollBack(making);
        throw error;
      });
      faultPoint('make:stored');
      const rotation = await this.#enter(making, 'distribute', [state.issuing, root.id]);
      faultPoint('distribute:decided');
      this.#run();
      return rotation;
    } catch (error) {
      // Decided and not carried out: nobody here would go on with it, and none could begin. A restart does, or takes it back.
      if (roots.state.rotation !== undefined) this.#options.onFailure(error as Error);
      throw error;
    } finally {
      this.#starting = false;
    }
  }

  /** Stops where it is; a later process goes on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#running;
  }

  #run(): void {
    this.#running ??= this.#steps()
      .catch((error: Error) => this.#options.onFailure(error))
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #steps(): Promise<void> {
    const { roots } = this.#options;
    for (;;) {
      const { rotation } = roots.state;
      if (rotation === undefined || this.#stopped) return;
      await roots.publish();
      const { from, to } = rotation;
      if (rotation.step === 'distribute') {
        faultPoint('distribute:bundle');
        if (!(await this.#followed(rotation))) return;
        faultPoint('distribute:followed');
        await this.#enter(rotation, 'issue', [to, from]);
        faultPoint('issue:decided');
      } else if (rotation.step === 'issue') {
        faultPoint('issue:bundle');
        if (!(await this.#followed(rotation))) return;
        faultPoint('issue:followed');
        await this.#enter(rotation, 'remove', [to]);
        faultPoint('remove:decided');
      } else {
        faultPoint('remove:bundle');
        await roots.erase(from);
        faultPoint('remove:erased');
        await this.#end(rotation, 'completed');
      }
    }
  }

  /** Waits until all have followed, or the grace time is over. False where the process is to stop. */
  async #followed(rotation: Rotation): Promise<boolean> {
    const { logger } = this.#options;
    const settleMs = this.#resumed ? SETTLE_AFTER_RESTART_MS : (this.#options.settleMs ?? SETTLE_MS);
    this.#resumed = false;
    const graceEndsMs = Date.parse(rotation.stepSince) + rotation.graceSeconds * 1000;
    let allSinceMs: number | undefined;
    // Other replicas follow what was decided a little later.
    const blindUntilMs = Math.max(graceEndsMs, Date.parse(rotation.stepSince) + (this.#options.settleMs ?? SETTLE_MS));
    while (!this.#stopped) {
      const left = this.#waitingFor(rotation);
      const nowMs = Date.now();
      if (this.#options.journalIsComplete === false) {
        if (nowMs >= blindUntilMs) return true;
        await this.#pause();
        continue;
      }
      if (left.length > 0) allSinceMs = undefined;
      else allSinceMs ??= nowMs;
      if (allSinceMs !== undefined && nowMs - allSinceMs >= settleMs) return true;
      if (left.length > 0 && nowMs >= graceEndsMs) {
        const names = left.slice(0, 20).map(({ name }) => name);
        logger.warn(
          { step: rotation.step, count: left.length, names },
          'the grace time is over; some have not followed',
        );
        return true;
      }
      await this.#pause();
    }
    return false;
  }

  async #rollBack(rotation: Rotation): Promise<void> {
    await this.#options.roots.erase(rotation.to);
    await this.#end(rotation, 'rolled back');
  }

  #waitingFor({ step, from, to }: Rotation): Holder[] {
    const { holders } = this.#options;
    if (step === 'distribute') return holders.notKnowing(to);
    return step === 'issue' ? holders.certifiedBy(from) : [];
  }

  async #enter(rotation: Rotation, step: Rotation['step'], trusted: readonly string[]): Promise<Rotation> {
    const { roots } = this.#options;
    const next = { ...rotation, step, stepSince: new Date().toISOString() };
    await this.#commit({ ...roots.state, issuing: trusted[0] as string, trusted, rotation: next });
    return next;
  }

  async #commit(state: RootState & { readonly rotation: Rotation }): Promise<void> {
    const { roots, record, logger } = this.#options;
    await roots.commit(state);
    const { step } = state.rotation;
    logger.info({ ...state.rotation }, `rotation of the root: ${step}`);
    await record(step, state.rotation);
  }

  async #end(rotation: Rotation, outcome: PastRotation['outcome']): Promise<void> {
    const { roots, record, logger } = this.#options;
    const { from, to, requestedBy, startedAt } = rotation;
    const last = { outcome, from, to, requestedBy, startedAt, endedAt: new Date().toISOString() };
    const { issuing, trusted } = roots.state;
    await roots.commit({ format: 1, issuing, trusted, last });
    logger.info(last, `rotation of the root: ${outcome}`);
    await record(outcome, rotation);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
