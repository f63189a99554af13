// Processes: the supervisor's end of the reaper, which ends all children should the supervisor be killed.

import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { processStartTime } from './process-identity.js';

/** Beside the bundle; while testing from sources, the compiled file. */
const REAPER_PROGRAM = fileURLToPath(new URL('./reaper.js', import.meta.url));

const RESTART_DELAY_MS = 250;

export interface Reaper {
  readonly pid: number | undefined;
  /** Tells of a child that leads a process group of its own. */
  watch(pid: number): void;
  /** The child has ended and must not be signalled any more. */
  forget(pid: number): void;
  /** Closes the reaper; it ends what is still watched. Resolves when it is gone. */
  close(): Promise<void>;
}

/** Starts the reaper; one that dies is started again and told everything anew. */
export function startReaper(program = REAPER_PROGRAM): Reaper {
  const watched = new Map<number, string>();
  let closing = false;
  let child = start();

  function start(): ChildProcess {
    const started = spawn(process.execPath, ['--max-old-space-size=32', program], {
      stdio: ['pipe', 'inherit', 'inherit'],
      detached: true,
      env: {},
    });
    started.stdin?.on('error', () => {
      // EPIPE when it died between two lines: the exit handler below starts another.
    });
    started.once('exit', () => {
      if (closing) return;
      const timer = setTimeout(() => {
        if (!closing) child = start();
      }, RESTART_DELAY_MS);
      timer.unref();
    });
    for (const [pid, startTime] of watched) started.stdin?.write(`+${pid} ${startTime}\n`);
    return started;
  }

  return {
    get pid() {
      return child.pid;
    },
    watch: (pid) => {
      const startTime = processStartTime(pid) ?? '';
      watched.set(pid, startTime);
      child.stdin?.write(`+${pid} ${startTime}\n`);
    },
    forget: (pid) => {
      watched.delete(pid);
      child.stdin?.write(`-${pid}\n`);
    },
    close: () =>
      new Promise((resolve) => {
        closing = true;
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once('exit', () => resolve());
        child.stdin?.end();
      }),
  };
}
