// Program: a regular expression as instructions over bytes, in the order of preference that Perl and RE2 have.
import { MAX_BYTE, type Ranges } from './char-ranges.js';
import type { ParsedRegex } from './parse.js';
import { RegexError } from './regex-error.js';
import { type Assertion, matchesEmpty, type SyntaxNode } from './syntax-tree.js';

export const OP_MATCH = 0;
/** A byte from `low` to `high`, then `out`. */
export const OP_BYTE = 1;
/** `out`, or else `other`. */
export const OP_SPLIT = 2;
/** Remembers the place in slot `low`, then `out`. */
export const OP_SAVE = 3;
/** Goes on to `out` where the assertion `low` (ASSERT_*) holds. */
export const OP_ASSERT = 4;
/** Never goes on. */
export const OP_FAIL = 5;

export const ASSERT_TEXT_BEGIN = 1;
export const ASSERT_TEXT_END = 2;
export const ASSERT_LINE_BEGIN = 4;
export const ASSERT_LINE_END = 8;
export const ASSERT_WORD_BOUNDARY = 16;
export const ASSERT_NO_WORD_BOUNDARY = 32;

const ASSERTIONS: Readonly<Record<Assertion, number>> = {
  'text-begin': ASSERT_TEXT_BEGIN,
  'text-end': ASSERT_TEXT_END,
  'line-begin': ASSERT_LINE_BEGIN,
  'line-end': ASSERT_LINE_END,
  'word-boundary': ASSERT_WORD_BOUNDARY,
  'no-word-boundary': ASSERT_NO_WORD_BOUNDARY,
};

export interface Instruction {
  readonly op: number;
  readonly low: number;
  readonly high: number;
  readonly out: number;
  readonly other: number;
}

export interface RegexProgram {
  readonly source: string;
  readonly instructions: readonly Instruction[];
  readonly start: number;
  readonly groups: number;
}

/** A pattern that becomes more instructions is refused; RE2 stops near here with its default memory. */
export const MAX_INSTRUCTIONS = 100_000;

/**
 * @param captures whether the places of groups are wanted: group n's begin and end are slots 2n and 2n + 1
 * @throws RegexError where the program would be too large
 */
export function compileProgram(regex: ParsedRegex, captures: boolean): RegexProgram {
  const builder = new ProgramBuilder(regex.source, captures);
  const match = builder.add(OP_MATCH, 0, 0, 0, 0);
  const start = builder.build(regex.tree, match);
  return { source: regex.source, instructions: builder.instructions, start, groups: regex.groups };
}

/** Builds from the end to the start, so that each instruction's successor exists. */
class ProgramBuilder {
  readonly instructions: { op: number; low: number; high: number; out: number; other: number }[] = [];

  constructor(
    private readonly source: string,
    private readonly captures: boolean,
  ) {}

  add(op: number, low: number, high: number, out: number, other: number): number {
    if (this.instructions.length >= MAX_INSTRUCTIONS) {
      throw new RegexError(`(${this.source.length} characters) needs more than ${MAX_INSTRUCTIONS} instructions`, 0);
    }
    this.instructions.push({ op, low, high, out, other });
    return this.instructions.length - 1;
  }

  /** The entry of `node` followed by `next`. */
  build(node: SyntaxNode, next: number): number {
    switch (node.kind) {
      case 'empty':
        return next;
      case 'any-byte':
        return this.add(OP_BYTE, 0, 0xff, next, 0);
      case 'assertion':
        return this.add(OP_ASSERT, ASSERTIONS[node.assertion], 0, next, 0);
      case 'class':
        return this.buildClass(node.ranges, next);
      case 'group': {
        if (!this.captures) return this.build(node.item, next);
        const end = this.add(OP_SAVE, node.index * 2 + 1, 0, next, 0);
        return this.add(OP_SAVE, node.index * 2, 0, this.build(node.item, end), 0);
      }
      case 'sequence':
        return node.items.reduceRight((entry, item) => this.build(item, entry), next);
      case 'choice':
        return node.items
          .map((item) => this.build(item, next))
          .reduceRight((rest, entry) => this.add(OP_SPLIT, 0, 0, entry, rest));
      case 'repeat':
        return this.buildRepeat(node, next);
    }
  }

  private buildRepeat(node: SyntaxNode & { kind: 'repeat' }, next: number): number {
    const { item, min, max } = node;
    let entry = next;
    if (max === Number.POSITIVE_INFINITY) {
      // x{n,} is n - 1 times x, then x+; a loop over what may be empty begins with one round, which keeps preferences right.
      if (min === 0 && !matchesEmpty(item)) return this.buildStar(node, next);
      entry = this.buildPlus(node, next);
      if (min === 0) return this.split(node, entry, next);
      for (let i = 1; i < min; i++) entry = this.build(item, entry);
      return entry;
    }
    for (let i = min; i < max; i++) entry = this.split(node, this.build(item, entry), next);
    for (let i = 0; i < min; i++) entry = this.build(item, entry);
    return entry;
  }

  private split(node: { readonly greedy: boolean }, into: number, past: number): number {
    return node.greedy ? this.add(OP_SPLIT, 0, 0, into, past) : this.add(OP_SPLIT, 0, 0, past, into);
  }

  private buildStar(node: SyntaxNode & { kind: 'repeat' }, next: number): number {
    const loop = this.split(node, next, next);
    this.direct(node, loop, this.build(node.item, loop));
    return loop;
  }

  private buildPlus(node: SyntaxNode & { kind: 'repeat' }, next: number): number {
    const loop = this.split(node, next, next);
    const entry = this.build(node.item, loop);
    this.direct(node, loop, entry);
    return entry;
  }

  /** Leads the loop's split back into its body. */
  private direct(node: { readonly greedy: boolean }, loop: number, body: number): void {
    const instruction = this.instructions[loop];
    if (instruction === undefined) return;
    if (node.greedy) instruction.out = body;
    else instruction.other = body;
  }

  /** A character is a byte (Latin-1), so what a class names beyond is never met. */
  private buildClass(ranges: Ranges, next: number): number {
    const entries = ranges
      .filter(([first]) => first <= MAX_BYTE)
      .map(([first, last]) => this.add(OP_BYTE, first, Math.min(last, MAX_BYTE), next, 0));
    if (entries.length === 0) return this.add(OP_FAIL, 0, 0, 0, 0);
    return entries.reduceRight((rest, entry) => this.add(OP_SPLIT, 0, 0, entry, rest));
  }
}
