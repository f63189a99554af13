// Regular expressions as records that the core runs: tables, or programs where there is no table.
import {
  compileRegex,
  compileRewrite,
  type Instruction,
  type RegexAutomaton,
  RegexError,
  type RegexProgram,
} from '@lateen/regex';
import type { RegexMatchAndSubstitute, RegexMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/regex_pb.js';
import { RegexMatchAndSubstituteSchema, RegexMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/regex_pb.js';
import * as T from '../../regex-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';

/** Writes an expression for whole texts; its relative offset. */
export function writeRegex(
  problems: ProblemList,
  blob: BlobWriter,
  { path, matcher, likeAll }: { readonly path: string; readonly matcher: RegexMatcher; readonly likeAll?: string },
): number {
  // Of google_re2 only the limit of the program's size is left, which is deprecated: there are limits of our own.
  refuseOtherFields(problems, path, RegexMatcherSchema, matcher, 'google_re2 regex');
  return reporting(problems, join(path, 'regex'), () => {
    if (matcher.regex === '') throw new RegexError('is empty', 0);
    return blob.shared(`regex ${likeAll ?? ''} ${matcher.regex}`, () => recordOf(matcher.regex, likeAll));
  });
}

/** Writes a REWRITE_* record for regex_rewrite; its relative offset. */
export function writeRegexRewrite(
  problems: ProblemList,
  blob: BlobWriter,
  path: string,
  rewrite: RegexMatchAndSubstitute,
): number {
  refuseOtherFields(problems, path, RegexMatchAndSubstituteSchema, rewrite, 'pattern substitution');
  const source = rewrite.pattern?.regex ?? '';
  if (rewrite.pattern !== undefined) {
    refuseOtherFields(problems, join(path, 'pattern'), RegexMatcherSchema, rewrite.pattern, 'google_re2 regex');
  }
  return reporting(problems, path, () => {
    if (source === '') throw new RegexError('is empty', 0);
    const { program, parts } = compileRewrite(source, rewrite.substitution);
    const at = blob.reserve(T.REWRITE_BYTES);
    blob.int(
      at + T.REWRITE_PROGRAM,
      blob.shared(`rewrite ${source}`, () => programRecord(program)),
    );
    const list = blob.reserve(parts.length * T.REWRITE_PART_BYTES);
    blob.int(at + T.REWRITE_PARTS, list);
    blob.int(at + T.REWRITE_PART_COUNT, parts.length);
    parts.forEach((part, index) => {
      const entry = list + index * T.REWRITE_PART_BYTES;
      blob.int(entry, typeof part === 'number' ? part : -1);
      if (typeof part === 'string') blob.text(entry + 4, part);
    });
    return at;
  });
}

function reporting(problems: ProblemList, path: string, write: () => number): number {
  try {
    return write();
  } catch (error) {
    if (!(error instanceof RegexError)) throw error;
    problems.add(path, `the regular expression ${error.message}`);
    return 0;
  }
}

/** @param likeAll what bytes beyond ASCII are like, where the expression names none of them */
function recordOf(source: string, likeAll?: string): Uint8Array {
  const compiled = compileRegex(source);
  if (compiled.kind !== 'automaton') {
    if (likeAll !== undefined) throw new RegexError('is too large', 0);
    return programRecord(compiled.program);
  }
  const record = automatonRecord(compiled.automaton);
  if (likeAll !== undefined) {
    const classes = record.subarray(T.REGEX_CLASSES, T.REGEX_CLASSES + 256);
    classes.fill(classes[likeAll.charCodeAt(0)]!, 0x80);
  }
  return record;
}

/** REGEX_* record of a table. */
export function automatonRecord(automaton: RegexAutomaton): Uint8Array {
  const { classes, classCount, start, transitions } = automaton;
  const record = new Int32Array((T.REGEX_TRANSITIONS >> 2) + transitions.length);
  record[T.REGEX_KIND >> 2] = T.REGEX_KIND_AUTOMATON;
  record[T.REGEX_START >> 2] = start * classCount * 4;
  record[T.REGEX_END_CLASS >> 2] = (classCount - 1) * 4;
  const bytes = new Uint8Array(record.buffer);
  bytes.set(classes, T.REGEX_CLASSES);
  const rows = record.subarray(T.REGEX_TRANSITIONS >> 2);
  for (let index = 0; index < transitions.length; index++)
    rows[index] = (transitions[index] as number) * classCount * 4;
  return bytes;
}

/** REGEX_* record of a program. */
export function programRecord({ instructions, start }: RegexProgram): Uint8Array {
  const record = Buffer.alloc(T.REGEX_INSTRUCTIONS + instructions.length * T.REGEX_INSTRUCTION_BYTES);
  record.writeInt32LE(T.REGEX_KIND_PROGRAM, T.REGEX_KIND);
  record.writeInt32LE(start, T.REGEX_START);
  record.writeInt32LE(instructions.length, T.REGEX_COUNT);
  instructions.forEach((instruction, index) => {
    const at = T.REGEX_INSTRUCTIONS + index * T.REGEX_INSTRUCTION_BYTES;
    record[at] = opOf(instruction);
    record[at + 1] = instruction.low;
    record[at + 2] = instruction.high;
    record.writeInt32LE(instruction.out, at + 4);
    record.writeInt32LE(instruction.other, at + 8);
  });
  return record;
}

/** Groups that no substitution can name need not be remembered. */
function opOf({ op, low }: Instruction): number {
  return op === T.REGEX_OP_SAVE && low >= T.REGEX_SLOTS ? T.REGEX_OP_JUMP : op;
}
