// Fuzzing: one target in a thread of its own, so that an endless loop in it can be seen and ended from outside.

import { parentPort, workerData } from 'node:worker_threads';
import { targetNamed } from '../targets/all-targets.js';
import { fuzz } from './fuzz-loop.js';
import { INPUT_OFFSET, LENGTH_INDEX, SEQUENCE_INDEX, type WorkerData } from './worker-protocol.js';

const { target: name, milliseconds, seed, shared } = workerData as WorkerData;
const header = new Int32Array(shared, 0, 2);
const bytes = new Uint8Array(shared, INPUT_OFFSET);

const target = targetNamed(name);
await target.start();
try {
  const report = await fuzz(target, {
    milliseconds,
    seed,
    onInput: (input) => {
      bytes.set(input.subarray(0, bytes.length));
      Atomics.store(header, LENGTH_INDEX, Math.min(input.length, bytes.length));
      Atomics.add(header, SEQUENCE_INDEX, 1);
    },
  });
  parentPort?.postMessage(report);
} finally {
  await target.stop();
}
