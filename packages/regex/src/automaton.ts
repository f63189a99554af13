// Automaton: a program as a table of states over classes of bytes; it says whether a whole text matches, one load a byte.
import {
  ASSERT_LINE_BEGIN,
  ASSERT_LINE_END,
  ASSERT_NO_WORD_BOUNDARY,
  ASSERT_TEXT_BEGIN,
  ASSERT_TEXT_END,
  ASSERT_WORD_BOUNDARY,
  OP_ASSERT,
  OP_BYTE,
  OP_MATCH,
  OP_SAVE,
  OP_SPLIT,
  type RegexProgram,
} from './program.js';

/** A deterministic automaton. State 0 never matches; the text's end is the last class, and leads to 1 where it matches. */
export interface RegexAutomaton {
  /** Class of each byte. */
  readonly classes: Uint8Array;
  /** How many classes, with that of the end. */
  readonly classCount: number;
  readonly start: number;
  /** `transitions[state * classCount + class]` is the next state. */
  readonly transitions: Uint32Array;
}

export interface AutomatonLimits {
  /** Entries of the table: states times classes. */
  readonly maxTransitions: number;
  /** Steps that building it may take, so that no pattern holds up the process. */
  readonly maxSteps: number;
}

export const AUTOMATON_LIMITS: AutomatonLimits = { maxTransitions: 160_000, maxSteps: 2_000_000 };

/** The table, or undefined where it would pass the limits. */
export function compileAutomaton(
  program: RegexProgram,
  limits: AutomatonLimits = AUTOMATON_LIMITS,
): RegexAutomaton | undefined {
  return new AutomatonBuilder(program, limits).build();
}

/** Whether the whole text matches: what the walker of the table does, for tests and tools. */
export function matchesAutomaton(automaton: RegexAutomaton, text: Uint8Array): boolean {
  const { classes, classCount, transitions } = automaton;
  let state = automaton.start;
  for (const byte of text) {
    state = transitions[state * classCount + (classes[byte] as number)] as number;
    if (state === 0) return false;
  }
  return transitions[state * classCount + classCount - 1] === 1;
}

const NEWLINE = 0x0a;

function isWordByte(byte: number): boolean {
  return /^[A-Za-z0-9_]$/.test(String.fromCharCode(byte));
}

/** Assertions that look at the byte before, as part of a state. */
const BEFORE_BEGIN = 1;
const BEFORE_NEWLINE = 2;
const BEFORE_WORD = 4;

/** One subset of the program's instructions: those that take a byte, assert something or match. */
interface State {
  readonly members: readonly number[];
  readonly before: number;
}

class AutomatonBuilder {
  private readonly classes = new Uint8Array(256);
  private readonly representatives: number[] = [];
  private readonly states: State[] = [];
  private readonly known = new Map<string, number>();
  private readonly mark: Uint32Array;
  private generation = 0;
  private steps = 0;
  private asserted = 0;

  constructor(
    private readonly program: RegexProgram,
    private readonly limits: AutomatonLimits,
  ) {
    this.mark = new Uint32Array(program.instructions.length);
    for (const { op, low } of program.instructions) if (op === OP_ASSERT) this.asserted |= low;
    this.findClasses();
  }

  build(): RegexAutomaton | undefined {
    const classCount = this.representatives.length + 1;
    const rows: number[] = [];
    this.states.push({ members: [], before: 0 }, { members: [], before: 0 });
    for (let column = 0; column < classCount * 2; column++) rows.push(0);
    const start = this.stateOf(this.close([this.program.start], 0), this.context(BEFORE_BEGIN | BEFORE_NEWLINE));
    for (let index = 2; index < this.states.length; index++) {
      if ((index + 1) * classCount > this.limits.maxTransitions || this.steps > this.limits.maxSteps) return undefined;
      const state = this.states[index] as State;
      for (const byte of this.representatives) rows.push(this.step(state, byte));
      rows.push(this.matchesAtEnd(state) ? 1 : 0);
    }
    return { classes: this.classes, classCount, start, transitions: Uint32Array.from(rows) };
  }

  /** Bytes that no instruction tells apart share a class. */
  private findClasses(): void {
    const cuts = new Set<number>([0]);
    for (const { op, low, high } of this.program.instructions) {
      if (op === OP_BYTE) cuts.add(low).add(high + 1);
    }
    const words = (this.asserted & (ASSERT_WORD_BOUNDARY | ASSERT_NO_WORD_BOUNDARY)) !== 0;
    const lines = (this.asserted & (ASSERT_LINE_BEGIN | ASSERT_LINE_END)) !== 0;
    for (let byte = 1; byte < 256; byte++) {
      if (words && isWordByte(byte) !== isWordByte(byte - 1)) cuts.add(byte);
      if (lines && (byte === NEWLINE || byte === NEWLINE + 1)) cuts.add(byte);
    }
    for (let byte = 0; byte < 256; byte++) {
      if (cuts.has(byte)) this.representatives.push(byte);
      this.classes[byte] = this.representatives.length - 1;
    }
  }

  /** Only what some assertion asks for is kept of the byte before, or states would be told apart for nothing. */
  private context(before: number): number {
    let kept = before;
    if ((this.asserted & ASSERT_TEXT_BEGIN) === 0) kept &= ~BEFORE_BEGIN;
    if ((this.asserted & ASSERT_LINE_BEGIN) === 0) kept &= ~BEFORE_NEWLINE;
    if ((this.asserted & (ASSERT_WORD_BOUNDARY | ASSERT_NO_WORD_BOUNDARY)) === 0) kept &= ~BEFORE_WORD;
    return kept;
  }

  private stateOf(members: readonly number[], before: number): number {
    if (members.length === 0) return 0;
    const key = `${before}:${members.join(',')}`;
    let index = this.known.get(key);
    if (index === undefined) {
      index = this.states.length;
      this.known.set(key, index);
      this.states.push({ members, before });
    }
    return index;
  }

  /** What can be reached from these instructions without a byte, where the assertions in `holds` are true. */
  private close(from: readonly number[], holds: number): number[] {
    const { instructions } = this.program;
    const generation = ++this.generation;
    const stack = [...from].reverse();
    const members: number[] = [];
    while (stack.length > 0) {
      const index = stack.pop() as number;
      if (this.mark[index] === generation) continue;
      this.mark[index] = generation;
      this.steps++;
      const { op, low, out, other } = instructions[index] as (typeof instructions)[number];
      if (op === OP_SPLIT) stack.push(other, out);
      else if (op === OP_SAVE || (op === OP_ASSERT && (holds & low) !== 0)) stack.push(out);
      else if (op === OP_BYTE || op === OP_MATCH || op === OP_ASSERT) members.push(index);
    }
    return members.sort((a, b) => a - b);
  }

  private step(state: State, byte: number): number {
    const { instructions } = this.program;
    const next: number[] = [];
    for (const index of this.asserting(state, byte)) {
      const { op, low, high, out } = instructions[index] as (typeof instructions)[number];
      if (op === OP_BYTE && byte >= low && byte <= high) next.push(out);
    }
    if (next.length === 0) return 0;
    const before = (byte === NEWLINE ? BEFORE_NEWLINE : 0) | (isWordByte(byte) ? BEFORE_WORD : 0);
    return this.stateOf(this.close(next, 0), this.context(before));
  }

  private matchesAtEnd(state: State): boolean {
    return this.asserting(state, -1).some((index) => this.program.instructions[index]?.op === OP_MATCH);
  }

  /** The state's members with what its assertions lead to before this byte; -1 is the end of the text. */
  private asserting(state: State, byte: number): readonly number[] {
    this.steps += state.members.length;
    if (this.asserted === 0) return state.members;
    const boundary = ((state.before & BEFORE_WORD) !== 0) !== (byte >= 0 && isWordByte(byte));
    const holds =
      ((state.before & BEFORE_BEGIN) !== 0 ? ASSERT_TEXT_BEGIN : 0) |
      ((state.before & BEFORE_NEWLINE) !== 0 ? ASSERT_LINE_BEGIN : 0) |
      (byte < 0 ? ASSERT_TEXT_END : 0) |
      (byte < 0 || byte === NEWLINE ? ASSERT_LINE_END : 0) |
      (boundary ? ASSERT_WORD_BOUNDARY : ASSERT_NO_WORD_BOUNDARY);
    return this.close(state.members, holds);
  }
}
