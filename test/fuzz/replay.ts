// Fuzzing: runs one input again: node test/dist/fuzz/replay.js TARGET FILE

import { readFileSync } from 'node:fs';
import { outcomeOf } from './loop/fuzz-loop.js';
import { targetNamed } from './targets/all-targets.js';

const [name, file] = process.argv.slice(2);
if (name === undefined || file === undefined) {
  console.error('Usage: node test/dist/fuzz/replay.js TARGET FILE');
  process.exit(2);
}
const target = targetNamed(name);
await target.start();
const outcome = await outcomeOf(target, readFileSync(file));
await target.stop();
console.log(outcome.kind === 'failed' ? `FAILED: ${outcome.what}` : `passed: ${outcome.signature}`);
process.exit(outcome.kind === 'failed' ? 1 : 0);
