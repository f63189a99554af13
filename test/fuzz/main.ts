// Fuzzing as a command: npm run test:fuzz -- --minutes N [--target A,B] [--seed N]. Failing inputs are kept under found/.

import { parseArgs } from 'node:util';
import { keepInput } from './loop/input-files.js';
import { runWatched } from './loop/watched-run.js';
import { TARGET_NAMES, targetNamed } from './targets/all-targets.js';

const HELP = `Usage: npm run test:fuzz -- [options]

  --minutes N     how long, all targets together (1)
  --target A,B    which: ${TARGET_NAMES.join(', ')} (all)
  --seed N        numbers to start from (any)

Ends with "N passed, N failed", a target each. Inputs that failed are written to test/fuzz/found/TARGET/ and are run by npm test
from then on. To look at one again: node test/dist/fuzz/replay.js TARGET FILE.
`;

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    target: { type: 'string', default: TARGET_NAMES.join(',') },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    help: { type: 'boolean', default: false },
  },
});
if (flags.help) {
  console.log(HELP);
  process.exit(0);
}
const minutes = Number(flags.minutes);
const seed = Number(flags.seed);
const names = flags.target.split(',');
const unknown = names.filter((name) => !TARGET_NAMES.includes(name));
if (!(minutes > 0) || !Number.isInteger(seed) || unknown.length > 0) {
  console.error(unknown.length > 0 ? `no such target: ${unknown.join(', ')}\n${HELP}` : HELP);
  process.exit(2);
}

let failedTargets = 0;
for (const name of names) {
  const { runs, behaviours, failures, notes } = await runWatched(name, (minutes * 60_000) / names.length, seed);
  if (failures.length > 0) failedTargets++;
  console.log(
    `${failures.length === 0 ? 'pass' : 'FAIL'}  ${name}: ${runs} inputs, ${behaviours} behaviours, ${failures.length} failures`,
  );
  console.log(`      ${targetNamed(name).oracle}`);
  for (const note of notes) console.log(`      ${note}`);
  for (const { what, input } of failures) {
    const file = input.length > 0 ? ` (${keepInput('found', name, input)}, ${input.length} bytes)` : '';
    console.log(`      FAILED${file}: ${what}`);
  }
}
console.log(`seed ${seed}`);
console.log(`${names.length - failedTargets} passed, ${failedTargets} failed`);
process.exit(failedTargets === 0 ? 0 : 1);
