// Resilience through a real sidecar, two seconds each; test/long/resilience.ts does the same for longer.

import { expect, test } from 'vitest';
import { SCENARIOS } from './scenarios.js';

test.each(Object.entries(SCENARIOS))('%s', async (_name, scenario) => {
  const { seen, faults } = await scenario({ perSecond: 1000, seconds: 2 });
  expect(faults, seen).toEqual([]);
});
