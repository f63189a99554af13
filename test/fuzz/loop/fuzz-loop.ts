// Fuzzing: the loop. Picks an input, changes it, runs it; one whose behaviour is new joins the inputs to pick from.

import type { FuzzTarget, Outcome } from './fuzz-target.js';
import { failed } from './fuzz-target.js';
import { corpusOf, foundOf } from './input-files.js';
import { Random } from './random.js';

const MAX_KEPT_INPUTS = 4_000;
const MAX_FAILURES = 20;
const MAX_SHRINK_RUNS = 300;

export interface Failure {
  readonly what: string;
  readonly input: Buffer;
}

export interface LoopReport {
  readonly runs: number;
  /** Different behaviours seen. */
  readonly behaviours: number;
  readonly failures: readonly Failure[];
  readonly notes: readonly string[];
}

export interface LoopOptions {
  readonly milliseconds: number;
  readonly seed: number;
  /** Called with each input before it runs, so that one that never returns is known. */
  readonly onInput: (input: Buffer) => void;
}

export async function outcomeOf(target: FuzzTarget, input: Buffer): Promise<Outcome> {
  try {
    return await target.run(input);
  } catch (error) {
    return failed(`threw ${(error as Error).stack ?? String(error)}`);
  }
}

/** Runs a started target for a time. Failures with the same first line are one. */
export async function fuzz(target: FuzzTarget, { milliseconds, seed, onInput }: LoopOptions): Promise<LoopReport> {
  const random = new Random(seed);
  const inputs = [...target.seeds(), ...corpusOf(target.name).map(({ input }) => input)];
  inputs.push(...foundOf(target.name).map(({ input }) => input));
  if (inputs.length === 0) throw new Error(`${target.name} has nothing to start from`);
  const behaviours = new Set<string>();
  const failures = new Map<string, Failure>();
  let runs = 0;
  const judge = async (input: Buffer): Promise<Outcome> => {
    onInput(input);
    runs++;
    return outcomeOf(target, input);
  };
  const note = async (input: Buffer, outcome: Outcome): Promise<boolean> => {
    if (outcome.kind === 'failed') {
      const key = failureKey(outcome.what);
      if (!failures.has(key)) failures.set(key, await shrink(input, outcome.what, judge));
      return false;
    }
    const isNew = !behaviours.has(outcome.signature);
    behaviours.add(outcome.signature);
    return isNew && outcome.isFertile;
  };
  for (const input of [...inputs]) await note(input, await judge(input));
  const end = performance.now() + milliseconds;
  while (performance.now() < end && failures.size < MAX_FAILURES) {
    const changed = target.mutate(random, random.pick(inputs), random.pick(inputs));
    const isNew = await note(changed, await judge(changed));
    if (isNew && inputs.length < MAX_KEPT_INPUTS) inputs.push(changed);
  }
  const last = await target.atEnd?.();
  if (last !== undefined) failures.set(last, { what: last, input: Buffer.alloc(0) });
  return { runs, behaviours: behaviours.size, failures: [...failures.values()], notes: target.summary?.() ?? [] };
}

/** Numbers, quoted parts and places in files differ between inputs that fail alike. */
function failureKey(what: string): string {
  return (what.split('\n')[0] ?? '').replace(/"[^"]*"|\d+/g, '#');
}

/** Cuts pieces out for as long as it fails alike. */
async function shrink(input: Buffer, what: string, judge: (input: Buffer) => Promise<Outcome>): Promise<Failure> {
  const key = failureKey(what);
  let best: Failure = { what, input };
  let left = MAX_SHRINK_RUNS;
  for (let size = input.length >> 1; size >= 1 && left > 0; size >>= 1) {
    for (let at = 0; at + size <= best.input.length && left > 0; ) {
      const shorter = Buffer.concat([best.input.subarray(0, at), best.input.subarray(at + size)]);
      left--;
      const outcome = await judge(shorter);
      if (outcome.kind === 'failed' && failureKey(outcome.what) === key) best = { what: outcome.what, input: shorter };
      else at += size;
    }
  }
  return best;
}
