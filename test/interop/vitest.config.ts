// Test runner of `npm run test:interop`: systems beside a stock Envoy, two files at a time.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/interop/**/*.test.ts'],
    pool: 'forks',
    // Each file has proxies, servers and ports of its own, and waits more than it works.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
