// Changes to a table of parsed header lines while a head is written: lines replaced, lines added, configured mutations.
import {
  HEADER_ENTRY_BYTES, HEADER_FLAGS, HEADER_FLAG_DROPPED, HEADER_FLAG_REPLACED, HEADER_HASH, HEADER_KNOWN,
  HEADER_LINE_LENGTH, HEADER_LINE_OFFSET, HEADER_NAME_LENGTH, HEADER_TABLE_COUNT, HEADER_VALUE_LENGTH,
  HEADER_VALUE_OFFSET,
} from '../../src/layout';
import {
  MUTATION_ADD_IF_ABSENT, MUTATION_APPEND, MUTATION_BYTES, MUTATION_KIND, MUTATION_NAME_HASH, MUTATION_NAME_LENGTH,
  MUTATION_NAME_OFFSET, MUTATION_OVERWRITE, MUTATION_OVERWRITE_IF_EXISTS, MUTATION_REMOVE, MUTATION_SET_AUTHORITY,
  MUTATION_VALUE_LENGTH, MUTATION_VALUE_OFFSET,
} from '../../src/table-layout';
import { equals, equalsIgnoreCase, hashName } from '../ascii';
import { putBytes, putColon, putCrlf, textAt, textLength } from '../texts';

let table: i32 = 0;
let parsed: i32 = 0;
let count: i32 = 0;
/** Bytes that the added lines need at most. */
export let addedBytes: i32 = 0;
/** Authority that a mutation set; length 0 = none. */
export let authorityAt: i32 = 0;
export let authorityLength: i32 = 0;

/** Starts over with the lines as parsed. */
export function beginHeaders(entries: i32, parsedCount: i32): void {
  table = entries;
  parsed = parsedCount;
  count = parsedCount;
  addedBytes = 0;
  authorityLength = 0;
  for (let i = 0; i < parsedCount; i++) {
    const flags = entries + i * HEADER_ENTRY_BYTES + HEADER_FLAGS;
    store<i32>(flags, load<i32>(flags) & ~HEADER_FLAG_REPLACED);
  }
}

/** The first entry of a known header that will be written, 0 where there is none. */
export function findKnown(known: i32): i32 {
  for (let i = 0; i < parsed; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) == known && load<i32>(entry + HEADER_FLAGS) == 0) return entry;
  }
  return 0;
}

/** Does not write the parsed lines of a known header. */
export function replaceKnown(known: i32): void {
  for (let i = 0; i < parsed; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) == known) replace(entry);
  }
}

@inline
export function replace(entry: i32): void {
  store<i32>(entry + HEADER_FLAGS, load<i32>(entry + HEADER_FLAGS) | HEADER_FLAG_REPLACED);
}

/** Adds a line; its bytes must stay until the head is written. What does not fit the table is refused by the compiler. */
export function add(name: i32, nameLength: i32, hash: i32, value: i32, valueLength: i32): void {
  if (count >= HEADER_TABLE_COUNT) return;
  const entry = table + count * HEADER_ENTRY_BYTES;
  store<i32>(entry + HEADER_LINE_OFFSET, name);
  store<i32>(entry + HEADER_LINE_LENGTH, 0);
  store<i32>(entry + HEADER_NAME_LENGTH, nameLength);
  store<i32>(entry + HEADER_VALUE_OFFSET, value);
  store<i32>(entry + HEADER_VALUE_LENGTH, valueLength);
  store<i32>(entry + HEADER_KNOWN, 0);
  store<i32>(entry + HEADER_HASH, hash);
  store<i32>(entry + HEADER_FLAGS, 0);
  count++;
  addedBytes += nameLength + valueLength + 4;
}

/** Adds a line whose name is a text. */
export function addKnown(known: i32, value: i32, valueLength: i32): void {
  const name = textAt(known);
  const length = textLength(known);
  add(name, length, hashName(name, length), value, valueLength);
}

/** Marks every line of that name, parsed or added; whether there was one that would have been written. */
function removeNamed(name: i32, length: i32, hash: i32, mark: bool): bool {
  let found = false;
  for (let i = 0; i < count; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != length) continue;
    if (load<i32>(entry + HEADER_FLAGS) != 0) continue;
    if (!equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, length)) continue;
    found = true;
    if (mark) replace(entry);
  }
  return found;
}

/** The first entry of that name that will be written, parsed or added; 0 where there is none. */
export function findNamed(name: i32, length: i32): i32 {
  const hash = hashName(name, length);
  for (let i = 0; i < count; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != length) continue;
    if (load<i32>(entry + HEADER_FLAGS) != 0) continue;
    if (equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, length)) return entry;
  }
  return 0;
}

/** Adds a line whose name is a text, in place of all that have it. */
export function overwrite(text: i32, value: i32, valueLength: i32): void {
  const name = textAt(text);
  const length = textLength(text);
  const hash = hashName(name, length);
  removeNamed(name, length, hash, true);
  add(name, length, hash, value, valueLength);
}

/** Applies mutations in order. `base` is what their offsets are relative to. */
export function applyMutations(base: i32, mutations: i32, total: i32): void {
  for (let i = 0; i < total; i++) {
    const mutation = mutations + i * MUTATION_BYTES;
    const kind = load<i32>(mutation + MUTATION_KIND);
    const name = base + load<i32>(mutation + MUTATION_NAME_OFFSET);
    const length = load<i32>(mutation + MUTATION_NAME_LENGTH);
    const hash = load<i32>(mutation + MUTATION_NAME_HASH);
    const value = base + load<i32>(mutation + MUTATION_VALUE_OFFSET);
    const valueLength = load<i32>(mutation + MUTATION_VALUE_LENGTH);
    if (kind == MUTATION_SET_AUTHORITY) {
      authorityAt = value;
      authorityLength = valueLength;
      continue;
    }
    if (kind == MUTATION_APPEND) {
      add(name, length, hash, value, valueLength);
      continue;
    }
    const found = removeNamed(name, length, hash, kind != MUTATION_ADD_IF_ABSENT);
    if (kind == MUTATION_OVERWRITE || (kind == MUTATION_OVERWRITE_IF_EXISTS && found) || (kind == MUTATION_ADD_IF_ABSENT && !found)) {
      add(name, length, hash, value, valueLength);
    }
  }
}

/** Writes the kept parsed lines, neighbours in one copy, then the added ones; returns the place after them. */
export function putHeaders(out: i32): i32 {
  let run = 0;
  let runEnd = 0;
  for (let i = 0; i < parsed; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_FLAGS) != 0) continue;
    const line = load<i32>(entry + HEADER_LINE_OFFSET);
    const length = load<i32>(entry + HEADER_LINE_LENGTH);
    if (line != runEnd || length == 0) {
      if (runEnd != run) out = putBytes(out, run, runEnd - run);
      run = line;
    }
    runEnd = line + length;
    if (length == 0) out = putParts(out, entry);
  }
  if (runEnd != run) out = putBytes(out, run, runEnd - run);
  for (let i = parsed; i < count; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_FLAGS) == 0) out = putParts(out, entry);
  }
  return out;
}

/** Writes a line from name and value. */
function putParts(out: i32, entry: i32): i32 {
  out = putBytes(out, load<i32>(entry + HEADER_LINE_OFFSET), load<i32>(entry + HEADER_NAME_LENGTH));
  out = putColon(out);
  out = putBytes(out, load<i32>(entry + HEADER_VALUE_OFFSET), load<i32>(entry + HEADER_VALUE_LENGTH));
  return putCrlf(out);
}

/** Whether anything was added, so that `putHeaders` has more than parsed lines. */
@inline
export function isDropped(entry: i32): bool {
  return (load<i32>(entry + HEADER_FLAGS) & HEADER_FLAG_DROPPED) != 0;
}

/**
 * A value that joins all lines that will be written of the name that is a text, and one more element, written at `out`: its
 * length. 0 where the element stands last in them already.
 */
export function joinNamed(text: i32, element: i32, elementLength: i32, out: i32): i32 {
  const name = textAt(text);
  const nameLength = textLength(text);
  const hash = hashName(name, nameLength);
  const start = out;
  for (let i = 0; i < count; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_HASH) != hash || load<i32>(entry + HEADER_NAME_LENGTH) != nameLength) continue;
    if (load<i32>(entry + HEADER_FLAGS) != 0) continue;
    if (!equalsIgnoreCase(load<i32>(entry + HEADER_LINE_OFFSET), name, nameLength)) continue;
    const length = load<i32>(entry + HEADER_VALUE_LENGTH);
    if (length == 0) continue;
    out = putBytes(out, load<i32>(entry + HEADER_VALUE_OFFSET), length);
    store<u8>(out++, 0x2c);
  }
  const last = out - 1 - elementLength;
  if (last >= start && (last == start || load<u8>(last - 1) == 0x2c) && equals(last, element, elementLength)) return 0;
  return putBytes(out, element, elementLength) - start;
}

/** A value that joins all lines of a known header and one more element, written at `out`; its length. */
export function joinKnown(known: i32, element: i32, elementLength: i32, out: i32): i32 {
  const start = out;
  for (let i = 0; i < parsed; i++) {
    const entry = table + i * HEADER_ENTRY_BYTES;
    if (load<i32>(entry + HEADER_KNOWN) != known || isDropped(entry)) continue;
    const length = load<i32>(entry + HEADER_VALUE_LENGTH);
    if (length == 0) continue;
    out = putBytes(out, load<i32>(entry + HEADER_VALUE_OFFSET), length);
    store<u8>(out++, 0x2c);
  }
  return putBytes(out, element, elementLength) - start;
}
