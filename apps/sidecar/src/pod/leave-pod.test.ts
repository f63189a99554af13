// Pod mode: a proxy that leaves serves on, for its time or until nobody is connected.

import { expect, test } from 'vitest';
import { leavePod } from './leave-pod.js';

function recorded(connections: number[]) {
  const calls: string[] = [];
  const sidecar = {
    leave: () => void calls.push('leave'),
    connections: async () => {
      calls.push('look');
      return connections.shift() ?? 0;
    },
    stop: async () => void calls.push('stop'),
  };
  return { calls, sidecar };
}

test('asks clients to leave, waits, and stops', async () => {
  const { calls, sidecar } = recorded([3]);
  const startMs = performance.now();
  await leavePod(sidecar, { durationMs: 50, untilNobody: false, minimumMs: 10_000 }, 1);
  expect(calls).toEqual(['leave', 'stop']);
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(45);
});

test('waits until nobody is connected where it is told to, however long that takes', async () => {
  const { calls, sidecar } = recorded([2, 1, 0]);
  await leavePod(sidecar, { durationMs: 10_000, untilNobody: true, minimumMs: 1 }, 1);
  expect(calls).toEqual(['leave', 'look', 'look', 'look', 'stop']);
});
