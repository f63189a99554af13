// Network: takes one 127.B.0.0/16 block for a mesh, so that several meshes run side by side.

import { readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { writeFileAtomic } from '@lateen/identity/plain';
import { addressAt, COMPONENT_OFFSET, FIRST_OFFSET } from './address-book.js';
import { requireLoopback } from './loopback-alias.js';

/** Blocks 127.0 and 127.1 are left to others (127.0.0.1 is everybody's; 127.0.1.1 is Debian's host name). */
const FIRST_BLOCK = 10;
const LAST_BLOCK = 250;
/** The lease is this port of 127.B.0.1: the kernel frees it with its process, so that no lease is ever stale. */
const LEASE_PORT = 15099;
const LEASE_OFFSET = 1;

export interface BlockLease {
  /** B of 127.B.0.0/16. */
  readonly block: number;
  release(): Promise<void>;
}

export interface LeaseOptions {
  readonly runtimeDir: string;
  /** Written in the lock file, so that people see whose block it is. */
  readonly stateDir: string;
  /** The block of the last run, taken again where it is free: addresses then stay the same. */
  readonly preferredBlock?: number;
}

interface LockFile {
  readonly pid: number;
  readonly stateDir: string;
}

/**
 * Leases a free block. What excludes others, other users included, is the listening socket; the lock file in the runtime
 * directory says who holds it, and one left by a dead process is simply overwritten.
 */
export async function leaseBlock(options: LeaseOptions): Promise<BlockLease> {
  const refusals = new Map<string, string>();
  for (const block of candidates(options)) {
    const taken = await takeLeaseSocket(block).catch((error: NodeJS.ErrnoException) => error);
    if (taken instanceof Error) {
      const code = taken.code ?? taken.message;
      // Linux has all of 127.0.0.0/8; elsewhere each address has to be added first.
      if (code === 'EADDRNOTAVAIL') await requireLoopback(firstAddresses(block));
      refusals.set(code, `${leaseAddress(block)}:${LEASE_PORT}`);
      continue;
    }
    const lockFile = join(options.runtimeDir, `127.${block}.lock`);
    const lock: LockFile = { pid: process.pid, stateDir: options.stateDir };
    await writeFileAtomic(lockFile, `${JSON.stringify(lock)}\n`);
    return { block, release: () => release(taken, lockFile) };
  }
  const reasons = [...refusals].map(([code, address]) => `${code} at ${address}`).join(', ');
  throw new Error(
    `no free address block between 127.${FIRST_BLOCK} and 127.${LAST_BLOCK} (${reasons}); ` +
      'end a mesh that you do not need with `lateenctl local down --state-dir DIR`',
  );
}

function leaseAddress(block: number): string {
  return addressAt(block, LEASE_OFFSET);
}

/** What every mesh needs, whatever runs in it: the lease, the control plane and the gateway. */
function firstAddresses(block: number): string[] {
  return [LEASE_OFFSET, ...Object.values(COMPONENT_OFFSET), FIRST_OFFSET].map((offset) => addressAt(block, offset));
}

function* candidates(options: LeaseOptions): Generator<number> {
  if (options.preferredBlock !== undefined) yield options.preferredBlock;
  const count = LAST_BLOCK - FIRST_BLOCK + 1;
  // Different meshes start looking at different places, so that two that start together rarely meet; where addresses have
  // to be added by hand, always at the first.
  const start = process.platform === 'linux' ? (process.pid * 7919) % count : 0;
  for (let step = 0; step < count; step++) {
    const block = FIRST_BLOCK + ((start + step) % count);
    if (block !== options.preferredBlock) yield block;
  }
}

function takeLeaseSocket(block: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(LEASE_PORT, leaseAddress(block), () => {
      server.unref();
      resolve(server);
    });
  });
}

async function release(server: Server, lockFile: string): Promise<void> {
  const mine = readLock(lockFile)?.pid === process.pid;
  if (mine) rmSync(lockFile, { force: true });
  await new Promise<void>((done) => server.close(() => done()));
}

function readLock(path: string): LockFile | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LockFile;
  } catch {
    // Absent or half-written by a foreign hand: then it is not ours to remove.
    return undefined;
  }
}
