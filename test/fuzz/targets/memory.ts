// Fuzzing of a process: whether its memory has grown beyond what caches and garbage explain.

import type { ProxyUnderTest } from '../../security/proxy-under-test.js';

const MAX_GROWTH_MIB = 120;

/** Words on the growth of its resident memory, or undefined where that is as it should be. */
export async function memoryFault(proxy: ProxyUnderTest, firstRssMiB: number): Promise<string | undefined> {
  const growth = proxy.rssMiB() - firstRssMiB;
  return growth > MAX_GROWTH_MIB ? `resident memory has grown by ${growth.toFixed(0)} MiB` : undefined;
}
