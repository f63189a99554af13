// Configuration: with which change a version came.

import { expect, it } from 'vitest';
import { Arrivals } from './arrivals.js';

const TYPE = 'networking.istio.io/VirtualService';

it('tells the first change that holds a version', () => {
  const arrivals = new Arrivals();
  expect(arrivals.changeOf(TYPE, 1)).toBeUndefined();
  arrivals.note(TYPE, '4', 1);
  arrivals.note(TYPE, '9', 2);
  arrivals.note('other', '12', 3);
  expect([3, 4, 5, 9].map((version) => arrivals.changeOf(TYPE, version))).toEqual([1, 1, 2, 2]);
  expect(arrivals.changeOf(TYPE, 10)).toBeUndefined();
  expect(arrivals.newestOf(TYPE)).toBe(2);
});

it('forgets what it knew where the versions begin anew, and takes no version that is none', () => {
  const arrivals = new Arrivals();
  arrivals.note(TYPE, '40', 1);
  arrivals.note(TYPE, '2', 2);
  arrivals.note(TYPE, '', 3);
  arrivals.note(TYPE, 'v50', 4);
  expect(arrivals.changeOf(TYPE, 2)).toBe(2);
  expect(arrivals.changeOf(TYPE, 3)).toBeUndefined();
});

it('keeps a bounded number of versions; older ones are held by those that it has', () => {
  const arrivals = new Arrivals();
  for (let version = 1; version <= 1000; version++) arrivals.note(TYPE, String(version), version);
  expect(arrivals.changeOf(TYPE, 1000)).toBe(1000);
  expect(arrivals.changeOf(TYPE, 1)).toBeGreaterThan(700);
});
