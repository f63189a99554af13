// Compile: what the proxy runs for an expression: a table where it fits, else the program itself, step by step.
import { compileAutomaton, type RegexAutomaton } from './automaton.js';
import { parseRegex } from './parse.js';
import { compileProgram, type RegexProgram } from './program.js';
import { RegexError } from './regex-error.js';
import { parseSubstitution, type SubstitutionPart } from './substitution.js';

/**
 * A program that is run step by step looks at each of its instructions once for each byte at most, so this bounds the time
 * for a byte. Patterns come here whose table would be too large, as `(a|b)*a(a|b){20}`.
 */
export const MAX_STEPPED_INSTRUCTIONS = 1024;
/** Of an expression whose groups are wanted; there is no table for those. */
export const MAX_REWRITE_INSTRUCTIONS = 4096;

export type CompiledRegex =
  | { readonly kind: 'automaton'; readonly automaton: RegexAutomaton }
  | { readonly kind: 'program'; readonly program: RegexProgram };

/** Expressions compiled last, because the same ones come with every push. */
const known = new Map<string, CompiledRegex>();
const MAX_KNOWN = 256;

/** For matching a whole text. @throws RegexError where RE2 would refuse it, or it is too large */
export function compileRegex(source: string): CompiledRegex {
  const compiled = known.get(source) ?? compileAnew(source);
  // The one used longest ago stands first.
  known.delete(source);
  known.set(source, compiled);
  if (known.size > MAX_KNOWN) known.delete(known.keys().next().value as string);
  return compiled;
}

function compileAnew(source: string): CompiledRegex {
  const program = compileProgram(parseRegex(source), false);
  const automaton = compileAutomaton(program);
  if (automaton !== undefined) return { kind: 'automaton', automaton };
  checkSize(program, MAX_STEPPED_INSTRUCTIONS);
  return { kind: 'program', program };
}

export interface CompiledRewrite {
  readonly program: RegexProgram;
  readonly parts: readonly SubstitutionPart[];
}

/** For replacing every match in a text. @throws RegexError likewise, and for a substitution that does not fit */
export function compileRewrite(source: string, substitution: string): CompiledRewrite {
  const program = compileProgram(parseRegex(source), true);
  checkSize(program, MAX_REWRITE_INSTRUCTIONS);
  return { program, parts: parseSubstitution(substitution, program.groups) };
}

function checkSize(program: RegexProgram, limit: number): void {
  const { length } = program.instructions;
  if (length <= limit) return;
  throw new RegexError(`is too large: it needs ${length} instructions, and at most ${limit} are run; repeat less`, 0);
}
