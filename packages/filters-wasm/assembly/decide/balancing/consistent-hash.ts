// Chooses by hash from a ring or a Maglev table: the same endpoint as Envoy for the same hash, also when asked again.
import {
  CHOICES_BYTES, CHOICES_COUNT, CHOICES_HASHES, CHOICES_SLOTS, CLUSTER_CHOICES_BY_HASH,
} from '../../../src/compile/hashing/hash-layout';
import { isEjected, wasTried } from './load-balance';

/**
 * The endpoint's slot, -1 where none is usable. Of tried endpoints another is asked for `attempts` times; what comes then
 * is taken, tried or not.
 */
export function pickByHash(table: i32, priority: i32, hash: u64, attempts: i32): i32 {
  const choices = table + load<i32>(table + CLUSTER_CHOICES_BY_HASH) + priority * CHOICES_BYTES;
  const count = load<i32>(choices + CHOICES_COUNT);
  if (count == 0) return -1;
  const slots = table + load<i32>(choices + CHOICES_SLOTS);
  const hashes = load<i32>(choices + CHOICES_HASHES);
  let index = hashes == 0 ? <i32>(hash % <u64>count) : firstFrom(table + hashes, count, hash);
  let slot = -1;
  for (let attempt = 0; attempt <= attempts; attempt++) {
    // Envoy's ways to ask again: the next place of the ring, another place of the Maglev table.
    if (attempt > 0) {
      if (hashes != 0) index = index + 1 == count ? 0 : index + 1;
      else index = <i32>((hash ^ (0 - <u64>attempt)) % <u64>count);
    }
    index = usableFrom(slots, count, index);
    if (index < 0) return -1;
    slot = <i32>load<u16>(slots + (index << 1));
    if (!wasTried(slot)) return slot;
  }
  return slot;
}

/** The first place whose hash is not less, around. */
function firstFrom(hashes: i32, count: i32, hash: u64): i32 {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u64>(hashes + (middle << 3)) < hash) low = middle + 1;
    else high = middle;
  }
  return low == count ? 0 : low;
}

/** The next place from there on, around, whose endpoint is not ejected: that endpoint's share goes to its neighbours. */
function usableFrom(slots: i32, count: i32, start: i32): i32 {
  let index = start;
  do {
    if (!isEjected(<i32>load<u16>(slots + (index << 1)))) return index;
    index = index + 1 == count ? 0 : index + 1;
  } while (index != start);
  return -1;
}
