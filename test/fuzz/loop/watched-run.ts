// Fuzzing: runs a target in its thread and watches that it gets on; one that hangs is ended, and its input kept.

import { Worker } from 'node:worker_threads';
import type { Failure, LoopReport } from './fuzz-loop.js';
import { INPUT_OFFSET, LENGTH_INDEX, SEQUENCE_INDEX, sharedInput, type WorkerData } from './worker-protocol.js';

/** No input may take this long; those that wait for a process have a shorter limit of their own. */
const HANG_MS = 20_000;
const START_MS = 60_000;

export function runWatched(target: string, milliseconds: number, seed: number): Promise<LoopReport> {
  const shared = sharedInput();
  const workerData: WorkerData = { target, milliseconds, seed, shared };
  const header = new Int32Array(shared, 0, 2);
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    let seen = 0;
    let since = performance.now();
    const stuck = (what: string): LoopReport => {
      const length = Atomics.load(header, LENGTH_INDEX);
      const failure: Failure = { what, input: Buffer.from(new Uint8Array(shared, INPUT_OFFSET, length).slice()) };
      return { runs: seen, behaviours: 0, failures: [failure], notes: [] };
    };
    const watch = setInterval(() => {
      const now = Atomics.load(header, SEQUENCE_INDEX);
      if (now !== seen) {
        seen = now;
        since = performance.now();
      } else if (performance.now() - since > (seen === 0 ? START_MS : HANG_MS)) {
        finish(() => resolve(stuck(seen === 0 ? 'did not start' : `an input took more than ${HANG_MS / 1000} s`)));
      }
    }, 250);
    const finish = (settle: () => void) => {
      clearInterval(watch);
      void worker.terminate();
      settle();
    };
    worker.once('message', (report: LoopReport) => {
      const failures = report.failures.map(({ what, input }) => ({ what, input: Buffer.from(input) }));
      clearInterval(watch);
      worker.once('exit', () => resolve({ ...report, failures })); // it stops its processes first
    });
    worker.once('error', (error) => {
      if (seen === 0) finish(() => reject(error));
      else finish(() => resolve(stuck(`the thread ended: ${(error as Error).stack}`)));
    });
  });
}
