// Fixed-size slots inside the core's memory: taken and given back by the proxy, never allocated while it runs.

/** A bounded free list. An offset of 0 means that the pool is exhausted: the caller queues, falls back or refuses. */
export interface SlotPool {
  readonly slotBytes: number;
  /** Slots in use. */
  readonly used: number;
  /** Offset of a free slot, or 0 where none is left. */
  take(): number;
  /** Gives a slot back; an offset that is not a taken slot of this pool throws, because it would corrupt another's bytes. */
  release(offset: number): void;
}

/** Makes a pool of `count` slots that start at `base`. */
export function createSlotPool(base: number, slotBytes: number, count: number): SlotPool {
  const free = new Int32Array(count);
  const taken = new Uint8Array(count);
  let freeCount = 0;
  let untouched = 0; // slots never handed out yet: their pages stay untouched
  return {
    slotBytes,
    get used() {
      return untouched - freeCount;
    },
    take() {
      const index = freeCount > 0 ? free[--freeCount]! : untouched < count ? untouched++ : -1;
      if (index < 0) return 0;
      taken[index] = 1;
      return base + index * slotBytes;
    },
    release(offset) {
      const index = (offset - base) / slotBytes;
      if (!Number.isInteger(index) || index < 0 || index >= count || taken[index] === 0) {
        throw new RangeError(`slot pool at ${base}: offset ${offset} is not a slot in use`);
      }
      taken[index] = 0;
      free[freeCount++] = index;
    },
  };
}
