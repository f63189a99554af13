// Immutable records, interned by content, that an exchange may refer to after the tables that named them are gone.
import * as L from './layout.js';

/** How long an unreferenced record is kept at least, so that exchanges that began with it have ended. */
const MIN_RETIRED_MS = 3_600_000;

/** Who names a record: the compiled routes, or the listeners. */
export type StableOwner = 'policy' | 'listener';

export interface StableRegion {
  /** Offset of the owner's record with these bytes: an equal one, or a new one; 0 where the region is full. */
  intern(owner: StableOwner, content: Uint8Array, nowMs: number): number;
  /** Says which records the owner still names; its others may be reused after an hour. An owner that never says keeps all. */
  retain(owner: StableOwner, offsets: ReadonlySet<number>, nowMs: number): void;
  readonly usedBytes: number;
}

interface StableRecord {
  readonly key: string;
  readonly offset: number;
  readonly bytes: number;
  retiredAtMs: number | undefined;
}

/** The region is written by appending; space of retired records is reused only when the end is reached. */
export function createStableRegion(memory: Buffer): StableRegion {
  const byOwner: Readonly<Record<StableOwner, Map<string, StableRecord>>> = { policy: new Map(), listener: new Map() };
  let end = L.STABLE_REGION + 16;
  const limit = L.STABLE_REGION + L.STABLE_REGION_BYTES;

  /** A retired record whose space fits; its key is forgotten. */
  function reclaim(bytes: number, nowMs: number): StableRecord | undefined {
    for (const byKey of Object.values(byOwner)) {
      for (const record of byKey.values()) {
        if (record.retiredAtMs === undefined || record.bytes < bytes) continue;
        if (nowMs - record.retiredAtMs < MIN_RETIRED_MS) continue;
        byKey.delete(record.key);
        return record;
      }
    }
    return undefined;
  }

  return {
    get usedBytes() {
      return end - L.STABLE_REGION;
    },
    intern(owner, content, nowMs) {
      const byKey = byOwner[owner];
      const key = Buffer.from(content.buffer, content.byteOffset, content.length).toString('latin1');
      const known = byKey.get(key);
      if (known !== undefined) {
        known.retiredAtMs = undefined;
        return known.offset;
      }
      const bytes = (content.length + 15) & ~15;
      const place = end + bytes <= limit ? { offset: end, bytes } : reclaim(bytes, nowMs);
      if (place === undefined) return 0;
      if (place.offset === end) end += bytes;
      memory.set(content, place.offset);
      byKey.set(key, { key, offset: place.offset, bytes: place.bytes, retiredAtMs: undefined });
      return place.offset;
    },
    retain(owner, offsets, nowMs) {
      for (const record of byOwner[owner].values()) {
        if (offsets.has(record.offset)) record.retiredAtMs = undefined;
        else record.retiredAtMs ??= nowMs;
      }
    },
  };
}
