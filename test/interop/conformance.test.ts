// Interop tests: every case of test/conformance under a stock Envoy and under Lateen, served by the same Pilot: both do what
// the case expects, and what clients, pods and the access log see is the same.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { caseNames, readCase, type SendingOfCase } from '../conformance/case-file.js';
import { check, failureText } from '../conformance/check.js';
import { MeshUnderTest, type SendingResult } from '../conformance/mesh/mesh-under-test.js';
import { REPOSITORY } from '../harness/repository.js';
import { differencesOf } from './compare-conformance.js';
import { requireStockEnvoy } from './envoy-required.js';

const envoyPath = requireStockEnvoy();

/** Of an answer with another status everything is another. */
const isExplained = ({ differs }: SendingOfCase, field: string): boolean =>
  differs[field] !== undefined || differs.status !== undefined;

function failuresOf(results: readonly SendingResult[], isEnvoy: boolean): string[] {
  return results.flatMap((result) =>
    check(result)
      .filter(({ field }) => !isEnvoy || !isExplained(result.sending, field))
      .map((failure) => failureText(result.sending, failure)),
  );
}

describe.skipIf(envoyPath === undefined)('stock Envoy and Lateen agree on', () => {
  let envoy: MeshUnderTest;
  let lateen: MeshUnderTest;
  beforeAll(async () => {
    envoy = await MeshUnderTest.start({ engine: 'envoy', envoyPath: envoyPath ?? '', allLogs: true, stats: true });
    lateen = await MeshUnderTest.start({ engine: 'lateen', allLogs: true, stats: true });
  });
  afterAll(async () => {
    await envoy?.stop();
    await lateen?.stop();
  });

  const cases = caseNames().map((name) => [name, readCase(name)] as const);
  test.each(cases.filter(([, { withoutEnvoy }]) => withoutEnvoy === undefined))(
    '%s',
    async (_name, conformanceCase) => {
      // Each has a mesh of its own, and both mostly wait.
      const [underEnvoy, underLateen] = await Promise.all([envoy.run(conformanceCase), lateen.run(conformanceCase)]);
      expect({ envoy: failuresOf(underEnvoy, true), lateen: failuresOf(underLateen, false) }).toEqual({
        envoy: [],
        lateen: [],
      });
      const unexplained: string[] = [];
      for (const [index, result] of underEnvoy.entries()) {
        const { sending } = result;
        const found = differencesOf(result, underLateen[index]!);
        const seen = new Set([...found.map(({ field }) => field), ...check(result).map(({ field }) => field)]);
        for (const { field, envoy: left, lateen: right } of found) {
          if (isExplained(sending, field)) continue;
          unexplained.push(`${sending.name}: ${field}: Envoy ${left}, Lateen ${right}`);
        }
        for (const field of Object.keys(sending.differs)) {
          if (!seen.has(field)) unexplained.push(`${sending.name}: ${field} does not differ any more`);
        }
      }
      expect(unexplained).toEqual([]);
    },
  );

  const leftOut = cases.flatMap(([name, { withoutEnvoy }]) =>
    withoutEnvoy === undefined ? [] : [[name, withoutEnvoy]],
  );
  test.each(leftOut)('%s (left out: %s)', (name) => {
    // The page for users lists them, by group or one by one.
    const page = readFileSync(join(REPOSITORY, 'docs/compatibility.md'), 'utf8');
    expect(
      [name, name.replace(/\/.*/, '/*')].some((each) => page.includes(`\`${each}\``)),
      `${name} in docs/compatibility.md`,
    ).toBe(true);
  });
});
