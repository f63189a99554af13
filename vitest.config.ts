// Test runner: first the tests of functions, then those of programs and their parts, then those that start whole systems, two at a time.
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
          name: 'packages',
          include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
          // Functions without state of a process: one process takes file after file, and loads the modules of all once.
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'parts',
          include: ['apps/*/src/**/*.test.ts', 'tools/**/*.test.ts', 'test/{bench,conformance,fuzz}/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...shared,
          name: 'contracts',
          // Two or three processes each, which wait for one another most of the time.
          include: ['test/{contract,security}/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...shared,
          name: 'systems',
          // They start many processes each and keep time limits of their own: side by side they would starve each other.
          include: ['test/e2e/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          ...shared,
          name: 'tasks',
          // Two demos; a page waits for one command after the other.
          include: ['test/tasks/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
