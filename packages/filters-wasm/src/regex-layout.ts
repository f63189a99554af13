// The formats of compiled regular expressions, read by TypeScript and by AssemblyScript. Like layout.ts: literals only.

/** Lists of ways through a regular expression's program while it runs. */
export const REGEX_SCRATCH = 100663296;
export const REGEX_SCRATCH_BYTES = 1048576;

/** A compiled regular expression (made by compile/match/regex-table.ts). REGEX_KIND_*. */
export const REGEX_KIND = 0;
/** Automaton: offset of the first state's row from REGEX_TRANSITIONS; program: index of the first instruction. */
export const REGEX_START = 4;
/** Automaton: offset in a row of what the end of the text leads to; not 0 there where the text matches. */
export const REGEX_END_CLASS = 8;
/** Program: how many instructions. */
export const REGEX_COUNT = 8;
export const REGEX_HEADER_BYTES = 16;
/** Automaton: class of each byte, then rows of the offsets of next rows, i32 by class; row 0 never matches. */
export const REGEX_CLASSES = 16;
export const REGEX_TRANSITIONS = 272;
/** Program: instructions of 12 bytes: op, low, high, 0; index of the next; index of the other. */
export const REGEX_INSTRUCTIONS = 16;
export const REGEX_INSTRUCTION_BYTES = 12;
export const REGEX_KIND_AUTOMATON = 1;
export const REGEX_KIND_PROGRAM = 2;
/** As packages/regex numbers them; a jump only goes on. */
export const REGEX_OP_MATCH = 0;
export const REGEX_OP_BYTE = 1;
export const REGEX_OP_SPLIT = 2;
export const REGEX_OP_SAVE = 3;
export const REGEX_OP_ASSERT = 4;
export const REGEX_OP_FAIL = 5;
export const REGEX_OP_JUMP = 6;
export const REGEX_ASSERT_TEXT_BEGIN = 1;
export const REGEX_ASSERT_TEXT_END = 2;
export const REGEX_ASSERT_LINE_BEGIN = 4;
export const REGEX_ASSERT_LINE_END = 8;
export const REGEX_ASSERT_WORD_BOUNDARY = 16;
/** Places of the match and of groups 1 to 9. */
export const REGEX_SLOTS = 20;
/** REGEX_SCRATCH has room for programs of so many instructions. */
export const REGEX_MAX_INSTRUCTIONS = 4096;

/** Rewrite by a regular expression: program; parts of 12 bytes: group (-1 = a text), offset and length of the text. */
export const REWRITE_PROGRAM = 0;
export const REWRITE_PARTS = 4;
export const REWRITE_PART_COUNT = 8;
export const REWRITE_BYTES = 16;
export const REWRITE_PART_BYTES = 12;
