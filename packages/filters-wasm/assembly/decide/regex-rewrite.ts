// Replaces every match of a regular expression in the path (regex_rewrite): what RE2::GlobalReplace does, which Envoy calls.
import {
  REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH, VALUE_SCRATCH, VALUE_SCRATCH_BYTES,
} from '../../src/layout';
import {
  REWRITE_PARTS, REWRITE_PART_BYTES, REWRITE_PART_COUNT, REWRITE_PROGRAM,
} from '../../src/regex-layout';
import { putBytes } from '../texts';
import { allowSteps, MATCH_SLOTS, searchProgram, stepsLeft } from './regex-steps';

/** A path may be searched from each of its matches again, so the steps of one rewrite are bounded: some 100 ms at most. */
const MAX_STEPS: i64 = 16000000;
const CONTINUATION_MASK = 0xc0;
const CONTINUATION = 0x80;

/**
 * Writes the path with all matches replaced, and the query as it was if wanted, at `out` in VALUE_SCRATCH. The place after it, or 0
 * where it has no room or takes too long.
 */
export function rewritePath(table: i32, rewrite: i32, out: i32, withQuery: bool): i32 {
  const begin = load<i32>(REQ_PATH_OFFSET);
  const end = begin + load<i32>(REQ_PATH_ONLY_LENGTH);
  const queryLength = withQuery ? load<i32>(REQ_PATH_LENGTH) - load<i32>(REQ_PATH_ONLY_LENGTH) : 0;
  // Wide stores pass the end of what they write.
  const limit = VALUE_SCRATCH + VALUE_SCRATCH_BYTES - queryLength - 64;
  const program = table + load<i32>(rewrite + REWRITE_PROGRAM);
  allowSteps(MAX_STEPS);
  let at = begin;
  let lastEnd = -1;
  while (at <= end && searchProgram(program, begin, end, at)) {
    const matchBegin = load<i32>(MATCH_SLOTS);
    const matchEnd = load<i32>(MATCH_SLOTS + 4);
    if (out + matchBegin - at > limit) return 0;
    out = putBytes(out, at, matchBegin - at);
    if (matchBegin == lastEnd && matchBegin == matchEnd) {
      // Nothing, right after a match, is no other match: one character on.
      at = matchBegin;
      if (at < end) {
        do store<u8>(out++, load<u8>(at++)); while (at < end && (load<u8>(at) & CONTINUATION_MASK) == CONTINUATION);
      } else {
        at++;
      }
      if (out > limit) return 0;
      continue;
    }
    out = putReplacement(table, rewrite, out, limit);
    if (out == 0) return 0;
    at = matchEnd;
    lastEnd = matchEnd;
  }
  if (stepsLeft < 0) return 0;
  if (at < end) {
    if (out + end - at > limit) return 0;
    out = putBytes(out, at, end - at);
  }
  return putBytes(out, end, queryLength);
}

/** The substitution with the groups of the match in it; 0 where it has no room. */
function putReplacement(table: i32, rewrite: i32, out: i32, limit: i32): i32 {
  let part = table + load<i32>(rewrite + REWRITE_PARTS);
  for (let left = load<i32>(rewrite + REWRITE_PART_COUNT); left > 0; left--) {
    const group = load<i32>(part);
    let at = table + load<i32>(part + 4);
    let length = load<i32>(part + 8);
    if (group >= 0) {
      at = load<i32>(MATCH_SLOTS + (group << 3));
      // A group that took no part is empty.
      length = at < 0 ? 0 : load<i32>(MATCH_SLOTS + (group << 3) + 4) - at;
    }
    if (length > 0) {
      if (out + length > limit) return 0;
      out = putBytes(out, at, length);
    }
    part += REWRITE_PART_BYTES;
  }
  return out;
}
