// Processes: one child that is kept running: started, restarted with back-off when it ends, stopped on request.

import { type ChildProcess, spawn } from 'node:child_process';
import type { Logger } from '@lateen/telemetry';
import { rotateLog, withLogFile } from './log-file.js';
import type { Reaper } from './reaper.js';

const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 10_000;
/** A child that ran this long gets a fresh start of the back-off. */
const STABLE_AFTER_MS = 10_000;
const DEFAULT_GRACE_MS = 5000;

/** What to run. Made anew at each start, so that ports and addresses are the current ones. */
export interface LaunchPlan {
  readonly command: string;
  readonly args: readonly string[];
  readonly workingDirectory: string;
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** True for our own processes: `--exit-with-parent` watches a pipe from us on standard input. */
  readonly holdsInput: boolean;
}

/** `waiting` is the time between an end and the next start. */
export type ProcessState = 'running' | 'waiting' | 'stopped';

export interface StopOptions {
  readonly signal?: NodeJS.Signals;
  /** After this time SIGKILL follows. */
  readonly graceMs?: number;
}

export interface ManagedProcessOptions {
  readonly name: string;
  readonly plan: () => Promise<LaunchPlan>;
  readonly reaper: Reaper;
  readonly logger: Logger;
  /** Called after every change of `state`. */
  readonly onChange: () => void;
}

export class ManagedProcess {
  readonly #options: ManagedProcessOptions;
  #wanted = false;
  #child: ChildProcess | undefined;
  #backoffMs = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;
  #launching = false;
  #restarts = 0;
  #lastEnd: string | undefined;
  #startedAtMs: number | undefined;
  #logFile: string | undefined;

  constructor(options: ManagedProcessOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get state(): ProcessState {
    if (this.#child !== undefined) return 'running';
    return this.#wanted ? 'waiting' : 'stopped';
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** How the last run ended, for people. */
  get lastEnd(): string | undefined {
    return this.#lastEnd;
  }

  get startedAtMs(): number | undefined {
    return this.#startedAtMs;
  }

  /** Starts the child, and again whenever it ends, until `stop`. */
  start(): void {
    this.#wanted = true;
    this.#backoffMs = FIRST_BACKOFF_MS;
    clearTimeout(this.#timer);
    this.#launch();
  }

  /** Ends the child and keeps it down. Resolves when it is gone. */
  async stop(options: StopOptions = {}): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined || child.pid === undefined) {
      this.#options.onChange();
      return;
    }
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.#signal(child.pid, options.signal ?? 'SIGTERM');
    const killer = setTimeout(() => this.#signal(child.pid!, 'SIGKILL'), options.graceMs ?? DEFAULT_GRACE_MS);
    await gone;
    clearTimeout(killer);
  }

  /** Ends the child by force; it starts again unless it was stopped. */
  kill(): void {
    if (this.pid !== undefined) this.#signal(this.pid, 'SIGKILL');
  }

  /** Keeps the log within its bound. */
  rotateLog(): void {
    if (this.#logFile !== undefined) rotateLog(this.#logFile);
  }

  /** The child leads a process group, so that what it starts itself ends with it. */
  #signal(pid: number, signal: NodeJS.Signals): void {
    if (this.#child?.pid !== pid) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #launch(): void {
    if (this.#child !== undefined || this.#launching) return;
    this.#launching = true;
    this.#options
      .plan()
      .then((plan) => {
        if (this.#wanted) this.#spawn(plan);
      })
      .catch((error: Error) => this.#ended(`could not be started: ${error.message}`))
      .finally(() => {
        this.#launching = false;
      });
  }

  #spawn(plan: LaunchPlan): void {
    this.#logFile = plan.logFile;
    const child = withLogFile(plan.logFile, (log) =>
      spawn(plan.command, plan.args, {
        cwd: plan.workingDirectory,
        env: plan.env,
        detached: true,
        stdio: [plan.holdsInput ? 'pipe' : 'ignore', log, log],
      }),
    );
    child.stdin?.on('error', () => {
      // The child closed its end; its exit is what counts.
    });
    if (child.pid === undefined) {
      child.once('error', (error) => this.#ended(`could not be started: ${error.message}`));
      return;
    }
    const pid = child.pid;
    this.#child = child;
    this.#startedAtMs = Date.now();
    this.#options.reaper.watch(pid);
    child.once('error', (error) => this.#options.logger.warn({ process: this.name, error }, 'child process error'));
    child.once('exit', (code, signal) => {
      this.#child = undefined;
      this.#options.reaper.forget(pid);
      if (Date.now() - (this.#startedAtMs ?? 0) >= STABLE_AFTER_MS) this.#backoffMs = FIRST_BACKOFF_MS;
      this.#ended(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    this.#options.onChange();
  }

  #ended(how: string): void {
    this.#lastEnd = how;
    if (this.#wanted) {
      const delayMs = this.#backoffMs;
      this.#backoffMs = Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2);
      this.#restarts++;
      this.#options.logger.warn(
        { process: this.name, how, restartInMs: delayMs },
        'a process ended; starting it again',
      );
      this.#timer = setTimeout(() => this.#launch(), delayMs);
    }
    this.#options.onChange();
  }
}
