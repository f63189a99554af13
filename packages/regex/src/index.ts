// Regular expressions in RE2's syntax, in linear time. Reading order: parse.ts (text to tree), program.ts (tree to
// instructions over bytes), automaton.ts (program to a table), compile.ts (which of the two), substitution.ts.

export * from './automaton.js';
export * from './compile.js';
export { type ParsedRegex, parseRegex } from './parse.js';
export * from './program.js';
export { RegexError } from './regex-error.js';
export { parseSubstitution, type SubstitutionPart } from './substitution.js';
