// Times of renewal and retry.
import { describe, expect, it } from 'vitest';
import { renewAfterMs, retryAfterMs } from './renewal-times.js';

describe('renewAfterMs', () => {
  it('is the life less the grace period, give or take a hundredth', () => {
    expect([0, 0.5, 1].map((random) => renewAfterMs(1000, 0.5, () => random))).toEqual([490, 500, 510]);
    expect(renewAfterMs(20_000, 0.9, () => 0.5)).toBeCloseTo(2_000);
  });
});

describe('retryAfterMs', () => {
  const waits = (leftMs: number) => [1, 2, 3, 8, 100].map((failures) => retryAfterMs(failures, leftMs, () => 0.5));
  it('doubles up to 30 s with a certificate, up to 2 s without', () => {
    expect(waits(86_400_000)).toEqual([100, 200, 400, 12_800, 30_000]);
    expect(waits(0)).toEqual([100, 200, 400, 2_000, 2_000]);
  });
  it('leaves time for several tries before the certificate ends', () => {
    expect(waits(4_000)).toEqual([100, 200, 400, 1_000, 1_000]);
    expect(waits(10)).toEqual([100, 100, 100, 100, 100]);
  });
});
