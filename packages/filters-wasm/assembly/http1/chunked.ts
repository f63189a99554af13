// Chunked bodies (RFC 9112, 7.1): finds where a message ends, at any split of the bytes, and compacts in place to what may
// be forwarded. Extensions and trailers are bounded, checked and dropped: neither crosses a hop.
import {
  CHUNK_EXTENSION_BYTES, CHUNK_FORWARD, CHUNK_MODE, CHUNK_MODE_FRAMED, CHUNK_PHASE, CHUNK_PHASE_DATA, CHUNK_PHASE_DATA_CR,
  CHUNK_PHASE_DATA_LF, CHUNK_PHASE_DONE, CHUNK_PHASE_END_LF, CHUNK_PHASE_EXTENSION, CHUNK_PHASE_SIZE,
  CHUNK_PHASE_SIZE_LF, CHUNK_PHASE_TRAILER_LF, CHUNK_PHASE_TRAILER_NAME, CHUNK_PHASE_TRAILER_START,
  CHUNK_PHASE_TRAILER_VALUE, CHUNK_REMAINING, CHUNK_SIZE_DIGITS, CHUNK_TRAILER_BYTES, MAX_CHUNK_EXTENSION_BYTES,
  MAX_TRAILER_BYTES,
} from '../../src/layout';
import { PARSE_ERROR_CHUNK, PARSE_ERROR_TRAILER } from './parse-errors';
import { findControl, findNonToken, hexDigit } from '../ascii';
import { refuse } from './head';

/** Sizes of up to 2^52 - 1. */
const MAX_SIZE_DIGITS = 13;

/** Where the next forwarded byte goes; moves behind `at` once something was dropped. */
let out: i32 = 0;

/** See core-functions.ts. */
export function resetChunks(state: i32, mode: i32): void {
  memory.fill(state, 0, 32);
  store<i32>(state + CHUNK_MODE, mode);
}

/** See core-functions.ts. */
export function scanChunks(state: i32, offset: i32, length: i32): i32 {
  const end = offset + length;
  const framed = load<i32>(state + CHUNK_MODE) == CHUNK_MODE_FRAMED;
  let phase = load<i32>(state + CHUNK_PHASE);
  let at = offset;
  out = offset;
  while (at < end && phase != CHUNK_PHASE_DONE) {
    if (phase == CHUNK_PHASE_DATA) {
      const remaining = load<f64>(state + CHUNK_REMAINING);
      const take = remaining < <f64>(end - at) ? <i32>remaining : end - at;
      keepRange(at, take);
      at += take;
      store<f64>(state + CHUNK_REMAINING, remaining - <f64>take);
      if (remaining == <f64>take) phase = CHUNK_PHASE_DATA_CR;
      continue;
    }
    if (phase == CHUNK_PHASE_EXTENSION) {
      const stop = findControl(at, end);
      const seen = load<i32>(state + CHUNK_EXTENSION_BYTES) + stop - at;
      if (seen > MAX_CHUNK_EXTENSION_BYTES) return refuse(400, PARSE_ERROR_CHUNK);
      store<i32>(state + CHUNK_EXTENSION_BYTES, seen);
      at = stop;
      if (at == end) break;
      if (load<u8>(at) != 0x0d) return refuse(400, PARSE_ERROR_CHUNK);
      if (framed) keep(0x0d);
      at++;
      phase = CHUNK_PHASE_SIZE_LF;
      continue;
    }
    if (phase == CHUNK_PHASE_TRAILER_NAME || phase == CHUNK_PHASE_TRAILER_VALUE) {
      const stop = phase == CHUNK_PHASE_TRAILER_NAME ? findNonToken(at, end) : findControl(at, end);
      const seen = load<i32>(state + CHUNK_TRAILER_BYTES) + stop - at;
      if (seen > MAX_TRAILER_BYTES) return refuse(400, PARSE_ERROR_TRAILER);
      store<i32>(state + CHUNK_TRAILER_BYTES, seen);
      at = stop;
      if (at == end) break;
      const wanted = phase == CHUNK_PHASE_TRAILER_NAME ? 0x3a : 0x0d;
      if (load<u8>(at) != wanted) return refuse(400, PARSE_ERROR_TRAILER);
      at++;
      phase = phase == CHUNK_PHASE_TRAILER_NAME ? CHUNK_PHASE_TRAILER_VALUE : CHUNK_PHASE_TRAILER_LF;
      continue;
    }
    phase = step(state, phase, <i32>load<u8>(at), framed);
    if (phase < 0) return phase;
    at++;
  }
  store<i32>(state + CHUNK_PHASE, phase);
  store<i32>(state + CHUNK_FORWARD, out - offset);
  return at - offset;
}

@inline
function keep(byte: i32): void {
  store<u8>(out, byte);
  out++;
}

@inline
function keepRange(at: i32, length: i32): void {
  if (out != at) memory.copy(out, at, length);
  out += length;
}

/** One byte of framing; the next phase, or a refusal. */
function step(state: i32, phase: i32, byte: i32, framed: bool): i32 {
  if (phase == CHUNK_PHASE_SIZE) return sizeByte(state, byte, framed);
  if (phase == CHUNK_PHASE_SIZE_LF) {
    if (byte != 0x0a) return refuse(400, PARSE_ERROR_CHUNK);
    if (framed) keep(byte);
    store<i32>(state + CHUNK_SIZE_DIGITS, 0);
    return load<f64>(state + CHUNK_REMAINING) == 0 ? CHUNK_PHASE_TRAILER_START : CHUNK_PHASE_DATA;
  }
  if (phase == CHUNK_PHASE_DATA_CR) {
    if (byte != 0x0d) return refuse(400, PARSE_ERROR_CHUNK);
    if (framed) keep(byte);
    return CHUNK_PHASE_DATA_LF;
  }
  if (phase == CHUNK_PHASE_DATA_LF) {
    if (byte != 0x0a) return refuse(400, PARSE_ERROR_CHUNK);
    if (framed) keep(byte);
    return CHUNK_PHASE_SIZE;
  }
  if (phase == CHUNK_PHASE_TRAILER_START) {
    if (byte == 0x0d) {
      if (framed) keep(byte);
      return CHUNK_PHASE_END_LF;
    }
    // The name begins with this byte, which must be a token character; only the length of a name is not 0 then.
    if (!isTokenByte(byte)) return refuse(400, PARSE_ERROR_TRAILER);
    store<i32>(state + CHUNK_TRAILER_BYTES, load<i32>(state + CHUNK_TRAILER_BYTES) + 1);
    return CHUNK_PHASE_TRAILER_NAME;
  }
  if (phase == CHUNK_PHASE_TRAILER_LF) {
    return byte == 0x0a ? CHUNK_PHASE_TRAILER_START : refuse(400, PARSE_ERROR_TRAILER);
  }
  // CHUNK_PHASE_END_LF
  if (byte != 0x0a) return refuse(400, PARSE_ERROR_CHUNK);
  if (framed) keep(byte);
  return CHUNK_PHASE_DONE;
}

function sizeByte(state: i32, byte: i32, framed: bool): i32 {
  const digit = hexDigit(byte);
  const digits = load<i32>(state + CHUNK_SIZE_DIGITS);
  if (digit >= 0) {
    if (digits == MAX_SIZE_DIGITS) return refuse(400, PARSE_ERROR_CHUNK);
    const size = digits == 0 ? 0.0 : load<f64>(state + CHUNK_REMAINING);
    store<f64>(state + CHUNK_REMAINING, size * 16 + <f64>digit);
    store<i32>(state + CHUNK_SIZE_DIGITS, digits + 1);
    if (framed) keep(byte);
    return CHUNK_PHASE_SIZE;
  }
  if (digits == 0) return refuse(400, PARSE_ERROR_CHUNK);
  if (byte == 0x0d) {
    if (framed) keep(byte);
    return CHUNK_PHASE_SIZE_LF;
  }
  return byte == 0x3b ? CHUNK_PHASE_EXTENSION : refuse(400, PARSE_ERROR_CHUNK);
}

/** As findNonToken decides, for one byte. */
function isTokenByte(byte: i32): bool {
  const letter = byte | 0x20;
  if (byte < 0x80 && letter >= 0x61 && letter <= 0x7a) return true;
  if (byte >= 0x30 && byte <= 0x39) return true;
  return byte == 0x21 || (byte >= 0x23 && byte <= 0x27) || byte == 0x2a || byte == 0x2b || byte == 0x2d || byte == 0x2e ||
    byte == 0x5e || byte == 0x5f || byte == 0x60 || byte == 0x7c || byte == 0x7e;
}
