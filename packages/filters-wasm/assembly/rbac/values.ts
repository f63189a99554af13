// Access rules: one value in an index of values: which rows it satisfies, and which it excludes.
import {
  EFFECT_COUNT, EFFECT_EXCLUDED, EFFECT_EXCLUDED_COUNT, EFFECT_ROWS, INDEX_ANY, INDEX_HAS_EXACT, INDEX_MASK,
  INDEX_OTHERS, INDEX_OTHER_COUNT, INDEX_PREFIX_LENGTHS, INDEX_PREFIX_LENGTH_COUNT, INDEX_SLOTS, INDEX_SUFFIX_LENGTHS,
  INDEX_SUFFIX_LENGTH_COUNT, OTHER_BYTES, OTHER_EFFECT, OTHER_TEST, RBAC_EXCLUDED, RBAC_GROUP_ROWS, RBAC_KEY,
  VALUE_BYTES, VALUE_EFFECT, VALUE_EXACT, VALUE_HASH, VALUE_IGNORE_CASE, VALUE_KIND, VALUE_KIND_MASK, VALUE_LENGTH,
  VALUE_NETWORK, VALUE_PREFIX, VALUE_SUFFIX, VALUE_TEXT,
} from '../../src/rbac/rbac-layout';
import { equals, equalsIgnoreCase, hashName } from '../ascii';
import { putNetwork } from './addresses';
import { textPasses } from './tests';

export function lookUpText(rules: i32, index: i32, at: i32, length: i32, bytes: i32): void {
  applyAny(rules, index, bytes);
  if (load<i32>(index + INDEX_HAS_EXACT) != 0) findSlots(rules, index, VALUE_EXACT, at, length, bytes);
  let lengths = rules + load<i32>(index + INDEX_PREFIX_LENGTHS);
  for (let left = load<i32>(index + INDEX_PREFIX_LENGTH_COUNT); left > 0; left--) {
    const part = load<i32>(lengths);
    if (part > length) break;
    findSlots(rules, index, VALUE_PREFIX, at, part, bytes);
    lengths += 4;
  }
  lengths = rules + load<i32>(index + INDEX_SUFFIX_LENGTHS);
  for (let left = load<i32>(index + INDEX_SUFFIX_LENGTH_COUNT); left > 0; left--) {
    const part = load<i32>(lengths);
    if (part > length) break;
    findSlots(rules, index, VALUE_SUFFIX, at + length - part, part, bytes);
    lengths += 4;
  }
  let other = rules + load<i32>(index + INDEX_OTHERS);
  for (let left = load<i32>(index + INDEX_OTHER_COUNT); left > 0; left--) {
    if (textPasses(rules, rules + load<i32>(other + OTHER_TEST), at, length)) {
      apply(rules, rules + load<i32>(other + OTHER_EFFECT), bytes);
    }
    other += OTHER_BYTES;
  }
}

/** A key that is exact and nothing else, or one of the other tests (ports). */
export function lookUpKey(rules: i32, index: i32, at: i32, length: i32, bytes: i32): void {
  lookUpText(rules, index, at, length, bytes);
}

/** Sixteen octets in the networks of the index, by how many of their bits count. */
export function lookUpNetworks(rules: i32, index: i32, family: i32, octets: i32, bytes: i32): void {
  if (family == 0) return;
  let lengths = rules + load<i32>(index + INDEX_PREFIX_LENGTHS);
  for (let left = load<i32>(index + INDEX_PREFIX_LENGTH_COUNT); left > 0; left--) {
    if (load<i32>(lengths) == family) {
      const bits = load<i32>(lengths + 4);
      putNetwork(RBAC_KEY, octets, bits);
      store<i32>(RBAC_KEY + 16, family | (bits << 8));
      findSlots(rules, index, VALUE_NETWORK, RBAC_KEY, 20, bytes);
    }
    lengths += 8;
  }
}

/** What every value does. */
@inline
export function applyAny(rules: i32, index: i32, bytes: i32): void {
  const effect = load<i32>(index + INDEX_ANY);
  if (effect != 0) apply(rules, rules + effect, bytes);
}

function findSlots(rules: i32, index: i32, kind: i32, at: i32, length: i32, bytes: i32): void {
  const mask = load<i32>(index + INDEX_MASK);
  const slots = rules + load<i32>(index + INDEX_SLOTS);
  const hash = hashName(at, length) + kind;
  for (let place = hash & mask; ; place = (place + 1) & mask) {
    const slot = slots + place * VALUE_BYTES;
    const effect = load<i32>(slot + VALUE_EFFECT);
    if (effect == 0) return;
    if (load<i32>(slot + VALUE_HASH) != hash || load<i32>(slot + VALUE_LENGTH) != length) continue;
    const flags = load<i32>(slot + VALUE_KIND);
    if ((flags & VALUE_KIND_MASK) != kind) continue;
    const text = rules + load<i32>(slot + VALUE_TEXT);
    const same = (flags & VALUE_IGNORE_CASE) != 0 ? equalsIgnoreCase(at, text, length) : equals(at, text, length);
    if (same) apply(rules, rules + effect, bytes);
  }
}

function apply(rules: i32, effect: i32, bytes: i32): void {
  const count = load<i32>(effect + EFFECT_COUNT);
  if (count != 0) mark(RBAC_GROUP_ROWS, count, rules + load<i32>(effect + EFFECT_ROWS), bytes);
  const excluded = load<i32>(effect + EFFECT_EXCLUDED_COUNT);
  if (excluded != 0) mark(RBAC_EXCLUDED, excluded, rules + load<i32>(effect + EFFECT_EXCLUDED), bytes);
}

/** Adds rows to a bitmap: a list of so many, or with -1 another bitmap. */
function mark(bitmap: i32, count: i32, rows: i32, bytes: i32): void {
  if (count < 0) {
    for (let at = 0; at < bytes; at += 16) {
      v128.store(bitmap + at, v128.or(v128.load(bitmap + at), v128.load(rows + at)));
    }
    return;
  }
  for (const end = rows + (count << 2); rows < end; rows += 4) {
    const row = load<i32>(rows);
    const at = bitmap + (row >> 3);
    store<u8>(at, <u8>(<i32>load<u8>(at) | (1 << (row & 7))));
  }
}
