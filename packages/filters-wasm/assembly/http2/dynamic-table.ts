// The tables of HPACK (RFC 7541, 2.3): entries are kept as lines of an HTTP/1.1 head, so that an indexed field is one copy.
// A line is four bytes longer than its name and value, and counts 32 more: what fits the table fits its bytes.
import {
  H2_DECODER_COUNT_NOW, H2_DECODER_CURSOR, H2_DECODER_INDEX, H2_DECODER_INDEX_COUNT, H2_DECODER_LIMIT,
  H2_DECODER_LINES, H2_DECODER_LINES_BYTES, H2_DECODER_MAX_SIZE, H2_DECODER_MUST_UPDATE, H2_DECODER_NEXT,
  H2_DECODER_SIZE, H2_ENTRY_BYTES, H2_ENTRY_FIELD, H2_ENTRY_LINE, H2_ENTRY_NAME_LENGTH, H2_ENTRY_VALUE_LENGTH,
  H2_MAX_TABLE_SIZE, H2_STATIC_COUNT, H2_STATIC_ENTRIES,
} from '../../src/http2/h2-layout';
import { putBytes } from '../texts';

/** What an entry costs beside its name and value. */
const ENTRY_OVERHEAD = 32;
/** Wide stores pass the end of a line by so many bytes. */
const OVERRUN = 16;

/** The entry that `find` found. */
export let entryLine: i32 = 0;
export let entryNameLength: i32 = 0;
export let entryValueLength: i32 = 0;
export let entryField: i32 = 0;

/** See core-functions.ts. */
export function h2ResetDecoder(decoder: i32): void {
  memory.fill(decoder, 0, H2_DECODER_INDEX);
  store<i32>(decoder + H2_DECODER_MAX_SIZE, H2_MAX_TABLE_SIZE);
  store<i32>(decoder + H2_DECODER_LIMIT, H2_MAX_TABLE_SIZE);
}

/** See core-functions.ts. */
export function h2SetTableLimit(decoder: i32, limit: i32): void {
  const bounded = limit < 0 ? 0 : limit > H2_MAX_TABLE_SIZE ? H2_MAX_TABLE_SIZE : limit;
  store<i32>(decoder + H2_DECODER_LIMIT, bounded);
  if (load<i32>(decoder + H2_DECODER_MAX_SIZE) > bounded) store<i32>(decoder + H2_DECODER_MUST_UPDATE, 1);
}

@inline
function slotOf(decoder: i32, place: i32): i32 {
  return decoder + H2_DECODER_INDEX + ((place & (H2_DECODER_INDEX_COUNT - 1)) << 3);
}

/** Looks an index up in both tables; false where there is no such entry. */
export function find(decoder: i32, index: i32): bool {
  if (index < H2_STATIC_COUNT) {
    if (index == 0) return false;
    const entry = H2_STATIC_ENTRIES + index * H2_ENTRY_BYTES;
    entryLine = load<i32>(entry + H2_ENTRY_LINE);
    entryNameLength = load<i32>(entry + H2_ENTRY_NAME_LENGTH);
    entryValueLength = load<i32>(entry + H2_ENTRY_VALUE_LENGTH);
    entryField = load<i32>(entry + H2_ENTRY_FIELD);
    return true;
  }
  const age = index - H2_STATIC_COUNT; // 0 = newest
  if (age >= load<i32>(decoder + H2_DECODER_COUNT_NOW)) return false;
  const slot = slotOf(decoder, load<i32>(decoder + H2_DECODER_NEXT) - 1 - age);
  entryLine = decoder + H2_DECODER_LINES + <i32>load<u16>(slot);
  entryNameLength = <i32>load<u16>(slot + 2);
  entryValueLength = <i32>load<u16>(slot + 4);
  entryField = <i32>load<u16>(slot + 6);
  return true;
}

/** Changes the size that the peer has chosen; false where it is more than it may be. */
export function resize(decoder: i32, size: i32): bool {
  if (size > load<i32>(decoder + H2_DECODER_LIMIT)) return false;
  store<i32>(decoder + H2_DECODER_MAX_SIZE, size);
  store<i32>(decoder + H2_DECODER_MUST_UPDATE, 0);
  evict(decoder, size);
  return true;
}

/** Drops the oldest entries until no more than `size` is left. */
function evict(decoder: i32, size: i32): void {
  let left = load<i32>(decoder + H2_DECODER_SIZE);
  if (left <= size) return;
  let count = load<i32>(decoder + H2_DECODER_COUNT_NOW);
  const next = load<i32>(decoder + H2_DECODER_NEXT);
  while (left > size) {
    const slot = slotOf(decoder, next - count);
    left -= <i32>load<u16>(slot + 2) + <i32>load<u16>(slot + 4) + ENTRY_OVERHEAD;
    count--;
  }
  store<i32>(decoder + H2_DECODER_SIZE, left);
  store<i32>(decoder + H2_DECODER_COUNT_NOW, count);
  if (count == 0) store<i32>(decoder + H2_DECODER_CURSOR, 0);
}

/** Adds the line at `line`, which is not in the table; what is larger than the table empties it (RFC 7541, 4.4). */
export function insert(decoder: i32, line: i32, nameLength: i32, valueLength: i32, field: i32): void {
  const size = nameLength + valueLength + ENTRY_OVERHEAD;
  const max = load<i32>(decoder + H2_DECODER_MAX_SIZE);
  evict(decoder, size > max ? 0 : max - size);
  if (size > max) return;
  const length = nameLength + valueLength + 4;
  let cursor = load<i32>(decoder + H2_DECODER_CURSOR);
  if (cursor + length + OVERRUN > H2_DECODER_LINES_BYTES) cursor = compact(decoder, cursor);
  putBytes(decoder + H2_DECODER_LINES + cursor, line, length);
  const next = load<i32>(decoder + H2_DECODER_NEXT);
  const slot = slotOf(decoder, next);
  store<u16>(slot, <u16>cursor);
  store<u16>(slot + 2, <u16>nameLength);
  store<u16>(slot + 4, <u16>valueLength);
  store<u16>(slot + 6, <u16>field);
  store<i32>(decoder + H2_DECODER_CURSOR, cursor + length);
  store<i32>(decoder + H2_DECODER_NEXT, (next + 1) & (H2_DECODER_INDEX_COUNT - 1));
  store<i32>(decoder + H2_DECODER_COUNT_NOW, load<i32>(decoder + H2_DECODER_COUNT_NOW) + 1);
  store<i32>(decoder + H2_DECODER_SIZE, load<i32>(decoder + H2_DECODER_SIZE) + size);
}

/** Moves the lines in use, which follow each other, to the front; the new cursor. */
function compact(decoder: i32, cursor: i32): i32 {
  const count = load<i32>(decoder + H2_DECODER_COUNT_NOW);
  if (count == 0) return 0;
  const next = load<i32>(decoder + H2_DECODER_NEXT);
  const first = <i32>load<u16>(slotOf(decoder, next - count));
  memory.copy(decoder + H2_DECODER_LINES, decoder + H2_DECODER_LINES + first, cursor - first);
  for (let i = 1; i <= count; i++) {
    const slot = slotOf(decoder, next - i);
    store<u16>(slot, <u16>(<i32>load<u16>(slot) - first));
  }
  return cursor - first;
}
