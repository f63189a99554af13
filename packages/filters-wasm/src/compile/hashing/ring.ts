// The ring of ring hash: so many points for each host that the least one has a whole number of them (as Envoy builds it).
import type { Hash64, HashedHost } from './consistent-hashing.js';

/** Points in ascending order: their hashes, u64 as low and high half, and the slots of their hosts. */
export interface Ring {
  readonly hashes: Uint32Array<ArrayBuffer>;
  readonly slots: Uint16Array<ArrayBuffer>;
}

/** Builds the ring of one priority. Sums are kept as they are in Envoy, so that shares round alike. */
export function buildRing(hosts: readonly HashedHost[], minSize: number, maxSize: number, hash64: Hash64): Ring {
  const leastShare = hosts.reduce((least, { share }) => Math.min(least, share), 1);
  const scale = Math.min(Math.ceil(leastShare * minSize) / leastShare, maxSize);
  const highs: number[] = [];
  const lows: number[] = [];
  const owners: number[] = [];
  let wanted = 0;
  for (const { key, slot, share } of hosts) {
    wanted += scale * share;
    for (let point = 0; owners.length < wanted; point++) {
      const { high, low } = hash64(`${key}_${point}`, 0);
      highs.push(high);
      lows.push(low);
      owners.push(slot);
    }
  }
  const order = Uint32Array.from(owners.keys()).sort((a, b) => highs[a]! - highs[b]! || lows[a]! - lows[b]! || a - b);
  const hashes = new Uint32Array(order.length * 2);
  const slots = new Uint16Array(order.length);
  order.forEach((point, index) => {
    hashes[index * 2] = lows[point]!;
    hashes[index * 2 + 1] = highs[point]!;
    slots[index] = owners[point]!;
  });
  return { hashes, slots };
}
