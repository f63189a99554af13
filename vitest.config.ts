// Test runner: first the unit and integration tests of every workspace, then the tests that start whole systems, one at a time.
import { defineConfig } from 'vitest/config';

const shared = {
  pool: 'forks',
  testTimeout: 60_000,
  hookTimeout: 60_000,
  // A busy machine needs more than the second that is the default.
  expect: { poll: { timeout: 20_000, interval: 50 } },
  exclude: ['**/node_modules/**', '**/dist/**'],
} as const;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: 'parts',
          include: [
            'packages/*/src/**/*.test.ts',
            'packages/*/test/**/*.test.ts',
            'apps/*/src/**/*.test.ts',
            'tools/**/*.test.ts',
            'test/{bench,conformance,fuzz}/**/*.test.ts',
          ],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'systems',
          // They start many processes each and keep time limits of their own: side by side they would starve each other.
          include: ['test/{contract,e2e,security,tasks}/**/*.test.ts'],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
