// Writes an index of the values that a subject is compared with: by hash where that is possible, else as a list of tests.
import * as R from '../../rbac/rbac-layout.js';
import { shapeOf } from './condition.js';
import type { IndexWriter } from './write-index.js';

/** Rows that a test that holds satisfies, and rows that it excludes. */
export interface Effect {
  readonly rows: number[];
  readonly excluded: number[];
}

interface Slot {
  readonly kind: number;
  readonly key: Buffer;
  readonly effect: Effect;
}

/** What the tests of one name of a group are, by how they are found. */
interface Sorted {
  readonly slots: Slot[];
  readonly networks: { readonly family: number; readonly bits: number }[];
  readonly others: [number, Effect][];
  readonly any: Effect;
}

/** Writes the index of tests by number; its place. */
export function writeValues(writer: IndexWriter, effects: ReadonlyMap<number, Effect>): number {
  const { blob } = writer.parts;
  const sorted = sortTests(writer, effects);
  const prefixes = commonLengths(sorted, R.VALUE_PREFIX);
  const suffixes = commonLengths(sorted, R.VALUE_SUFFIX);
  const index = blob.reserve(R.INDEX_BYTES);
  writeSlots(writer, index, sorted.slots);
  if (sorted.networks.length > 0) {
    const pairs = sorted.networks.flatMap(({ family, bits }) => [family, bits]);
    writeInts(writer, index + R.INDEX_PREFIX_LENGTHS, pairs, sorted.networks.length);
  } else writeInts(writer, index + R.INDEX_PREFIX_LENGTHS, prefixes, prefixes.length);
  writeInts(writer, index + R.INDEX_SUFFIX_LENGTHS, suffixes, suffixes.length);
  const others = blob.reserve(sorted.others.length * R.OTHER_BYTES);
  blob.int(index + R.INDEX_OTHERS, others);
  blob.int(index + R.INDEX_OTHER_COUNT, sorted.others.length);
  sorted.others.forEach(([test, effect], place) => {
    const at = others + place * R.OTHER_BYTES;
    blob.int(at + R.OTHER_TEST, writer.test(test));
    blob.int(at + R.OTHER_EFFECT, writeEffect(writer, effect));
  });
  if (sorted.any.rows.length + sorted.any.excluded.length > 0) {
    blob.int(index + R.INDEX_ANY, writeEffect(writer, sorted.any));
  }
  blob.int(
    index + R.INDEX_HAS_EXACT,
    sorted.slots.some(({ kind }) => (kind & R.VALUE_KIND_MASK) === R.VALUE_EXACT) ? 1 : 0,
  );
  return index;
}

function sortTests(writer: IndexWriter, effects: ReadonlyMap<number, Effect>): Sorted {
  const { list } = writer.parts;
  const sorted: Sorted = { slots: [], networks: [], others: [], any: { rows: [], excluded: [] } };
  const rare = rareLengths(writer, effects);
  for (const [number, effect] of effects) {
    const test = list.tests[number]!;
    const shape = shapeOf(test);
    if (shape?.kind === 'text' && !rare.has(number)) {
      const kind = shape.how | (shape.ignoreCase ? R.VALUE_IGNORE_CASE : 0);
      sorted.slots.push({ kind, key: Buffer.from(shape.text, 'utf8'), effect });
    } else if (shape?.kind === 'network' && test.network !== undefined) {
      const { family, bits, octets } = test.network;
      const key = Buffer.alloc(20);
      key.set(octets);
      key.writeInt32LE(family | (bits << 8), 16);
      sorted.slots.push({ kind: R.VALUE_NETWORK, key, effect });
      if (!sorted.networks.some((other) => other.family === family && other.bits === bits)) {
        sorted.networks.push({ family, bits });
      }
    } else if (shape?.kind === 'port' && test.ports !== undefined) {
      const key = Buffer.alloc(4);
      key.writeInt32LE(test.ports.first);
      sorted.slots.push({ kind: R.VALUE_EXACT, key, effect });
    } else if (shape?.kind === 'present') {
      sorted.any.rows.push(...effect.rows);
      sorted.any.excluded.push(...effect.excluded);
    } else sorted.others.push([number, effect]);
  }
  return sorted;
}

/** Tests of beginnings and ends whose lengths few have: each length costs a lookup. */
function rareLengths(writer: IndexWriter, effects: ReadonlyMap<number, Effect>): Set<number> {
  const { list } = writer.parts;
  const byLength = new Map<string, number[]>();
  for (const number of effects.keys()) {
    const shape = shapeOf(list.tests[number]!);
    if (shape?.kind !== 'text' || shape.how === R.VALUE_EXACT) continue;
    const key = `${shape.how} ${Buffer.byteLength(shape.text)}`;
    const same = byLength.get(key);
    if (same === undefined) byLength.set(key, [number]);
    else same.push(number);
  }
  const commonFirst = [...byLength.values()].sort((a, b) => b.length - a.length);
  return new Set(commonFirst.slice(R.INDEX_MAX_LENGTHS).flat());
}

function commonLengths({ slots }: Sorted, how: number): number[] {
  const lengths = new Set<number>();
  for (const { kind, key } of slots) if ((kind & R.VALUE_KIND_MASK) === how) lengths.add(key.length);
  return [...lengths].sort((a, b) => a - b);
}

/** Slots are at most half taken. */
function writeSlots(writer: IndexWriter, index: number, slots: readonly Slot[]): void {
  const { blob, hash } = writer.parts;
  let capacity = 2;
  while (capacity < slots.length * 2) capacity *= 2;
  const start = blob.reserve(capacity * R.VALUE_BYTES);
  const taken = new Uint8Array(capacity);
  for (const { kind, key, effect } of slots) {
    const value = (hash.bytes(key) + (kind & R.VALUE_KIND_MASK)) | 0;
    let place = value & (capacity - 1);
    while (taken[place] === 1) place = (place + 1) & (capacity - 1);
    taken[place] = 1;
    const at = start + place * R.VALUE_BYTES;
    blob.int(at + R.VALUE_KIND, kind);
    blob.int(at + R.VALUE_HASH, value);
    blob.int(
      at + R.VALUE_TEXT,
      blob.shared(`key ${key.toString('latin1')}`, () => key),
    );
    blob.int(at + R.VALUE_LENGTH, key.length);
    blob.int(at + R.VALUE_EFFECT, writeEffect(writer, effect));
  }
  blob.int(index + R.INDEX_MASK, capacity - 1);
  blob.int(index + R.INDEX_SLOTS, start);
}

function writeEffect(writer: IndexWriter, { rows, excluded }: Effect): number {
  const at = writer.parts.blob.reserve(R.EFFECT_BYTES);
  writer.writeRows(at + R.EFFECT_COUNT, rows);
  writer.writeRows(at + R.EFFECT_EXCLUDED_COUNT, excluded);
  return at;
}

function writeInts(writer: IndexWriter, field: number, values: readonly number[], count: number): void {
  const { blob } = writer.parts;
  const at = blob.reserve(values.length * 4);
  values.forEach((value, index) => {
    blob.int(at + index * 4, value);
  });
  blob.int(field, at);
  blob.int(field + 4, count);
}
