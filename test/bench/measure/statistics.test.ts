// Tests of the benchmark's arithmetic.

import { expect, test } from 'vitest';
import { cpuUsPerRequest, percentile, rotated, roundRatio, spread } from './statistics.js';

test('a spread has the middle value, or the mean of the two middle ones', () => {
  expect(spread([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 });
  expect(spread([4, 1, 2, 10])).toEqual({ min: 1, median: 3, max: 10 });
  expect(spread([1.23456])).toEqual({ min: 1.23, median: 1.23, max: 1.23 });
  expect(() => spread([])).toThrow(/no values/);
});

test('a percentile is the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  expect(percentile(hundred, 0.5)).toBe(50);
  expect(percentile(hundred, 0.99)).toBe(99);
  expect(percentile(hundred, 1)).toBe(100);
  expect(percentile([7], 0.99)).toBe(7);
  expect(percentile(hundred, 0)).toBe(1);
  expect(() => percentile([], 0.5)).toThrow(/no values/);
});

test('CPU for each request is the sum over the sum, not the mean of ratios', () => {
  const slices = [
    { cpuUs: 1000, requests: 100 },
    { cpuUs: 3000, requests: 100 },
    { cpuUs: 100, requests: 800 },
  ];
  expect(cpuUsPerRequest(slices)).toBeCloseTo(4.1);
  expect(() => cpuUsPerRequest([{ cpuUs: 5, requests: 0 }])).toThrow(/no request/);
});

test('a ratio within a round is not moved by a machine that slows for both', () => {
  const fast = [10, 20].map((cpu) => ({ cpuUs: cpu * 100, requests: 100 }));
  const slow = [15, 30].map((cpu) => ({ cpuUs: cpu * 100, requests: 100 }));
  expect(roundRatio(slow, fast)).toBeCloseTo(1.5);
});

test('rotation gives each its turn to be first', () => {
  expect(rotated(['a', 'b', 'c'], 0)).toEqual(['a', 'b', 'c']);
  expect(rotated(['a', 'b', 'c'], 4)).toEqual(['b', 'c', 'a']);
  expect(rotated([], 3)).toEqual([]);
});
