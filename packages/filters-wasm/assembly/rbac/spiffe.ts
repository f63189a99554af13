// Access rules: what a SPIFFE id has behind its trust domain.
import { findByte } from '../ascii';

/** `spiffe:/`, read as one number. */
const SCHEME: u64 = 0x2f3a656666697073;

/** How many bytes of a name come before the path; -1 where it is no SPIFFE id, or has a line break, which `.` does not match. */
export function beforeSpiffePath(at: i32, length: i32): i32 {
  if (length < 11 || load<u64>(at) != SCHEME || load<u8>(at + 8) != 0x2f) return -1;
  const end = at + length;
  const path = findByte(at + 9, end, 0x2f);
  if (path == at + 9 || path == end || findByte(at, end, 0x0a) != end) return -1;
  return path - at;
}
