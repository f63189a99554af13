// Chooses an endpoint of a cluster, and counts what a cluster's circuit breakers limit. State is keyed by stable slots.
import { CLUSTER_SLOT_COUNT, CLUSTER_STATES, CLUSTER_STATE_BYTES, ENDPOINT_SLOT_COUNT, ENDPOINT_STATES, ENDPOINT_STATE_BYTES, PICK_TRIED, PICK_TRIED_MAX } from '../../../src/layout';
import {
  CLUSTER_CHOICES, CLUSTER_ENDPOINTS, CLUSTER_ENDPOINT_BYTES, CLUSTER_FLAGS, CLUSTER_FLAG_EQUAL_WEIGHTS,
  CLUSTER_FLAG_EXTERNAL, CLUSTER_LIMITS, CLUSTER_POLICY, CLUSTER_PRIORITIES, CLUSTER_PRIORITY_COUNT,
  CLUSTER_STATE_PENDING, CLUSTER_STATE_REQUESTS, LIMIT_RETRIES,
  CLUSTER_STATE_CONNECTIONS, CLUSTER_STATE_CURSOR, CLUSTER_STATE_OVERFLOWS, CLUSTER_STATE_TABLE, CLUSTER_STATE_TOTAL,
  ENDPOINT_STATE_ACTIVE, ENDPOINT_STATE_CURRENT_WEIGHT, ENDPOINT_STATE_EJECTED, ENDPOINT_STATE_TOTAL,
  LB_LEAST_REQUEST, LB_ORIGINAL_DESTINATION, LB_RANDOM, PICK_NO_CLUSTER, PICK_NO_HEALTHY, PICK_ORIGINAL_DESTINATION,
  UNUSABLE_UNCHECKED,
} from '../../../src/table-layout';
import {
  LOCALITY_COUNT, LOCALITY_CURSOR, LOCALITY_FIRST, LOCALITY_WEIGHT_BEFORE, PICK_EXCLUDED_MAX, PRIORITY_BYTES, PRIORITY_COUNT,
  PRIORITY_CURSOR, PRIORITY_FIRST, PRIORITY_PANIC,
} from '../../../src/compile/balancing/priority-layout';
import { CLUSTER_RETRY_BUDGET } from '../../../src/compile/limits/budget-layout';
import { LB_MAGLEV, LB_RING_HASH, PICK_HASH, PICK_HASH_SET } from '../../../src/compile/hashing/hash-layout';
import { random64, randomBelow } from '../../random';
import { pickByHash } from './consistent-hash';
import { CLUSTER_STATE_WARMING } from '../../../src/compile/balancing/warm-up-layout';
import { availableBeside, balance, chooseLocality, choosePriority } from './priorities';
import { beginWarm, drawWarm, warmWeight } from './warm-up';

/** Draws that may meet an unusable endpoint before the next usable one in order is taken. */
const REDRAWS = 8;

let triedCount: i32 = 0;
/** The priority that is looked at has so few healthy endpoints that all are used. */
let inPanic: bool = false;
/** Some endpoints of the cluster warm up: of their weights only a part counts. */
let warming: bool = false;
/** What the sums of weights begin with in the range that is drawn from. */
let weightBefore: i32 = 0;

/** See core-functions.ts. */
export function pick(clusterSlot: i32, tried: i32, attempts: i32): i32 {
  const state = clusterState(clusterSlot);
  const table = state == 0 ? 0 : load<i32>(state + CLUSTER_STATE_TABLE);
  if (table == 0) return PICK_NO_CLUSTER;
  store<i32>(state + CLUSTER_STATE_TOTAL, load<i32>(state + CLUSTER_STATE_TOTAL) + 1);
  const policy = load<i32>(table + CLUSTER_POLICY);
  if (policy == LB_ORIGINAL_DESTINATION) return PICK_ORIGINAL_DESTINATION;
  const byHash = policy == LB_RING_HASH || policy == LB_MAGLEV;
  // Without a hash any endpoint will do: the table is asked by a random number.
  const hash: u64 = !byHash ? 0 : load<i32>(PICK_HASH_SET) != 0 ? load<u64>(PICK_HASH) : random64();
  store<i32>(PICK_HASH_SET, 0);
  balance(table, state);
  warming = load<i32>(state + CLUSTER_STATE_WARMING) != 0;
  const count = load<i32>(table + CLUSTER_PRIORITY_COUNT);
  const first = count > 1 ? choosePriority(table, byHash ? <i32>(hash % 100) : randomBelow(100)) : 0;
  let slot = pickInPriority(table, state, policy, first, hash, tried, attempts);
  // The one that was chosen has only tried endpoints, or none: the others in their order.
  for (let i = 0; slot < 0 && i < count; i++) {
    if (i != first) slot = pickInPriority(table, state, policy, i, hash, tried, attempts);
  }
  inPanic = false;
  if (slot < 0) return PICK_NO_HEALTHY;
  const endpoint = ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES;
  store<i32>(endpoint + ENDPOINT_STATE_TOTAL, load<i32>(endpoint + ENDPOINT_STATE_TOTAL) + 1);
  return slot;
}

/** See core-functions.ts. */
export function triedPriorities(clusterSlot: i32, tried: i32): i32 {
  const state = clusterState(clusterSlot);
  const table = state == 0 ? 0 : load<i32>(state + CLUSTER_STATE_TABLE);
  if (table == 0) return 0;
  balance(table, state);
  triedCount = tried < 0 ? 0 : tried > PICK_TRIED_MAX ? PICK_TRIED_MAX : tried;
  let count = load<i32>(table + CLUSTER_PRIORITY_COUNT);
  if (count > PICK_EXCLUDED_MAX) count = PICK_EXCLUDED_MAX;
  let excluded = 0;
  let priority = table + load<i32>(table + CLUSTER_PRIORITIES);
  for (let i = 0; i < count; i++, priority += PRIORITY_BYTES) {
    const first = table + load<i32>(table + CLUSTER_ENDPOINTS) + load<i32>(priority + PRIORITY_FIRST) * CLUSTER_ENDPOINT_BYTES;
    const size = load<i32>(priority + PRIORITY_COUNT);
    for (let place = 0; place < size; place++) {
      if (!wasTried(slotAt(first, place))) continue;
      excluded |= 1 << i;
      break;
    }
  }
  return availableBeside(table, excluded) == 0 ? 0 : excluded;
}

/** An endpoint of one priority, -1 where there is none. In panic all of them are usable. */
function pickInPriority(table: i32, state: i32, policy: i32, index: i32, hash: u64, tried: i32, attempts: i32): i32 {
  if (index >= load<i32>(table + CLUSTER_PRIORITY_COUNT)) return -1;
  const priority = table + load<i32>(table + CLUSTER_PRIORITIES) + index * PRIORITY_BYTES;
  inPanic = load<i32>(priority + PRIORITY_PANIC) != 0;
  triedCount = tried < 0 ? 0 : tried > PICK_TRIED_MAX ? PICK_TRIED_MAX : tried;
  if (policy == LB_RING_HASH || policy == LB_MAGLEV) return pickByHash(table, index, hash, attempts);
  const all = table + load<i32>(table + CLUSTER_ENDPOINTS);
  // A single priority goes on with its turns when the tables change.
  const cursor = load<i32>(table + CLUSTER_PRIORITY_COUNT) == 1 ? state + CLUSTER_STATE_CURSOR : priority + PRIORITY_CURSOR;
  const endpoints = all + load<i32>(priority + PRIORITY_FIRST) * CLUSTER_ENDPOINT_BYTES;
  const size = load<i32>(priority + PRIORITY_COUNT);
  const locality = inPanic ? 0 : chooseLocality(table, priority);
  let slot = -1;
  if (locality != 0) {
    const own = all + load<i32>(locality + LOCALITY_FIRST) * CLUSTER_ENDPOINT_BYTES;
    weightBefore = load<i32>(locality + LOCALITY_WEIGHT_BEFORE);
    slot = pickIn(table, locality + LOCALITY_CURSOR, policy, own, load<i32>(locality + LOCALITY_COUNT), attempts);
    weightBefore = 0;
  }
  if (slot < 0) slot = pickIn(table, cursor, policy, endpoints, size, attempts);
  if (slot < 0 && triedCount > 0) {
    // Only endpoints that were tried are left: one of them again, rather than none.
    triedCount = 0;
    slot = pickIn(table, cursor, policy, endpoints, size, attempts);
  }
  return slot;
}

/** One range of endpoints: by policy, and where that only met unusable endpoints, the next usable one in order. */
function pickIn(table: i32, cursorAt: i32, policy: i32, endpoints: i32, size: i32, attempts: i32): i32 {
  if (size == 0) return -1;
  const equal = !warming && (load<i32>(table + CLUSTER_FLAGS) & CLUSTER_FLAG_EQUAL_WEIGHTS) != 0;
  if (warming) beginWarm(weightSum(endpoints, size));
  if (policy == LB_LEAST_REQUEST) return leastRequest(table, endpoints, size, equal, attempts);
  if (policy == LB_RANDOM) {
    // As in Envoy the weights of endpoints do not count here.
    for (let i = 0; i < REDRAWS; i++) {
      const slot = slotAt(endpoints, randomBelow(size));
      if (isUsable(slot)) return slot;
    }
    return nextUsable(endpoints, size, randomBelow(size));
  }
  if (!equal) return smoothWeighted(endpoints, size);
  const cursor = load<i32>(cursorAt);
  const start = <i32>(<u32>cursor % <u32>size);
  const slot = nextUsable(endpoints, size, start);
  // Past the endpoint chosen, so that the one after an ejected endpoint does not get its share as well.
  store<i32>(cursorAt, (cursor - start + lastIndex + 1) & 0x7fffffff);
  return slot;
}

let lastIndex: i32 = 0;

@inline
function slotAt(endpoints: i32, index: i32): i32 {
  return load<i32>(endpoints + index * CLUSTER_ENDPOINT_BYTES);
}

@inline
function isUsable(slot: i32): bool {
  return !isEjected(slot) && !wasTried(slot);
}

export function isEjected(slot: i32): bool {
  const unusable = load<i32>(ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES + ENDPOINT_STATE_EJECTED);
  return inPanic ? (unusable & UNUSABLE_UNCHECKED) != 0 : unusable != 0;
}

export function wasTried(slot: i32): bool {
  for (let i = 0; i < triedCount; i++) {
    if (load<i32>(PICK_TRIED + (i << 2)) == slot) return true;
  }
  return false;
}

/** The first usable endpoint from `start` on, around; sets lastIndex (start + steps). -1 where there is none. */
function nextUsable(endpoints: i32, size: i32, start: i32): i32 {
  for (let step = 0; step < size; step++) {
    let index = start + step;
    lastIndex = index;
    if (index >= size) index -= size;
    const slot = slotAt(endpoints, index);
    if (isUsable(slot)) return slot;
  }
  lastIndex = start;
  return -1;
}

@inline
function weightSum(endpoints: i32, size: i32): i32 {
  return load<i32>(endpoints + (size - 1) * CLUSTER_ENDPOINT_BYTES + 12) - weightBefore;
}

/** A random index, by weight. */
function draw(endpoints: i32, size: i32, equal: bool): i32 {
  if (equal) return randomBelow(size);
  if (warming) return drawWarm(endpoints, size);
  const total = weightSum(endpoints, size);
  const chosen = randomBelow(total) + weightBefore;
  let low = 0;
  let high = size - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chosen < load<i32>(endpoints + middle * CLUSTER_ENDPOINT_BYTES + 12)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The least busy of CLUSTER_CHOICES drawn at random; busy counts requests in relation to weight. */
function leastRequest(table: i32, endpoints: i32, size: i32, equal: bool, attempts: i32): i32 {
  let best = -1;
  let bestIndex = 0;
  let found = 0;
  const choices = load<i32>(table + CLUSTER_CHOICES);
  const limit = choices + (attempts > REDRAWS ? attempts : REDRAWS);
  for (let i = 0; i < limit && found < choices; i++) {
    let index = draw(endpoints, size, equal);
    // Two draws of one endpoint would be no choice: with equal weights take its neighbour.
    if (equal && best >= 0 && index == bestIndex && size > 1) index = index + 1 == size ? 0 : index + 1;
    const slot = slotAt(endpoints, index);
    if (!isUsable(slot)) continue;
    found++;
    if (best < 0 || isLessBusy(endpoints, index, bestIndex)) {
      best = slot;
      bestIndex = index;
    }
  }
  return best >= 0 ? best : nextUsable(endpoints, size, randomBelow(size));
}

function isLessBusy(endpoints: i32, index: i32, other: i32): bool {
  const a = <i64>activeAt(slotAt(endpoints, index)) * <i64>weightAt(endpoints, other);
  const b = <i64>activeAt(slotAt(endpoints, other)) * <i64>weightAt(endpoints, index);
  return a < b;
}

@inline
function activeAt(slot: i32): i32 {
  return load<i32>(ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES + ENDPOINT_STATE_ACTIVE);
}

@inline
function weightAt(endpoints: i32, index: i32): i32 {
  const weight = load<i32>(endpoints + index * CLUSTER_ENDPOINT_BYTES + 4);
  return warming ? warmWeight(slotAt(endpoints, index), weight) : weight;
}

/** Round robin with weights that spreads each endpoint's turns evenly (nginx's algorithm). */
function smoothWeighted(endpoints: i32, size: i32): i32 {
  let best = -1;
  let bestState = 0;
  let total = 0;
  for (let i = 0; i < size; i++) {
    const slot = slotAt(endpoints, i);
    if (!isUsable(slot)) continue;
    const state = ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES;
    const weight = weightAt(endpoints, i);
    const current = load<i32>(state + ENDPOINT_STATE_CURRENT_WEIGHT) + weight;
    store<i32>(state + ENDPOINT_STATE_CURRENT_WEIGHT, current);
    total += weight;
    if (best < 0 || current > load<i32>(bestState + ENDPOINT_STATE_CURRENT_WEIGHT)) {
      best = slot;
      bestState = state;
    }
  }
  if (best >= 0) {
    store<i32>(bestState + ENDPOINT_STATE_CURRENT_WEIGHT, load<i32>(bestState + ENDPOINT_STATE_CURRENT_WEIGHT) - total);
  }
  return best;
}

/** Offset of the cluster's state, 0 for a slot that cannot be. */
@inline
function clusterState(slot: i32): i32 {
  return <u32>slot < <u32>CLUSTER_SLOT_COUNT ? CLUSTER_STATES + slot * CLUSTER_STATE_BYTES : 0;
}

/** Whether peer headers must not go to this cluster. */
export function isExternal(clusterSlot: i32): bool {
  const state = clusterState(clusterSlot);
  const table = state == 0 ? 0 : load<i32>(state + CLUSTER_STATE_TABLE);
  return table == 0 || (load<i32>(table + CLUSTER_FLAGS) & CLUSTER_FLAG_EXTERNAL) != 0;
}

export function acquire(clusterSlot: i32, kind: i32): i32 {
  const state = clusterState(clusterSlot);
  if (state == 0 || <u32>kind > 3) return 0;
  const counter = state + CLUSTER_STATE_CONNECTIONS + (kind << 2);
  const table = load<i32>(state + CLUSTER_STATE_TABLE);
  const used = load<i32>(counter);
  // Without a table (the cluster is gone) what still drains is not limited.
  if (table != 0 && used >= limitOf(state, table, kind)) {
    const overflow = state + CLUSTER_STATE_OVERFLOWS + (kind << 2);
    store<i32>(overflow, load<i32>(overflow) + 1);
    return 0;
  }
  store<i32>(counter, used + 1);
  return 1;
}

/** With a budget the retries that there may be follow the requests that there are. */
function limitOf(state: i32, table: i32, kind: i32): i32 {
  const budget = kind == LIMIT_RETRIES ? load<i32>(table + CLUSTER_RETRY_BUDGET) : 0;
  if (budget == 0) return load<i32>(table + CLUSTER_LIMITS + (kind << 2));
  const active = <i64>load<i32>(state + CLUSTER_STATE_REQUESTS) + load<i32>(state + CLUSTER_STATE_PENDING);
  const share = (active * ((budget >> 16) & 0x3fff)) / 10000;
  const least = <i64>(budget & 0xffff);
  return <i32>(share > least ? share : least);
}

export function release(clusterSlot: i32, kind: i32): void {
  const state = clusterState(clusterSlot);
  if (state == 0 || <u32>kind > 3) return;
  const counter = state + CLUSTER_STATE_CONNECTIONS + (kind << 2);
  const used = load<i32>(counter);
  if (used > 0) store<i32>(counter, used - 1);
}

export function endpointBegin(slot: i32): void {
  if (<u32>slot >= <u32>ENDPOINT_SLOT_COUNT) return;
  const counter = ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES + ENDPOINT_STATE_ACTIVE;
  store<i32>(counter, load<i32>(counter) + 1);
}

export function endpointEnd(slot: i32): void {
  if (<u32>slot >= <u32>ENDPOINT_SLOT_COUNT) return;
  const counter = ENDPOINT_STATES + slot * ENDPOINT_STATE_BYTES + ENDPOINT_STATE_ACTIVE;
  const active = load<i32>(counter);
  if (active > 0) store<i32>(counter, active - 1);
}
