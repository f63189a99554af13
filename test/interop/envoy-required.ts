// Interop tests: stock Envoy, or a loud reason why there is none; in CI its absence is a failure.

import { obtainStockEnvoy } from '../harness/stock-envoy.js';

/** Path of the binary; undefined where there is none and these tests are skipped. @throws Error in CI */
export function requireStockEnvoy(): string | undefined {
  const envoy = obtainStockEnvoy();
  if ('path' in envoy) return envoy.path;
  const reason = `no stock Envoy to compare with: ${envoy.missing}`;
  if (process.env.CI === 'true') throw new Error(reason);
  console.error(`\nSKIPPED: ${reason}\n`);
  return undefined;
}
