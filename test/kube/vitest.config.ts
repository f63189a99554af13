// Test runner of `npm run test:kube`, which starts it in namespaces of its own (tools/test-kube.mjs).
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/kube/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 60_000,
    // Go builds what is not in a cluster yet; a cluster starts.
    hookTimeout: 600_000,
    expect: { poll: { timeout: 60_000, interval: 100 } },
    // One cluster has the network of the tests for itself.
    fileParallelism: false,
  },
});
