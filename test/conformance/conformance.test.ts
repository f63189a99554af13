// Conformance: every case of `cases/`, from YAML to bytes on the wire through a Lateen sidecar or gateway.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { caseNames, readCase } from './case-file.js';
import { check, failureText } from './check.js';
import { MeshUnderTest } from './mesh/mesh-under-test.js';

describe('a Lateen proxy does what Istio does:', () => {
  let mesh: MeshUnderTest;
  beforeAll(async () => {
    mesh = await MeshUnderTest.start({ engine: 'lateen' });
  });
  afterAll(() => mesh?.stop());

  test.each(caseNames())('%s', async (name) => {
    const results = await mesh.run(readCase(name));
    const failures = results.flatMap((result) => check(result).map((failure) => failureText(result.sending, failure)));
    expect(failures).toEqual([]);
  });
});
