// Tests of the block lease: exclusive, released, preferred.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BlockLease, leaseBlock } from './block-lease.js';

describe('block lease', () => {
  let runtimeDir: string;
  const leases: BlockLease[] = [];
  const lease = async (preferredBlock?: number) => {
    const taken = await leaseBlock({ runtimeDir, stateDir: '/somewhere', preferredBlock });
    leases.push(taken);
    return taken;
  };
  beforeEach(() => {
    runtimeDir = mkdtempSync(join(tmpdir(), 'lateen-lease-'));
  });
  afterEach(async () => {
    for (const each of leases.splice(0)) await each.release();
    rmSync(runtimeDir, { recursive: true });
  });

  it('gives two meshes two blocks, even when both prefer the same', async () => {
    const first = await lease();
    const second = await lease(first.block);
    expect(second.block).not.toBe(first.block);
  });

  it('gives a released block again and removes its lock file', async () => {
    const first = await lease();
    const lockFile = join(runtimeDir, `127.${first.block}.lock`);
    expect(existsSync(lockFile)).toBe(true);
    await first.release();
    leases.pop();
    expect(existsSync(lockFile)).toBe(false);
    expect((await lease(first.block)).block).toBe(first.block);
  });

  it('takes over the lock file of a process that is gone', async () => {
    const { block, release } = await lease();
    await release();
    leases.pop();
    writeFileSync(join(runtimeDir, `127.${block}.lock`), JSON.stringify({ pid: 1, stateDir: '/gone' }));
    expect((await lease(block)).block).toBe(block);
  });
});
