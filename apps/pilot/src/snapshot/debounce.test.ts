// Snapshot: when joined changes are acted on.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Debounce } from './debounce.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('acts once after the changes stopped, with the time of the first', () => {
  const act = vi.fn();
  const debounce = new Debounce({ quietMs: 100, maxMs: 10_000, act });
  const firstChangeMs = Date.now();
  for (let change = 0; change < 5; change++) {
    debounce.changed();
    vi.advanceTimersByTime(60);
  }
  expect(act).not.toHaveBeenCalled();
  vi.advanceTimersByTime(100);
  expect(act.mock.calls).toEqual([[firstChangeMs]]);
});

test('acts at the latest after the maximum, however often something changes', () => {
  const act = vi.fn();
  const debounce = new Debounce({ quietMs: 100, maxMs: 1000, act });
  for (let change = 0; change < 21; change++) {
    debounce.changed();
    vi.advanceTimersByTime(50);
  }
  expect(act).toHaveBeenCalledTimes(1);
});

test('flush acts at once and only if there was a change; stop forgets', () => {
  const act = vi.fn();
  const debounce = new Debounce({ quietMs: 100, maxMs: 1000, act });
  debounce.flush();
  expect(act).not.toHaveBeenCalled();
  debounce.changed();
  debounce.flush();
  expect(act).toHaveBeenCalledTimes(1);
  debounce.changed();
  debounce.stop();
  vi.advanceTimersByTime(5000);
  expect(act).toHaveBeenCalledTimes(1);
});
