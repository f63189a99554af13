// Access rules (envoy.config.rbac.v3): which policy a request or a connection matches first. For each subject that rules ask
// about the index says once which rows its values leave; what it cannot say is tested for the rows that are left.
import { CONNECTION_PEER } from '../../src/layout';
import {
  RBAC_CANDIDATES, RBAC_EXCLUDED, RBAC_GROUP_ROWS, RBAC_NO_MATCH, RBAC_RULES_GONE, GROUP_BYTES, GROUP_UNASKED,
  ROW_BYTES, ROW_CONDITION, ROW_POLICY, RULES_ALL, RULES_BITMAP_BYTES, RULES_EXCLUDE, RULES_GROUPS, RULES_GROUP_COUNT,
  RULES_ROWS, RULES_SERIAL,
} from '../../src/rbac/rbac-layout';
import { holds } from './conditions';
import { lookUpGroup } from './groups';
import { beginCheck } from './tests';

/** See core-functions.ts. */
export function checkRules(rules: i32, serial: i32, listener: i32, connection: i32, secure: i32): i32 {
  if (load<i32>(rules + RULES_SERIAL) != serial) return RBAC_RULES_GONE;
  if (connection == 0 || load<i32>(connection + CONNECTION_PEER) == 0) return RBAC_RULES_GONE;
  const bytes = load<i32>(rules + RULES_BITMAP_BYTES);
  beginCheck(rules, listener, connection, secure);
  copyRows(RBAC_CANDIDATES, rules + load<i32>(rules + RULES_ALL), bytes);
  const excludes = load<i32>(rules + RULES_EXCLUDE) != 0;
  if (excludes) clearRows(RBAC_EXCLUDED, bytes);
  let group = rules + load<i32>(rules + RULES_GROUPS);
  for (let left = load<i32>(rules + RULES_GROUP_COUNT); left > 0; left--) {
    const unasked = load<i32>(group + GROUP_UNASKED);
    if (unasked != 0) copyRows(RBAC_GROUP_ROWS, rules + unasked, bytes);
    lookUpGroup(group, bytes);
    if (unasked != 0 && !keepRows(bytes)) return RBAC_NO_MATCH;
    group += GROUP_BYTES;
  }
  if (excludes) excludeRows(bytes);
  return firstMatch(rules, bytes);
}

/** The policy of the first candidate whose condition holds. */
function firstMatch(rules: i32, bytes: i32): i32 {
  const rows = rules + load<i32>(rules + RULES_ROWS);
  for (let at = 0; at < bytes; at += 8) {
    let bits = load<u64>(RBAC_CANDIDATES + at);
    while (bits != 0) {
      const row = rows + ((at << 3) + <i32>ctz(bits)) * ROW_BYTES;
      bits &= bits - 1;
      const condition = load<i32>(row + ROW_CONDITION);
      if (condition == 0 || holds(rules, rules + condition)) return load<i32>(row + ROW_POLICY);
    }
  }
  return RBAC_NO_MATCH;
}

@inline
function copyRows(to: i32, from: i32, bytes: i32): void {
  for (let at = 0; at < bytes; at += 16) v128.store(to + at, v128.load(from + at));
}

@inline
function clearRows(at: i32, bytes: i32): void {
  for (const end = at + bytes; at < end; at += 16) v128.store(at, i8x16.splat(0));
}

/** Candidates that the group has left; whether there are any. */
function keepRows(bytes: i32): bool {
  let any = i8x16.splat(0);
  for (let at = 0; at < bytes; at += 16) {
    const kept = v128.and(v128.load(RBAC_CANDIDATES + at), v128.load(RBAC_GROUP_ROWS + at));
    v128.store(RBAC_CANDIDATES + at, kept);
    any = v128.or(any, kept);
  }
  return v128.any_true(any);
}

function excludeRows(bytes: i32): void {
  for (let at = 0; at < bytes; at += 16) {
    const kept = v128.andnot(v128.load(RBAC_CANDIDATES + at), v128.load(RBAC_EXCLUDED + at));
    v128.store(RBAC_CANDIDATES + at, kept);
  }
}
