// How many may wait for a change at once: each looks at all proxies again and again.

import { expect, test } from 'vitest';
import type { DistributionSources } from './distribution.js';
import { DistributionWaits, TooManyWaits } from './distribution-waits.js';

/** Galley has sent nothing yet. */
const SOURCES: DistributionSources = {
  arrivals: { changeOf: () => undefined, newestOf: () => undefined } as never,
  holds: () => false,
  snapshots: { current: undefined, covered: 0, missing: () => 'galley' },
  standings: () => [],
  proxyIdOf: () => '',
  statuses: () => [],
  addressesAreGiven: () => false,
};

test('no more than 64 wait at once, and who does not wait is always answered', async () => {
  const waits = new DistributionWaits(SOURCES, { newest: 1 });
  const query = { configs: [], absent: [], present: true, proxyIds: [], timeoutMs: 60_000 };
  const [leaving, all] = [new AbortController(), new AbortController()];
  const first = waits.wait(query, leaving.signal);
  const others = Array.from({ length: 63 }, () => waits.wait(query, all.signal));
  await expect(waits.wait(query, all.signal)).rejects.toThrow(TooManyWaits);
  expect(await waits.wait({ ...query, timeoutMs: 0 }, all.signal)).toMatchObject({ complete: false });
  leaving.abort();
  await first;
  const next = waits.wait(query, all.signal);
  await expect(waits.wait(query, all.signal)).rejects.toThrow(/^64 requests wait already/);
  all.abort();
  expect((await Promise.all([...others, next])).every(({ complete }) => !complete)).toBe(true);
});
