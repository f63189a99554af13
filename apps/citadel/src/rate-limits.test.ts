// Limits: bursts, rates, and identities that are forgotten.
import { describe, expect, it } from 'vitest';
import { createRateLimits } from './rate-limits.js';

describe('createRateLimits', () => {
  it('gives the burst, then the rate, for each identity and for all together', () => {
    let now = 0;
    const limits = createRateLimits(
      { identity: { perSecond: 1, burst: 2 }, total: { perSecond: 1, burst: 3 } },
      () => now,
    );
    expect(['a', 'a', 'a', 'b', 'b'].map((identity) => limits.take(identity))).toEqual([
      'ok',
      'ok',
      'identity',
      'ok',
      'total',
    ]);
    now = 1_000;
    expect(['a', 'b'].map((identity) => limits.take(identity))).toEqual(['ok', 'total']);
  });

  it('forgets identities that are back to full, and only those', () => {
    let now = 0;
    const limits = createRateLimits(
      { identity: { perSecond: 1, burst: 1 }, total: { perSecond: 1, burst: 1e9 } },
      () => now,
    );
    for (let index = 0; index < 10_000; index++) limits.take(`id-${index}`);
    expect(limits.take('id-0')).toBe('identity');
    now = 5_000;
    limits.take('one-more');
    expect(limits.take('id-0')).toBe('ok');
    expect(limits.take('id-0')).toBe('identity');
  });
});
