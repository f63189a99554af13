// The table of Maglev: hosts take turns at the next free place of their own order of places (as Envoy fills it).
import type { Hash64, HashedHost } from './consistent-hashing.js';

/** The slots of the hosts, by place. */
export function fillMaglev(hosts: readonly HashedHost[], size: number, hash64: Hash64): Uint16Array<ArrayBuffer> {
  if (hosts.length === 0) return new Uint16Array(0);
  // In the order of their keys, so that the table does not depend on the order of discovery.
  const turns = hosts
    .map(({ key, slot, share }) => ({
      key: Buffer.from(key),
      slot,
      share,
      due: 0,
      place: modulo(hash64(key, 0), size),
      skip: modulo(hash64(key, 1), size - 1) + 1,
    }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  const largest = turns.reduce((most, { share }) => Math.max(most, share), 0);
  const slots = new Uint16Array(size);
  const taken = new Uint8Array(size);
  let filled = 0;
  for (let round = 1; filled < size; round++) {
    for (const turn of turns) {
      if (filled === size) break;
      // A host with a third of the largest share has a turn in every third round.
      if (round * turn.share < turn.due) continue;
      turn.due += largest;
      while (taken[turn.place] === 1) turn.place = next(turn.place, turn.skip, size);
      taken[turn.place] = 1;
      slots[turn.place] = turn.slot;
      turn.place = next(turn.place, turn.skip, size);
      filled++;
    }
  }
  return slots;
}

function next(place: number, skip: number, size: number): number {
  const sum = place + skip;
  return sum < size ? sum : sum - size;
}

/** The remainder of a 64-bit number; exact for divisors below 2^26. */
function modulo({ high, low }: { readonly high: number; readonly low: number }, divisor: number): number {
  return ((high % divisor) * (2 ** 32 % divisor) + (low % divisor)) % divisor;
}
