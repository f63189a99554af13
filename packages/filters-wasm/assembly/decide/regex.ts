// Whether a whole text matches a regular expression: one load a byte by its table, or step by step where it has none.
import {
  REGEX_CLASSES, REGEX_END_CLASS, REGEX_KIND, REGEX_KIND_AUTOMATON, REGEX_START, REGEX_TRANSITIONS,
} from '../../src/regex-layout';
import { matchesProgram } from './regex-steps';

/** `regex` is the absolute offset of a compiled expression. Time is linear in the text's length. */
export function matchesRegex(regex: i32, at: i32, length: i32): bool {
  const end = at + length;
  if (load<i32>(regex + REGEX_KIND) != REGEX_KIND_AUTOMATON) return matchesProgram(regex, at, end);
  const classes = regex + REGEX_CLASSES;
  const transitions = regex + REGEX_TRANSITIONS;
  let state = load<i32>(regex + REGEX_START);
  for (; at < end; at++) {
    state = load<i32>(transitions + state + (<i32>load<u8>(classes + <i32>load<u8>(at)) << 2));
    if (state == 0) return false;
  }
  return load<i32>(transitions + state + load<i32>(regex + REGEX_END_CLASS)) != 0;
}
