// Test cluster: one program of a cluster as a process: started, killed, started again; its output goes to a file.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { waitUntil } from '../../harness/wait-until.js';

/** An API server would wait a minute for its watchers. */
const FORCED_AFTER_MS = 5_000;

export interface Component {
  readonly name: string;
  readonly logFile: string;
  readonly pid: number | undefined;
  /** Starts it, where it does not run. */
  start(): void;
  /** Ends it, by force after five seconds, and waits until it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  isRunning(): boolean;
  /** The end of its log, for the text of an error. */
  lastLines(count?: number): string;
}

/** A process that is not started yet. Its standard input stays open as long as this process lives. */
export function createComponent(name: string, program: string, args: readonly string[], logFile: string): Component {
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name,
    logFile,
    get pid() {
      return child?.pid;
    },
    start() {
      if (isRunning()) return;
      const log = openSync(logFile, 'a');
      const started = spawn(program, args, { stdio: ['pipe', log, log], env: componentEnvironment() });
      closeSync(log);
      ended = new Promise((resolve) => {
        started.once('exit', () => resolve());
        started.once('error', () => resolve());
      });
      child = started;
    },
    async stop(signal = 'SIGTERM') {
      if (!isRunning()) return;
      child?.kill(signal);
      const forced = setTimeout(() => child?.kill('SIGKILL'), FORCED_AFTER_MS);
      await ended;
      clearTimeout(forced);
    },
    isRunning,
    lastLines: (count = 15) => readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n'),
  };
}

/** Waits until the component says that it is well. @throws Error with the end of its log when it ends before, or does not become so */
export async function waitUntilHealthy(
  component: Component,
  isHealthy: () => Promise<boolean>,
  timeoutMs = 120_000,
): Promise<void> {
  const failed = (what: string) => new Error(`${component.name} ${what}; its log ends\n${component.lastLines()}`);
  const outcome = await waitUntil(
    `${component.name} to be healthy`,
    async () => (component.isRunning() ? (await isHealthy().catch(() => false)) && 'healthy' : 'ended'),
    timeoutMs,
    50,
  ).catch(() => 'late');
  if (outcome === 'ended') throw failed('ended while it started');
  if (outcome === 'late') throw failed(`was not healthy after ${timeoutMs} ms`);
}

/** What programs of Kubernetes read from the environment must not come from whoever runs the tests. */
function componentEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME = '/', LANG } = process.env;
  // The Go programs of the control plane share two cores with the tests.
  return { PATH, HOME, ...(LANG === undefined ? {} : { LANG }), GOGC: '100' };
}
