// Compiled access rules in the memory: interned by content, freed some time after nobody names them any more.
import { createHash } from 'node:crypto';
import { RBAC_REGION, RBAC_REGION_BYTES, RULES_SERIAL } from './rbac-layout.js';

/** Longer than filter chains drain; whoever asks for rules that are gone all the same is refused. */
const MIN_RETIRED_MS = 120_000;

/** Where rules are, and the number that says that they still are. */
export interface RulesPlace {
  readonly offset: number;
  readonly serial: number;
}

export interface RbacRegion {
  /** Place of rules with these bytes; undefined where there is no room for them. */
  intern(content: Uint8Array, nowMs: number): RulesPlace | undefined;
  /** Says which rules are still named; the space of others may be used again after two minutes. */
  retain(offsets: ReadonlySet<number>, nowMs: number): void;
  readonly freeBytes: number;
}

interface Block extends RulesPlace {
  readonly key: string;
  readonly bytes: number;
  retiredAtMs: number | undefined;
}

export function createRbacRegion(memory: Buffer): RbacRegion {
  const blocks = new Map<string, Block>();
  const end = RBAC_REGION + RBAC_REGION_BYTES;
  let serial = 0;

  /** Ends what has been retired for long enough. */
  function sweep(nowMs: number): void {
    for (const block of blocks.values()) {
      if (block.retiredAtMs === undefined || nowMs - block.retiredAtMs < MIN_RETIRED_MS) continue;
      memory.writeInt32LE(0, block.offset + RULES_SERIAL);
      blocks.delete(block.key);
    }
  }

  /** The first gap of so many bytes. */
  function findGap(bytes: number): number | undefined {
    let at = RBAC_REGION;
    for (const block of [...blocks.values()].sort((a, b) => a.offset - b.offset)) {
      if (block.offset - at >= bytes) return at;
      at = block.offset + block.bytes;
    }
    return end - at >= bytes ? at : undefined;
  }

  return {
    get freeBytes() {
      return [...blocks.values()].reduce((free, { bytes }) => free - bytes, RBAC_REGION_BYTES);
    },
    intern(content, nowMs) {
      sweep(nowMs);
      const key = createHash('sha256').update(content).digest('base64');
      const known = blocks.get(key);
      if (known !== undefined) {
        known.retiredAtMs = undefined;
        return known;
      }
      const bytes = (content.length + 31) & ~15;
      const offset = findGap(bytes);
      if (offset === undefined) return undefined;
      memory.set(content, offset);
      serial++;
      memory.writeInt32LE(serial, offset + RULES_SERIAL);
      const block: Block = { key, offset, bytes, serial, retiredAtMs: undefined };
      blocks.set(key, block);
      return block;
    },
    retain(offsets, nowMs) {
      for (const block of blocks.values()) {
        if (offsets.has(block.offset)) block.retiredAtMs = undefined;
        else block.retiredAtMs ??= nowMs;
      }
      sweep(nowMs);
    },
  };
}
