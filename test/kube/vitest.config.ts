// Test runner of `npm run test:kube`: against Kubernetes' own code. Go builds it, which takes minutes the first time.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/kube/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 1_200_000,
  },
});
