// Fuzzing: every input that ever failed, and a short look at each target, so that the fuzzer itself keeps working.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { outcomeOf } from './loop/fuzz-loop.js';
import { corpusOf, foundOf } from './loop/input-files.js';
import { Random } from './loop/random.js';
import { TARGET_NAMES, targetNamed } from './targets/all-targets.js';

const MUTATIONS = 40;
/** Of a slow target, seeds and mutations. */
const FEW = 4;

describe.each(TARGET_NAMES)('%s', (name) => {
  const target = targetNamed(name);
  beforeAll(() => target.start());
  afterAll(() => target.stop());

  test('every input that once failed passes', async () => {
    for (const { file, input } of [...foundOf(name), ...corpusOf(name)]) {
      expect(await outcomeOf(target, input), file).toMatchObject({ kind: 'passed' });
    }
  });

  test('seeds and changed seeds pass, and do not all behave alike', async () => {
    const random = new Random(2);
    const few = target.isSlow === true;
    const seeds = target.seeds().slice(0, few ? FEW : undefined);
    const behaviours = new Set<string>();
    const inputs = [...seeds];
    for (let index = 0; index < (few ? FEW : MUTATIONS); index++) {
      inputs.push(target.mutate(random, random.pick(seeds), random.pick(seeds)));
    }
    for (const input of inputs) {
      const outcome = await outcomeOf(target, input);
      expect(outcome, JSON.stringify(input.toString('latin1'))).toMatchObject({ kind: 'passed' });
      if (outcome.kind === 'passed') behaviours.add(outcome.signature);
    }
    expect(behaviours.size).toBeGreaterThan(2);
  });
});
