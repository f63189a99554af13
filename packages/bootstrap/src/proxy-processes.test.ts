// Pods: the number of a sidecar's processes.

import { expect, test } from 'vitest';
import { sidecarProcesses } from './proxy-processes.js';

test.each([
  [undefined, 8, 1],
  [1, 8, 1],
  [2, 8, 2],
  [0, 8, 8],
  [16, 8, 8],
  [2, 1, 1],
  [0, 128, 64],
])('concurrency %s on %i cores are %i processes', (concurrency, cores, processes) => {
  expect(sidecarProcesses(concurrency, cores)).toBe(processes);
});
