// Back-off: jittered, exponential, bounded.

import {
  createCore,
  POLICY_RETRY_BACKOFF_BASE_MS,
  POLICY_RETRY_BACKOFF_MAX_MS,
  STABLE_REGION,
} from '@lateen/filters-wasm';
import { describe, expect, it } from 'vitest';
import { backoffMs } from './retry-policy.js';

describe('backoffMs', () => {
  it('doubles up to ten times the base, from 25 ms where nothing is set', () => {
    const core = createCore();
    const most = (retry: number): number => backoffMs(core, STABLE_REGION, retry, () => 1);
    expect([1, 2, 3, 4, 9].map(most)).toEqual([25, 75, 175, 250, 250]);
    core.i32[(STABLE_REGION + POLICY_RETRY_BACKOFF_BASE_MS) >> 2] = 10;
    core.i32[(STABLE_REGION + POLICY_RETRY_BACKOFF_MAX_MS) >> 2] = 50;
    expect([1, 2, 3, 4].map(most)).toEqual([10, 30, 50, 50]);
    expect(backoffMs(core, STABLE_REGION, 1, () => 0)).toBe(0);
  });
});
