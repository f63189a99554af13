// Chooses the priority and the locality that a request goes to: shares by health, as Envoy works them out.
import { ENDPOINT_STATES, ENDPOINT_STATE_BYTES } from '../../../src/layout';
import {
  CLUSTER_ENDPOINTS, CLUSTER_ENDPOINT_BYTES, CLUSTER_PRIORITIES, CLUSTER_PRIORITY_COUNT, ENDPOINT_STATE_EJECTED,
  UNUSABLE_UNCHECKED,
} from '../../../src/table-layout';
import {
  CLUSTER_BALANCED, CLUSTER_LOCALITIES, CLUSTER_OVERPROVISIONING, CLUSTER_PANIC_THRESHOLD,
  CLUSTER_STATE_HEALTH_CHANGES, LOCALITY_BYTES, LOCALITY_COUNT, LOCALITY_FIRST, LOCALITY_SHARE, LOCALITY_WEIGHT,
  PICK_EXCLUDED, PICK_EXCLUDED_MAX, PRIORITY_BYTES, PRIORITY_COUNT, PRIORITY_FIRST, PRIORITY_HEALTH, PRIORITY_LOAD, PRIORITY_LOCALITIES,
  PRIORITY_LOCALITY_COUNT, PRIORITY_PANIC,
} from '../../../src/compile/balancing/priority-layout';
import { random64 } from '../../random';

/** Shares are worked out anew where the health of an endpoint has changed since, or the table is new. */
@inline
export function balance(table: i32, state: i32): void {
  const changes = load<i32>(state + CLUSTER_STATE_HEALTH_CHANGES) + 1;
  if (load<i32>(table + CLUSTER_BALANCED) == changes) return;
  store<i32>(table + CLUSTER_BALANCED, changes);
  sharePriorities(table);
}

/** @param percent 0 to 99, evenly distributed */
export function choosePriority(table: i32, percent: i32): i32 {
  const excluded = load<i32>(PICK_EXCLUDED);
  if (excluded != 0) {
    store<i32>(PICK_EXCLUDED, 0);
    const available = availableBeside(table, excluded);
    if (available > 0) return chooseBeside(table, excluded, available, percent);
  }
  const count = load<i32>(table + CLUSTER_PRIORITY_COUNT);
  let priority = table + load<i32>(table + CLUSTER_PRIORITIES);
  for (let i = 0; i < count; i++, priority += PRIORITY_BYTES) {
    if (percent < load<i32>(priority + PRIORITY_LOAD)) return i;
  }
  return 0;
}

/** The health of all priorities that are not excluded, at most 100. */
export function availableBeside(table: i32, excluded: i32): i32 {
  const count = load<i32>(table + CLUSTER_PRIORITY_COUNT);
  let priority = table + load<i32>(table + CLUSTER_PRIORITIES);
  let available = 0;
  for (let i = 0; i < count; i++, priority += PRIORITY_BYTES) {
    if (!isExcluded(excluded, i)) available += load<i32>(priority + PRIORITY_HEALTH);
  }
  return available > 100 ? 100 : available;
}

@inline
function isExcluded(excluded: i32, index: i32): bool {
  return index < PICK_EXCLUDED_MAX && (excluded & (1 << index)) != 0;
}

/** By the shares that the others have where nothing goes to the excluded ones; what rounding leaves goes to the first of them. */
function chooseBeside(table: i32, excluded: i32, available: i32, percent: i32): i32 {
  const count = load<i32>(table + CLUSTER_PRIORITY_COUNT);
  let priority = table + load<i32>(table + CLUSTER_PRIORITIES);
  let first = -1;
  let sum = 0;
  for (let i = 0; i < count; i++, priority += PRIORITY_BYTES) {
    const health = isExcluded(excluded, i) ? 0 : load<i32>(priority + PRIORITY_HEALTH);
    if (health == 0) continue;
    if (first < 0) first = i;
    sum += health * 100 / available;
    if (percent < sum) return i;
  }
  return first;
}

/** A locality of the priority by weight and health, 0 where it has no weighted ones. */
export function chooseLocality(table: i32, priority: i32): i32 {
  const count = load<i32>(priority + PRIORITY_LOCALITY_COUNT);
  if (count == 0) return 0;
  const first = table + load<i32>(table + CLUSTER_LOCALITIES) + load<i32>(priority + PRIORITY_LOCALITIES) * LOCALITY_BYTES;
  const total = load<u64>(first + (count - 1) * LOCALITY_BYTES + LOCALITY_SHARE);
  if (total == 0) return 0;
  const chosen = random64() % total;
  let locality = first;
  while (load<u64>(locality + LOCALITY_SHARE) <= chosen) locality += LOCALITY_BYTES;
  return locality;
}

/** Of the range that healthyOf() counted last: those whose first health check is over, or that have none. */
let eligible: i32 = 0;

function healthyOf(table: i32, first: i32, count: i32): i32 {
  let healthy = 0;
  eligible = count;
  let endpoint = table + load<i32>(table + CLUSTER_ENDPOINTS) + first * CLUSTER_ENDPOINT_BYTES;
  for (let i = 0; i < count; i++, endpoint += CLUSTER_ENDPOINT_BYTES) {
    const state = ENDPOINT_STATES + load<i32>(endpoint) * ENDPOINT_STATE_BYTES;
    const unusable = load<i32>(state + ENDPOINT_STATE_EJECTED);
    if (unusable == 0) healthy++;
    else if ((unusable & UNUSABLE_UNCHECKED) != 0) eligible--;
  }
  return healthy;
}

/** Of 100; healthy endpoints stand in for others as far as they are overprovisioned. */
@inline
function healthOf(table: i32, healthy: i32, size: i32): i32 {
  if (size == 0) return 0;
  const health = <i64>load<i32>(table + CLUSTER_OVERPROVISIONING) * <i64>healthy / <i64>size;
  return health > 100 ? 100 : <i32>health;
}

/** Fills what pick() asks for: the loads of the priorities, who of them is in panic, the shares of localities. */
function sharePriorities(table: i32): void {
  const priorities = table + load<i32>(table + CLUSTER_PRIORITIES);
  const end = priorities + load<i32>(table + CLUSTER_PRIORITY_COUNT) * PRIORITY_BYTES;
  let available = 0;
  for (let priority = priorities; priority < end; priority += PRIORITY_BYTES) {
    const size = load<i32>(priority + PRIORITY_COUNT);
    const healthy = healthyOf(table, load<i32>(priority + PRIORITY_FIRST), size);
    const health = healthOf(table, healthy, eligible);
    store<i32>(priority + PRIORITY_HEALTH, health);
    available += health;
    shareLocalities(table, priority);
  }
  if (available > 100) available = 100;
  const threshold = <i64>load<i32>(table + CLUSTER_PANIC_THRESHOLD);
  let allInPanic = true;
  let endpoints: i64 = 0;
  for (let priority = priorities; priority < end; priority += PRIORITY_BYTES) {
    const size = <i64>load<i32>(priority + PRIORITY_COUNT);
    // healthyOf() says how many of them count.
    const healthy = <i64>healthyOf(table, load<i32>(priority + PRIORITY_FIRST), <i32>size);
    const panic = available < 100 && healthy * 10000 < threshold * <i64>eligible;
    store<i32>(priority + PRIORITY_PANIC, panic ? 1 : 0);
    if (!panic) allInPanic = false;
    endpoints += size;
  }
  let sum = 0;
  let firstLoaded = end;
  for (let priority = priorities; priority < end; priority += PRIORITY_BYTES) {
    let share = 0;
    if (allInPanic) share = endpoints == 0 ? 0 : <i32>(<i64>load<i32>(priority + PRIORITY_COUNT) * 100 / endpoints);
    else if (available > 0) share = load<i32>(priority + PRIORITY_HEALTH) * 100 / available;
    if (share > 100 - sum) share = 100 - sum;
    if (share > 0 && firstLoaded == end) firstLoaded = priority;
    sum += share;
    store<i32>(priority + PRIORITY_LOAD, sum);
  }
  // What rounding left, or everything where nobody is healthy, goes to the first.
  if (firstLoaded == end) firstLoaded = priorities;
  for (let priority = firstLoaded; priority < end; priority += PRIORITY_BYTES) {
    store<i32>(priority + PRIORITY_LOAD, load<i32>(priority + PRIORITY_LOAD) + 100 - sum);
  }
}

function shareLocalities(table: i32, priority: i32): void {
  const count = load<i32>(priority + PRIORITY_LOCALITY_COUNT);
  let locality = table + load<i32>(table + CLUSTER_LOCALITIES) + load<i32>(priority + PRIORITY_LOCALITIES) * LOCALITY_BYTES;
  let sum: u64 = 0;
  for (let i = 0; i < count; i++, locality += LOCALITY_BYTES) {
    const size = load<i32>(locality + LOCALITY_COUNT);
    const healthy = healthyOf(table, load<i32>(locality + LOCALITY_FIRST), size);
    sum += <u64>load<u32>(locality + LOCALITY_WEIGHT) * <u64>healthOf(table, healthy, eligible);
    store<u64>(locality + LOCALITY_SHARE, sum);
  }
}
