// Writing bytes: the words that core-texts.ts put into memory, numbers, copies. Writers may pass the end of what they write
// by up to 16 bytes; callers keep that much room.
import { TEXT_TABLE } from '../src/layout';
import { equalsIgnoreCase } from './ascii';

/** Where the words of a text are. */
@inline
export function textAt(id: i32): i32 {
  return load<i32>(TEXT_TABLE + (id << 3));
}

@inline
export function textLength(id: i32): i32 {
  return load<i32>(TEXT_TABLE + (id << 3) + 4);
}

/** Whether the bytes are the text, ASCII case ignored. */
@inline
export function isText(at: i32, length: i32, id: i32): bool {
  return length == textLength(id) && equalsIgnoreCase(at, textAt(id), length);
}

/** Copies up to here go by wide stores, because memory.copy is a call out of WebAssembly. */
const INLINE_COPY_BYTES = 512;

/** Copies bytes that do not overlap and returns the place after them. */
@inline
export function putBytes(out: i32, from: i32, length: i32): i32 {
  const end = out + length;
  if (length > INLINE_COPY_BYTES) {
    memory.copy(out, from, length);
  } else {
    for (; out < end; out += 16, from += 16) v128.store(out, v128.load(from));
  }
  return end;
}

@inline
export function putText(out: i32, id: i32): i32 {
  return putBytes(out, textAt(id), textLength(id));
}

@inline
export function putCrlf(out: i32): i32 {
  store<u16>(out, 0x0a0d);
  return out + 2;
}

@inline
export function putColon(out: i32): i32 {
  store<u16>(out, 0x203a);
  return out + 2;
}

/** A whole number below 2^53 in decimal. */
export function putNumber(out: i32, value: u64): i32 {
  let digits = 1;
  for (let rest = value / 10; rest != 0; rest /= 10) digits++;
  let at = out + digits;
  do {
    at--;
    store<u8>(at, 0x30 + <u8>(value % 10));
    value /= 10;
  } while (at > out);
  return out + digits;
}
