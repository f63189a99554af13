// Fuzzing: what a target is. One that disagrees with its oracle says so in words; one that throws has crashed.

import type { Random } from './random.js';

/** Outcome of one input: a disagreement to report, or what kind of thing happened. */
export type Outcome =
  | { readonly kind: 'failed'; readonly what: string }
  /** `signature` names the behaviour; an input with a new one is kept and mutated further. */
  | { readonly kind: 'passed'; readonly signature: string; readonly isFertile: boolean };

export const failed = (what: string): Outcome => ({ kind: 'failed', what });

/** `isFertile`: whether it is worth changing further; what was refused as a whole seldom is. */
export const passed = (signature: string, isFertile = true): Outcome => ({ kind: 'passed', signature, isFertile });

export interface FuzzTarget {
  /** Also the name of its folders under `corpus/` and `found/`. */
  readonly name: string;
  /** An input takes tenths of a second: whoever only wants to see that all is in order runs a few. */
  readonly isSlow?: boolean;
  /** What is asserted, in a line. */
  readonly oracle: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Inputs to start from, beside the files of the corpus. */
  seeds(): readonly Buffer[];
  /** A new input out of one of the corpus, and now and then parts of another. */
  mutate(random: Random, input: Buffer, other: Buffer): Buffer;
  run(input: Buffer): Outcome | Promise<Outcome>;
  /** A last look when the time is over, for example at memory; what it says is a failure. */
  atEnd?(): Promise<string | undefined>;
  /** Words on what was seen, for the report. */
  summary?(): readonly string[];
}
