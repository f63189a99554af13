// Finds the routes of a large virtual host that may match a path, in their order: by a hash of each of the path's beginnings.
import { REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH, ROUTE_CANDIDATES } from '../../src/layout';
import {
  ROUTE_INDEX_LENGTHS, ROUTE_INDEX_LENGTH_COUNT, ROUTE_INDEX_MASK, ROUTE_INDEX_REST,
  ROUTE_INDEX_REST_COUNT, ROUTE_INDEX_SLOTS, ROUTE_SLOT_BYTES, ROUTE_SLOT_HASH, ROUTE_SLOT_LITERAL,
  ROUTE_SLOT_LITERAL_LENGTH, ROUTE_SLOT_ROUTES, ROUTE_SLOT_ROUTE_COUNT,
} from '../../src/compile/match/route-index-layout';
import { equalsIgnoreCase, hashName } from '../ascii';

/** Lists of places of routes, each ascending, at ROUTE_CANDIDATES. */
let listCount: i32 = 0;

/** Begins a search. @param index the virtual host's index (absolute) */
export function openCandidates(table: i32, index: i32): void {
  listCount = 0;
  addList(table + load<i32>(index + ROUTE_INDEX_REST), load<i32>(index + ROUTE_INDEX_REST_COUNT));
  const path = load<i32>(REQ_PATH_OFFSET);
  const pathLength = load<i32>(REQ_PATH_ONLY_LENGTH);
  const mask = load<i32>(index + ROUTE_INDEX_MASK);
  const slots = table + load<i32>(index + ROUTE_INDEX_SLOTS);
  let at = table + load<i32>(index + ROUTE_INDEX_LENGTHS);
  for (let left = load<i32>(index + ROUTE_INDEX_LENGTH_COUNT); left > 0; left--) {
    const length = load<i32>(at);
    if (length > pathLength) return;
    addSlot(table, slots, mask, path, length);
    at += 4;
  }
}

/** The place of the next route that may match; -1: there is none. */
export function nextCandidate(): i32 {
  let best: i32 = -1;
  let bestAt: i32 = 0;
  let at = ROUTE_CANDIDATES;
  for (let left = listCount; left > 0; left--) {
    const place = load<i32>(load<i32>(at));
    if (best < 0 || place < best) {
      best = place;
      bestAt = at;
    }
    at += 8;
  }
  if (best < 0) return -1;
  const next = load<i32>(bestAt) + 4;
  if (next < load<i32>(bestAt + 4)) {
    store<i32>(bestAt, next);
  } else {
    // The last list takes the place of the one that is at its end.
    listCount--;
    store<u64>(bestAt, load<u64>(ROUTE_CANDIDATES + (listCount << 3)));
  }
  return best;
}

@inline
function addList(at: i32, count: i32): void {
  if (count == 0) return;
  const list = ROUTE_CANDIDATES + (listCount << 3);
  store<i32>(list, at);
  store<i32>(list + 4, at + (count << 2));
  listCount++;
}

function addSlot(table: i32, slots: i32, mask: i32, path: i32, length: i32): void {
  const hash = hashName(path, length);
  let place = hash & mask;
  while (true) {
    const slot = slots + place * ROUTE_SLOT_BYTES;
    const count = load<i32>(slot + ROUTE_SLOT_ROUTE_COUNT);
    if (count == 0) return;
    if (
      load<i32>(slot + ROUTE_SLOT_HASH) == hash && load<i32>(slot + ROUTE_SLOT_LITERAL_LENGTH) == length &&
      equalsIgnoreCase(path, table + load<i32>(slot + ROUTE_SLOT_LITERAL), length)
    ) {
      addList(table + load<i32>(slot + ROUTE_SLOT_ROUTES), count);
      return;
    }
    place = (place + 1) & mask;
  }
}
