// Stable slots by name: the same name keeps its slot, and so its state, for as long as anything may refer to it.

/** How long a slot rests after its name is gone, so that exchanges that know it have ended. */
const MIN_RETIRED_MS = 600_000;

interface SlotName {
  readonly name: string;
  readonly slot: number;
  retiredAtMs: number | undefined;
}

export interface SlotNames {
  /** Slot of the name, made if need be; -1 where all are taken. */
  slot(name: string, nowMs: number): number;
  name(slot: number): string | undefined;
  /** Says that a name is not in use now: its slot rests, then may be reused if it is idle. `slot` takes it back. */
  retire(name: string, nowMs: number): void;
}

/** `isIdle` says whether a resting slot has nothing going on; `reset` clears its state before it is used for another name. */
export function createSlotNames(
  count: number,
  isIdle: (slot: number) => boolean,
  reset: (slot: number) => void,
): SlotNames {
  const byName = new Map<string, SlotName>();
  const bySlot: (SlotName | undefined)[] = [];

  function reclaim(nowMs: number): number {
    for (const entry of byName.values()) {
      if (entry.retiredAtMs === undefined || nowMs - entry.retiredAtMs < MIN_RETIRED_MS) continue;
      if (!isIdle(entry.slot)) continue;
      byName.delete(entry.name);
      return entry.slot;
    }
    return -1;
  }

  return {
    slot(name, nowMs) {
      const known = byName.get(name);
      if (known !== undefined) {
        known.retiredAtMs = undefined;
        return known.slot;
      }
      const isNew = bySlot.length < count;
      const slot = isNew ? bySlot.length : reclaim(nowMs);
      if (slot < 0) return -1;
      // The memory begins as zeros.
      if (!isNew) reset(slot);
      const entry = { name, slot, retiredAtMs: undefined };
      byName.set(name, entry);
      bySlot[slot] = entry;
      return slot;
    },
    name: (slot) => bySlot[slot]?.name,
    retire(name, nowMs) {
      const entry = byName.get(name);
      if (entry !== undefined) entry.retiredAtMs ??= nowMs;
    },
  };
}
