// Rate limits that a service decides about (envoy.extensions.filters.http.ratelimit.v3): what a request is to it, by the
// actions of its route and virtual host. Asking is the embedder's business.
import {
  LISTENER_ASKS, LISTENER_ASK_COUNT, ROUTE_TABLE, ROUTE_VIRTUAL_HOST_TABLE,
} from '../../src/layout';
import {
  ACTIONS_LIMITS, ACTIONS_LIMIT_COUNT, ACTIONS_WITH_HOST, ACTION_ADDRESS, ACTION_BYTES, ACTION_CLUSTER, ACTION_FLAG,
  ACTION_HASH, ACTION_HEADER, ACTION_HEADER_MATCH, ACTION_KEY, ACTION_KEY_LENGTH, ACTION_KIND, ACTION_MATCHERS,
  ACTION_MATCHER_COUNT, ACTION_NETWORK, ACTION_NEVER, ACTION_PSEUDO, ACTION_QUERY_MATCH, ACTION_SOURCE, ACTION_VALUE,
  ACTION_VALUE_LENGTH, ASK_ACTIONS, ASK_ANY, ASK_BYTES, ASK_FILTER, ASK_INTERNAL, ASK_REQUEST_TYPE, ASK_ROUTE_DOMAIN,
  ASK_ROUTE_DOMAIN_LENGTH, ASK_ROUTE_HOST_ACTIONS, ASK_STAGE, DESCRIBED_ACTIONS, DESCRIBED_ACTION_COUNT,
  DESCRIBED_BYTES, DESCRIBED_STAGE, DESCRIPTOR_ENTRIES, DESCRIPTOR_ENTRY_COUNT, DESCRIPTOR_LIMIT, DESCRIPTORS, DESCRIPTORS_DOMAIN, DESCRIPTORS_DOMAIN_LENGTH, ENTRY_BITS, ENTRY_BYTES,
  ENTRY_CLUSTER, ENTRY_KEY, ENTRY_KEY_LENGTH, ENTRY_KIND, ENTRY_NETWORK, ENTRY_SOURCE, ENTRY_TEXT, ENTRY_VALUE,
  ENTRY_VALUE_LENGTH, HOST_ACTIONS_NEVER, HOST_ACTIONS_TOO, HOST_ACTIONS_UNLESS_OWN,
} from '../../src/compile/limits/ask-layout';
import { ROUTE_ENTRY_FILTERS, TEXT_INTERNAL, TEXT_TRUE, VIRTUAL_HOST_FILTERS } from '../../src/table-layout';
import { equals, hashName } from '../ascii';
import { addressAt, addressLength, findClientAddress } from '../decide/client-address';
import { findFirstValue, findHeader, foundAt, foundLength, matchHeaders, matchParameters } from '../decide/header-match';
import { textAt, textLength } from '../texts';
import { configAt, routeConfigOf } from './filter-config';

/** Where the next descriptor goes, and how many there are. */
let end: i32 = 0;
let made: i32 = 0;

/** See core-functions.ts. */
export function describeLimits(listener: i32, index: i32, connection: i32, secure: i32): i32 {
  if (<u32>index >= <u32>load<i32>(listener + LISTENER_ASK_COUNT)) return 0;
  const ask = listener + load<i32>(listener + LISTENER_ASKS) + index * ASK_BYTES;
  const route = load<i32>(ROUTE_TABLE);
  const config = routeConfigOf(load<i32>(ask + ASK_FILTER));
  if (route == 0 || config == 0 || !isFor(load<i32>(ask + ASK_REQUEST_TYPE))) return 0;
  store<i32>(DESCRIPTORS_DOMAIN_LENGTH, config < 0 ? 0 : load<i32>(config + ASK_ROUTE_DOMAIN_LENGTH));
  store<i32>(DESCRIPTORS_DOMAIN, config < 0 ? 0 : config + load<i32>(config + ASK_ROUTE_DOMAIN));
  end = DESCRIPTORS;
  made = 0;
  const actions = load<i32>(ask + ASK_ACTIONS);
  const stage = load<i32>(ask + ASK_STAGE);
  const own = configAt(route + ROUTE_ENTRY_FILTERS, actions);
  const hasOwn = own > 0 && load<i32>(own + ACTIONS_LIMIT_COUNT) != 0;
  if (hasOwn) describe(own, stage, listener, connection, secure);
  let hosts = config < 0 ? HOST_ACTIONS_UNLESS_OWN : load<i32>(config + ASK_ROUTE_HOST_ACTIONS);
  if (own > 0 && load<i32>(own + ACTIONS_WITH_HOST) != 0) hosts = HOST_ACTIONS_TOO;
  if (hosts == HOST_ACTIONS_NEVER || (hosts == HOST_ACTIONS_UNLESS_OWN && hasOwn)) return made;
  const host = configAt(load<i32>(ROUTE_VIRTUAL_HOST_TABLE) + VIRTUAL_HOST_FILTERS, actions);
  if (host > 0) describe(host, stage, listener, connection, secure);
  return made;
}

/** A request is internal where a proxy of the mesh says so; from outside nobody can. */
function isFor(requestType: i32): bool {
  if (requestType == ASK_ANY) return true;
  const name = textAt(TEXT_INTERNAL);
  const length = textLength(TEXT_INTERNAL);
  const internal = findHeader(name, length, hashName(name, length)) && foundLength == textLength(TEXT_TRUE)
    && equals(foundAt, textAt(TEXT_TRUE), foundLength);
  return internal == (requestType == ASK_INTERNAL);
}

/** Adds a descriptor for each rate limit of the stage that has one for the request. */
function describe(record: i32, stage: i32, listener: i32, connection: i32, secure: i32): void {
  const limits = record + load<i32>(record + ACTIONS_LIMITS);
  for (let i = 0, count = load<i32>(record + ACTIONS_LIMIT_COUNT); i < count; i++) {
    const limit = limits + i * DESCRIBED_BYTES;
    if (load<i32>(limit + DESCRIBED_STAGE) != stage) continue;
    store<i32>(end + DESCRIPTOR_LIMIT, i);
    addDescriptor(record, limit, listener, connection, secure);
  }
}

function addDescriptor(record: i32, limit: i32, listener: i32, connection: i32, secure: i32): void {
  let action = record + load<i32>(limit + DESCRIBED_ACTIONS);
  let entry = end + DESCRIPTOR_ENTRIES;
  for (let left = load<i32>(limit + DESCRIBED_ACTION_COUNT); left > 0; left--) {
    const kind = load<i32>(action + ACTION_KIND);
    if (kind == ACTION_NEVER) return;
    let entryKind = ENTRY_TEXT;
    let at = record + load<i32>(action + ACTION_VALUE);
    let length = load<i32>(action + ACTION_VALUE_LENGTH);
    let present = true;
    if (kind == ACTION_HEADER) {
      const pseudo = load<i32>(action + ACTION_PSEUDO);
      present = findFirstValue(pseudo, at, length, load<i32>(action + ACTION_HASH), secure);
      // An entry may be left out, but not the descriptor's others.
      if (!present && load<i32>(action + ACTION_FLAG) == 0) return;
      at = foundAt;
      length = foundLength;
    } else if (kind == ACTION_ADDRESS || kind == ACTION_NETWORK) {
      if (!findClientAddress(listener, connection)) return;
      if (kind == ACTION_NETWORK) {
        entryKind = ENTRY_NETWORK;
        store<i32>(entry + ENTRY_BITS, load<i32>(action + ACTION_VALUE) | (load<i32>(action + ACTION_VALUE_LENGTH) << 8));
      }
      at = addressAt;
      length = addressLength;
    } else if (kind == ACTION_CLUSTER) {
      entryKind = ENTRY_CLUSTER;
    } else if (kind == ACTION_SOURCE) {
      entryKind = ENTRY_SOURCE;
    } else if (kind == ACTION_HEADER_MATCH || kind == ACTION_QUERY_MATCH) {
      const matchers = record + load<i32>(action + ACTION_MATCHERS);
      const count = load<i32>(action + ACTION_MATCHER_COUNT);
      const agree = kind == ACTION_HEADER_MATCH
        ? matchHeaders(record, matchers, count, secure)
        : matchParameters(record, matchers, count);
      if (agree != (load<i32>(action + ACTION_FLAG) != 0)) return;
    }
    if (present) {
      store<i32>(entry + ENTRY_KIND, entryKind);
      store<i32>(entry + ENTRY_KEY, record + load<i32>(action + ACTION_KEY));
      store<i32>(entry + ENTRY_KEY_LENGTH, load<i32>(action + ACTION_KEY_LENGTH));
      store<i32>(entry + ENTRY_VALUE, at);
      store<i32>(entry + ENTRY_VALUE_LENGTH, length);
      entry += ENTRY_BYTES;
    }
    action += ACTION_BYTES;
  }
  // As Envoy, also where all entries were left out.
  store<i32>(end + DESCRIPTOR_ENTRY_COUNT, (entry - end - DESCRIPTOR_ENTRIES) / ENTRY_BYTES);
  end = entry;
  made++;
}
