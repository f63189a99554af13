// Runs the program of a regular expression: all ways through it at once, in order of preference (Pike's algorithm), so that
// no text makes it go back. It finds the places of groups, and matches where a table would be too large.
import {
  REGEX_ASSERT_LINE_BEGIN, REGEX_ASSERT_LINE_END, REGEX_ASSERT_TEXT_BEGIN, REGEX_ASSERT_TEXT_END,
  REGEX_ASSERT_WORD_BOUNDARY, REGEX_COUNT, REGEX_INSTRUCTIONS, REGEX_INSTRUCTION_BYTES,
  REGEX_MAX_INSTRUCTIONS, REGEX_OP_ASSERT, REGEX_OP_BYTE, REGEX_OP_JUMP, REGEX_OP_MATCH, REGEX_OP_SAVE,
  REGEX_OP_SPLIT, REGEX_SCRATCH, REGEX_SCRATCH_BYTES, REGEX_SLOTS, REGEX_START,
} from '../../src/regex-layout';

/** A list of threads: count, their instructions in order, where each instruction stands in it, and their slots. */
const LIST_ORDER = 8;
const LIST_PLACES = LIST_ORDER + REGEX_MAX_INSTRUCTIONS * 4;
const LIST_SLOTS = LIST_PLACES + REGEX_MAX_INSTRUCTIONS * 4;
const LIST_BYTES = LIST_SLOTS + REGEX_MAX_INSTRUCTIONS * REGEX_SLOTS * 4;
const FIRST_LIST = REGEX_SCRATCH;
const SECOND_LIST = FIRST_LIST + LIST_BYTES;
/** Instructions still to be followed, or slots to be set back: two words each. */
const STACK = SECOND_LIST + LIST_BYTES;
const STACK_BYTES = REGEX_MAX_INSTRUCTIONS * 2 * 8;
/** Slots of the thread at hand. */
const CURRENT = STACK + STACK_BYTES;
/** Slots of the match: pairs of begin and end of the match and its groups; -1 where a group took no part. */
export const MATCH_SLOTS = CURRENT + REGEX_SLOTS * 4;
/** In the first word of a stack entry: set back a slot. */
const RESTORE = 0x40000000;

/** Steps that searches may still take; see regex-rewrite.ts. */
export let stepsLeft: i64 = 0;

export function allowSteps(steps: i64): void {
  stepsLeft = steps;
}

let instructions: i32 = 0;
let textBegin: i32 = 0;
let textEnd: i32 = 0;
let slotCount: i32 = 0;
let top: i32 = 0;

/** Whether all of [begin, end) matches. */
export function matchesProgram(regex: i32, begin: i32, end: i32): bool {
  prepare(regex, begin, end, 0);
  let list = FIRST_LIST;
  let next = SECOND_LIST;
  store<i32>(list, 0);
  follow(list, load<i32>(regex + REGEX_START), begin);
  let at = begin;
  while (true) {
    const count = load<i32>(list);
    if (count == 0) return false;
    store<i32>(next, 0);
    for (let i = 0; i < count; i++) {
      const instruction = instructionAt(load<i32>(list + LIST_ORDER + (i << 2)));
      const op = load<u8>(instruction);
      if (op == REGEX_OP_MATCH && at == end) return true;
      if (op == REGEX_OP_BYTE && at < end && takes(instruction, at)) follow(next, load<i32>(instruction + 4), at + 1);
    }
    if (at++ == end) return false;
    const other = list;
    list = next;
    next = other;
  }
}

/**
 * The leftmost match in [begin, end) that begins at `from` or later, as Perl would choose it; fills MATCH_SLOTS. Takes from
 * stepsLeft, and ends without a match once that is below zero.
 */
export function searchProgram(regex: i32, begin: i32, end: i32, from: i32): bool {
  prepare(regex, begin, end, REGEX_SLOTS);
  const start = load<i32>(regex + REGEX_START);
  let list = FIRST_LIST;
  let next = SECOND_LIST;
  let matched = false;
  store<i32>(list, 0);
  let at = from;
  while (true) {
    if (!matched) {
      for (let i = 0; i < REGEX_SLOTS << 2; i += 16) v128.store(CURRENT + i, i32x4.splat(-1));
      store<i32>(CURRENT, at);
      follow(list, start, at);
    }
    const count = load<i32>(list);
    if (matched && count == 0) return true;
    stepsLeft -= count + 1;
    if (stepsLeft < 0) return false;
    store<i32>(next, 0);
    for (let i = 0; i < count; i++) {
      const instruction = instructionAt(load<i32>(list + LIST_ORDER + (i << 2)));
      const op = load<u8>(instruction);
      const slots = list + LIST_SLOTS + i * (REGEX_SLOTS << 2);
      if (op == REGEX_OP_MATCH) {
        copySlots(MATCH_SLOTS, slots);
        store<i32>(MATCH_SLOTS + 4, at);
        matched = true;
        // Those after it are less preferred.
        break;
      }
      if (op == REGEX_OP_BYTE && at < end && takes(instruction, at)) {
        copySlots(CURRENT, slots);
        follow(next, load<i32>(instruction + 4), at + 1);
      }
    }
    if (at++ == end) return matched;
    const other = list;
    list = next;
    next = other;
  }
}

function prepare(regex: i32, begin: i32, end: i32, slots: i32): void {
  // The compiler refuses what does not fit; a table that is not one must not write elsewhere.
  if (load<u32>(regex + REGEX_COUNT) > <u32>REGEX_MAX_INSTRUCTIONS) unreachable();
  if (MATCH_SLOTS + REGEX_SLOTS * 4 > REGEX_SCRATCH + REGEX_SCRATCH_BYTES) unreachable();
  instructions = regex + REGEX_INSTRUCTIONS;
  textBegin = begin;
  textEnd = end;
  slotCount = slots;
}

@inline
function instructionAt(index: i32): i32 {
  return instructions + index * REGEX_INSTRUCTION_BYTES;
}

@inline
function takes(instruction: i32, at: i32): bool {
  const byte = load<u8>(at);
  return byte >= load<u8>(instruction + 1) && byte <= load<u8>(instruction + 2);
}

@inline
function push(entry: i32, value: i32): void {
  store<i32>(top, entry);
  store<i32>(top + 4, value);
  top += 8;
}

/** Adds to the list all that can be reached from an instruction without a byte, preferred ways first. */
function follow(list: i32, first: i32, at: i32): void {
  top = STACK;
  push(first, 0);
  while (top > STACK) {
    top -= 8;
    const entry = load<i32>(top);
    if ((entry & RESTORE) != 0) store<i32>(CURRENT + ((entry ^ RESTORE) << 2), load<i32>(top + 4));
    else followOne(list, entry, at);
  }
}

/** One way, until it needs a byte or meets an instruction that is in the list; other ways go to the stack. */
function followOne(list: i32, index: i32, at: i32): void {
  while (true) {
    const count = load<i32>(list);
    const places = list + LIST_PLACES + (index << 2);
    const place = load<i32>(places);
    // What the scratch held before is not trusted: it must point into the list, and there back to here.
    if (<u32>place < <u32>count && load<i32>(list + LIST_ORDER + (place << 2)) == index) return;
    store<i32>(list + LIST_ORDER + (count << 2), index);
    store<i32>(places, count);
    store<i32>(list, count + 1);
    const instruction = instructionAt(index);
    const op = load<u8>(instruction);
    index = load<i32>(instruction + 4);
    if (op == REGEX_OP_SPLIT) {
      push(load<i32>(instruction + 8), 0);
    } else if (op == REGEX_OP_SAVE) {
      if (slotCount > 0) {
        const slot = <i32>load<u8>(instruction + 1);
        push(RESTORE | slot, load<i32>(CURRENT + (slot << 2)));
        store<i32>(CURRENT + (slot << 2), at);
      }
    } else if (op == REGEX_OP_ASSERT) {
      if (!holds(<i32>load<u8>(instruction + 1), at)) return;
    } else if (op != REGEX_OP_JUMP) {
      if (slotCount > 0) copySlots(list + LIST_SLOTS + count * (REGEX_SLOTS << 2), CURRENT);
      return;
    }
  }
}

@inline
function copySlots(to: i32, from: i32): void {
  for (let i = 0; i < REGEX_SLOTS << 2; i += 16) v128.store(to + i, v128.load(from + i));
}

function holds(assertion: i32, at: i32): bool {
  if (assertion == REGEX_ASSERT_TEXT_BEGIN) return at == textBegin;
  if (assertion == REGEX_ASSERT_TEXT_END) return at == textEnd;
  if (assertion == REGEX_ASSERT_LINE_BEGIN) return at == textBegin || load<u8>(at - 1) == 0x0a;
  if (assertion == REGEX_ASSERT_LINE_END) return at == textEnd || load<u8>(at) == 0x0a;
  const boundary = (at > textBegin && isWord(load<u8>(at - 1))) != (at < textEnd && isWord(load<u8>(at)));
  return boundary == (assertion == REGEX_ASSERT_WORD_BOUNDARY);
}

function isWord(byte: i32): bool {
  const letter = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (letter >= 0x61 && letter <= 0x7a) || byte == 0x5f;
}
