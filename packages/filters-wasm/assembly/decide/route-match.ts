// Decides for the parsed request: virtual host by authority, then its routes in order, then the weighted cluster.
import {
  REQ_AUTHORITY_LENGTH, REQ_AUTHORITY_OFFSET, REQ_FLAGS, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH, REQUEST_CONNECT, ROUTE_ACTION,
  ROUTE_ACTION_DIRECT, ROUTE_ACTION_FORWARD, ROUTE_ACTION_NONE, ROUTE_ACTION_REDIRECT, ROUTE_BODY_LENGTH,
  ROUTE_BODY_OFFSET, ROUTE_CLUSTER, ROUTE_CONFIG_SLOTS, ROUTE_CONFIG_SLOT_COUNT, ROUTE_CONFIG_TABLE,
  ROUTE_GENERATION, ROUTE_LOCATION_LENGTH, ROUTE_MATCHED_PREFIX_LENGTH, ROUTE_NAME_LENGTH, ROUTE_NAME_OFFSET,
  ROUTE_POLICY, ROUTE_RANDOM, ROUTE_STATUS, ROUTE_TABLE, ROUTE_VIRTUAL_HOST_TABLE, ROUTE_WEIGHTED_TABLE,
} from '../../src/layout';
import {
  CONFIG_DEFAULT_VIRTUAL_HOST, CONFIG_EXACT_INDEX, CONFIG_EXACT_MASK, CONFIG_FLAGS, CONFIG_FLAG_IGNORE_CONNECT_PORT, CONFIG_PREFIX_COUNT, CONFIG_PREFIX_LIST,
  CONFIG_SUFFIX_COUNT, CONFIG_SUFFIX_LIST, DOMAIN_ENTRY_BYTES, PATH_MATCH_CONNECT, PATH_MATCH_EXACT, PATH_MATCH_PREFIX,
  PATH_MATCH_REGEX,
  ROUTE_ENTRY_ACTION, ROUTE_ENTRY_BODY_LENGTH, ROUTE_ENTRY_BODY_OFFSET, ROUTE_ENTRY_BYTES, ROUTE_ENTRY_CLUSTER,
  ROUTE_ENTRY_FLAGS, ROUTE_ENTRY_FLAG_IGNORE_CASE, ROUTE_ENTRY_FRACTION, ROUTE_ENTRY_MATCH, ROUTE_ENTRY_MATCHERS,
  ROUTE_ENTRY_MATCHER_COUNT, ROUTE_ENTRY_NAME_LENGTH, ROUTE_ENTRY_NAME_OFFSET, ROUTE_ENTRY_PATH_LENGTH,
  ROUTE_ENTRY_PATH_OFFSET, ROUTE_ENTRY_POLICY, ROUTE_ENTRY_QUERY_MATCHERS, ROUTE_ENTRY_QUERY_MATCHER_COUNT,
  ROUTE_ENTRY_STATUS, ROUTE_ENTRY_WEIGHTED, ROUTE_ENTRY_WEIGHTED_COUNT, ROUTE_ENTRY_WEIGHT_TOTAL,
  VIRTUAL_HOST_FLAGS, VIRTUAL_HOST_POLICY, VIRTUAL_HOST_REQUIRE_TLS, VIRTUAL_HOST_ROUTES, VIRTUAL_HOST_ROUTE_COUNT,
  VIRTUAL_HOST_ROUTE_INDEX,
  WEIGHTED_BYTES, WEIGHTED_CLUSTER, WEIGHTED_CUMULATIVE, WEIGHTED_POLICY, WILDCARD_ENTRY_BYTES,
} from '../../src/table-layout';
import { QUOTA_EXCEEDED_COUNT, ROUTE_LIMITED_COUNT } from '../../src/filter-layout';
import { equals, equalsIgnoreCase, hashName } from '../ascii';
import { matchHeaders, matchParameters } from './header-match';
import { random31 } from '../random';
import { matchesRegex } from './regex';
import { nextCandidate, openCandidates } from './route-index';
import { buildRedirect, buildTlsRedirect } from './redirect';

let tableGeneration: i32 = 1;

export function generation(): i32 {
  return tableGeneration;
}

export function setGeneration(value: i32): void {
  tableGeneration = value;
}

/** See core-functions.ts. */
export function route(routeConfigSlot: i32, random: i32, secure: i32): i32 {
  if (random < 0) random = random31();
  store<i32>(ROUTE_RANDOM, random);
  store<i32>(ROUTE_GENERATION, tableGeneration);
  store<i32>(ROUTE_POLICY, 0);
  store<i32>(ROUTE_TABLE, 0);
  store<i32>(ROUTE_VIRTUAL_HOST_TABLE, 0);
  store<i32>(ROUTE_CONFIG_TABLE, 0);
  store<i32>(ROUTE_WEIGHTED_TABLE, 0);
  store<i32>(ROUTE_NAME_LENGTH, 0);
  store<i32>(ROUTE_BODY_LENGTH, 0);
  store<i32>(ROUTE_LOCATION_LENGTH, 0);
  store<i32>(ROUTE_LIMITED_COUNT, 0);
  store<i32>(QUOTA_EXCEEDED_COUNT, 0);
  if (<u32>routeConfigSlot >= <u32>ROUTE_CONFIG_SLOT_COUNT) return setAction(ROUTE_ACTION_NONE);
  const table = load<i32>(ROUTE_CONFIG_SLOTS + (routeConfigSlot << 2));
  if (table == 0) return setAction(ROUTE_ACTION_NONE);
  store<i32>(ROUTE_CONFIG_TABLE, table);
  const host = findVirtualHost(table);
  if (host == 0) return setAction(ROUTE_ACTION_NONE);
  store<i32>(ROUTE_VIRTUAL_HOST_TABLE, host);
  store<i32>(ROUTE_POLICY, load<i32>(host + VIRTUAL_HOST_POLICY));
  if ((load<i32>(host + VIRTUAL_HOST_FLAGS) & VIRTUAL_HOST_REQUIRE_TLS) != 0 && secure == 0) {
    store<i32>(ROUTE_STATUS, 301);
    buildTlsRedirect();
    return setAction(ROUTE_ACTION_REDIRECT);
  }
  let entry = table + load<i32>(host + VIRTUAL_HOST_ROUTES);
  const index = load<i32>(host + VIRTUAL_HOST_ROUTE_INDEX);
  if (index != 0) {
    openCandidates(table, table + index);
    for (let place = nextCandidate(); place >= 0; place = nextCandidate()) {
      const candidate = entry + place * ROUTE_ENTRY_BYTES;
      if (matchesRoute(table, candidate, random, secure)) return take(table, candidate, random, secure);
    }
    return setAction(ROUTE_ACTION_NONE);
  }
  for (let left = load<i32>(host + VIRTUAL_HOST_ROUTE_COUNT); left > 0; left--) {
    if (matchesRoute(table, entry, random, secure)) return take(table, entry, random, secure);
    entry += ROUTE_ENTRY_BYTES;
  }
  return setAction(ROUTE_ACTION_NONE);
}

@inline
function setAction(action: i32): i32 {
  store<i32>(ROUTE_ACTION, action);
  return action;
}

/**
 * Exact name, longest suffix wildcard, longest prefix wildcard, `*`; with the port first, then without. What CONNECT asks for
 * is a port of a host, so there, as in Envoy, a domain without the port is another one.
 */
function findVirtualHost(table: i32): i32 {
  const at = load<i32>(REQ_AUTHORITY_OFFSET);
  const length = load<i32>(REQ_AUTHORITY_LENGTH);
  const bare = portCounts(table) ? length : withoutPort(at, length);
  let host = findExact(table, at, length);
  if (host == 0 && bare < length) host = findExact(table, at, bare);
  if (host != 0) return table + host;
  host = findWildcard(table, CONFIG_SUFFIX_LIST, CONFIG_SUFFIX_COUNT, at, length, bare, true);
  if (host == 0) host = findWildcard(table, CONFIG_PREFIX_LIST, CONFIG_PREFIX_COUNT, at, length, bare, false);
  if (host == 0) host = load<i32>(table + CONFIG_DEFAULT_VIRTUAL_HOST);
  return host == 0 ? 0 : table + host;
}

@inline
function portCounts(table: i32): bool {
  return (load<i32>(REQ_FLAGS) & REQUEST_CONNECT) != 0 &&
    (load<i32>(table + CONFIG_FLAGS) & CONFIG_FLAG_IGNORE_CONNECT_PORT) == 0;
}

/** Length of the authority without `:port`; an IPv6 literal is in brackets. */
function withoutPort(at: i32, length: i32): i32 {
  let i = length;
  while (i > 0) {
    const byte = <i32>load<u8>(at + i - 1);
    if (byte == 0x3a) {
      // The host must not be empty, and a literal must be closed before its port.
      if (i == 1) return length;
      return load<u8>(at) != 0x5b || load<u8>(at + i - 2) == 0x5d ? i - 1 : length;
    }
    if (byte < 0x30 || byte > 0x39) return length;
    i--;
  }
  return length;
}

function findExact(table: i32, at: i32, length: i32): i32 {
  const mask = load<i32>(table + CONFIG_EXACT_MASK);
  const index = table + load<i32>(table + CONFIG_EXACT_INDEX);
  const hash = hashName(at, length);
  let place = hash & mask;
  while (true) {
    const entry = index + place * DOMAIN_ENTRY_BYTES;
    const host = load<i32>(entry + 12);
    if (host == 0) return 0;
    if (load<i32>(entry) == hash && load<i32>(entry + 8) == length && equalsIgnoreCase(at, table + load<i32>(entry + 4), length)) {
      return host;
    }
    place = (place + 1) & mask;
  }
}

/** Lists are longest first. A wildcard stands for at least one byte. */
function findWildcard(table: i32, list: i32, count: i32, at: i32, length: i32, bare: i32, suffix: bool): i32 {
  let entry = table + load<i32>(table + list);
  for (let left = load<i32>(table + count); left > 0; left--) {
    const name = table + load<i32>(entry);
    const nameLength = load<i32>(entry + 4);
    if (matchesWildcard(at, length, name, nameLength, suffix)) return load<i32>(entry + 8);
    if (bare < length && matchesWildcard(at, bare, name, nameLength, suffix)) return load<i32>(entry + 8);
    entry += WILDCARD_ENTRY_BYTES;
  }
  return 0;
}

@inline
function matchesWildcard(at: i32, length: i32, name: i32, nameLength: i32, suffix: bool): bool {
  return length > nameLength && equalsIgnoreCase(suffix ? at + length - nameLength : at, name, nameLength);
}

function matchesRoute(table: i32, entry: i32, random: i32, secure: i32): bool {
  if (!matchesPath(table, entry)) return false;
  const fraction = load<i32>(entry + ROUTE_ENTRY_FRACTION);
  // Not the same bits as the choice of a weighted cluster, or the two would not be independent.
  if (fraction >= 0 && <i32>((<u32>random * <u32>2654435769) % 1000000) >= fraction) return false;
  const matchers = load<i32>(entry + ROUTE_ENTRY_MATCHER_COUNT);
  if (matchers > 0 && !matchHeaders(table, table + load<i32>(entry + ROUTE_ENTRY_MATCHERS), matchers, secure)) return false;
  const parameters = load<i32>(entry + ROUTE_ENTRY_QUERY_MATCHER_COUNT);
  return parameters == 0 || matchParameters(table, table + load<i32>(entry + ROUTE_ENTRY_QUERY_MATCHERS), parameters);
}

function matchesPath(table: i32, entry: i32): bool {
  const kind = load<i32>(entry + ROUTE_ENTRY_MATCH);
  const connect = (load<i32>(REQ_FLAGS) & REQUEST_CONNECT) != 0;
  if (kind == PATH_MATCH_CONNECT) return connect;
  if (connect) return false;
  const path = load<i32>(REQ_PATH_OFFSET);
  const pathLength = load<i32>(REQ_PATH_ONLY_LENGTH);
  const length = load<i32>(entry + ROUTE_ENTRY_PATH_LENGTH);
  if (pathLength < length) return false;
  const wanted = table + load<i32>(entry + ROUTE_ENTRY_PATH_OFFSET);
  if (kind == PATH_MATCH_REGEX) return matchesRegex(wanted, path, pathLength);
  const ignoreCase = (load<i32>(entry + ROUTE_ENTRY_FLAGS) & ROUTE_ENTRY_FLAG_IGNORE_CASE) != 0;
  if (!(ignoreCase ? equalsIgnoreCase(path, wanted, length) : equals(path, wanted, length))) return false;
  if (kind == PATH_MATCH_PREFIX || pathLength == length) return true;
  return kind != PATH_MATCH_EXACT && load<u8>(path + length) == 0x2f;
}

/** Fills the result for the route that matched. */
function take(table: i32, entry: i32, random: i32, secure: i32): i32 {
  const action = load<i32>(entry + ROUTE_ENTRY_ACTION);
  store<i32>(ROUTE_TABLE, entry);
  store<i32>(ROUTE_POLICY, load<i32>(entry + ROUTE_ENTRY_POLICY));
  // A regular expression has matched the whole path.
  const regex = load<i32>(entry + ROUTE_ENTRY_MATCH) == PATH_MATCH_REGEX;
  store<i32>(ROUTE_MATCHED_PREFIX_LENGTH, load<i32>(regex ? REQ_PATH_ONLY_LENGTH : entry + ROUTE_ENTRY_PATH_LENGTH));
  store<i32>(ROUTE_NAME_OFFSET, table + load<i32>(entry + ROUTE_ENTRY_NAME_OFFSET));
  store<i32>(ROUTE_NAME_LENGTH, load<i32>(entry + ROUTE_ENTRY_NAME_LENGTH));
  if (action == ROUTE_ACTION_FORWARD) {
    const count = load<i32>(entry + ROUTE_ENTRY_WEIGHTED_COUNT);
    if (count == 0) {
      store<i32>(ROUTE_CLUSTER, load<i32>(entry + ROUTE_ENTRY_CLUSTER));
    } else {
      chooseWeighted(table, entry, count, random);
    }
    return setAction(ROUTE_ACTION_FORWARD);
  }
  store<i32>(ROUTE_STATUS, load<i32>(entry + ROUTE_ENTRY_STATUS));
  if (action == ROUTE_ACTION_DIRECT) {
    store<i32>(ROUTE_BODY_OFFSET, table + load<i32>(entry + ROUTE_ENTRY_BODY_OFFSET));
    store<i32>(ROUTE_BODY_LENGTH, load<i32>(entry + ROUTE_ENTRY_BODY_LENGTH));
  } else if (!buildRedirect(table, entry, secure)) {
    // The location has no room: as a head that is too large.
    store<i32>(ROUTE_STATUS, 431);
    return setAction(ROUTE_ACTION_DIRECT);
  }
  return setAction(action);
}

function chooseWeighted(table: i32, entry: i32, count: i32, random: i32): void {
  const chosen = random % load<i32>(entry + ROUTE_ENTRY_WEIGHT_TOTAL);
  let weighted = table + load<i32>(entry + ROUTE_ENTRY_WEIGHTED);
  for (let i = 1; i < count; i++) {
    if (chosen < load<i32>(weighted + WEIGHTED_CUMULATIVE)) break;
    weighted += WEIGHTED_BYTES;
  }
  store<i32>(ROUTE_CLUSTER, load<i32>(weighted + WEIGHTED_CLUSTER));
  store<i32>(ROUTE_POLICY, load<i32>(weighted + WEIGHTED_POLICY));
  store<i32>(ROUTE_WEIGHTED_TABLE, weighted);
}
