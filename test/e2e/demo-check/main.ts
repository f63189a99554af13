// Demo check: runs every check against a running demo, prints a line for each, and the sum at the end.

import type { Check } from './check.js';
import { headerRoutingChecks } from './header-routing.js';
import { MeshUnderTest } from './mesh-under-test.js';
import { metricsChecks } from './metrics.js';
import { mutualTlsChecks } from './mutual-tls.js';
import { outageChecks } from './outage.js';
import { refusalChecks } from './refusals.js';
import { weightShiftCheck } from './weight-shift.js';

const WEIGHT_SHIFT_ROUNDS = 20;

/** In the order of the acceptance lines. */
export const ALL_CHECKS: readonly Check[] = [
  ...headerRoutingChecks,
  weightShiftCheck(WEIGHT_SHIFT_ROUNDS),
  ...mutualTlsChecks,
  ...outageChecks,
  ...refusalChecks,
  ...metricsChecks,
];

/**
 * Runs the checks one after another; a failure does not stop the others.
 * @returns how many failed
 */
export async function runDemoChecks(
  mesh: MeshUnderTest,
  checks: readonly Check[] = ALL_CHECKS,
  print: (line: string) => void = console.log,
): Promise<number> {
  let failed = 0;
  for (const { line, name, run } of checks) {
    const startMs = performance.now();
    const took = () => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
    try {
      const detail = await run(mesh);
      print(`pass  ${line}  ${name} (${detail === undefined ? '' : `${detail}; `}${took()})`);
    } catch (error) {
      failed++;
      print(`FAIL  ${line}  ${name} (${took()})\n      ${(error as Error).message.replaceAll('\n', '\n      ')}`);
    }
  }
  print(`${checks.length - failed} passed, ${failed} failed`);
  return failed;
}

export { MeshUnderTest };
