// Network: hands out the addresses of a mesh's block and remembers them, so that a restart keeps them.

import { existsSync, readFileSync } from 'node:fs';
import { writeFileAtomic } from '@lateen/identity/plain';

/** Host parts (16 bits) below this are the control plane's, at fixed places. */
export const FIRST_OFFSET = 16;
const LAST_OFFSET = 0xfffe;

export const COMPONENT_OFFSET = { galley: 2, pilot: 3, citadel: 4 } as const;

interface Stored {
  readonly block: number;
  readonly next: number;
  readonly offsets: Readonly<Record<string, number>>;
}

export interface AddressBook {
  /** The address of an owner ("pod/NS/NAME", "service/NS/POD/FQDN"); the same at every call. */
  addressOf(owner: string): string;
  /** Frees the addresses of owners for which `keep` is false. */
  prune(keep: (owner: string) => boolean): void;
  /** Writes the book if it changed. */
  save(): Promise<void>;
}

/** The block that a state directory used last, or undefined. @throws Error when the file is not readable JSON */
export function lastBlock(file: string): number | undefined {
  return read(file)?.block;
}

/** Opens the book of a mesh whose block is `block`; only host parts are remembered, so the block may differ from before. */
export function openAddressBook(file: string, block: number): AddressBook {
  const stored = read(file);
  const offsets = new Map(Object.entries(stored?.offsets ?? {}));
  const used = new Set(offsets.values());
  let next = stored?.next ?? FIRST_OFFSET;
  let changed = stored?.block !== block;

  const takeOffset = (): number => {
    // Goes round rather than back to the lowest: an address that was just freed is not reused at once.
    for (let tried = FIRST_OFFSET; tried <= LAST_OFFSET; tried++) {
      const offset = next;
      next = next >= LAST_OFFSET ? FIRST_OFFSET : next + 1;
      const lastByte = offset & 0xff;
      if (lastByte !== 0 && lastByte !== 0xff && !used.has(offset)) return offset;
    }
    throw new Error(`the block 127.${block}.0.0/16 has no free address left`);
  };

  return {
    addressOf: (owner) => {
      let offset = offsets.get(owner);
      if (offset === undefined) {
        offset = takeOffset();
        offsets.set(owner, offset);
        used.add(offset);
        changed = true;
      }
      return addressAt(block, offset);
    },
    prune: (keep) => {
      for (const [owner, offset] of offsets) {
        if (keep(owner)) continue;
        offsets.delete(owner);
        used.delete(offset);
        changed = true;
      }
    },
    save: async () => {
      if (!changed) return;
      changed = false;
      const content: Stored = { block, next, offsets: Object.fromEntries(offsets) };
      await writeFileAtomic(file, `${JSON.stringify(content, null, 2)}\n`);
    },
  };
}

/** 127.B.x.y for a 16-bit host part. */
export function addressAt(block: number, offset: number): string {
  return `127.${block}.${offset >> 8}.${offset & 0xff}`;
}

function read(file: string): Stored | undefined {
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Stored;
  } catch (error) {
    throw new Error(`${file} is damaged (${(error as Error).message}); delete it to hand out new addresses`);
  }
}
