// Test harness: a block of loopback addresses of this process alone, leased as a local mesh leases one.

import { createServer } from 'node:net';

/** The port whose binding is the lease; local meshes bind the same (docs/architecture.md, "Addresses in local mode"). */
const LEASE_PORT = 15_099;
const LOWEST = 60;
const COUNT = 130;

export interface LoopbackLease {
  /** `127.B`: all addresses that begin with it are the holder's. */
  readonly prefix: string;
  release(): void;
}

/** @throws Error where every block is taken */
export async function leaseLoopbackBlock(): Promise<LoopbackLease> {
  const first = Math.floor(Math.random() * COUNT);
  for (let step = 0; step < COUNT; step++) {
    const prefix = `127.${LOWEST + ((first + step) % COUNT)}`;
    const holder = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      holder.once('error', () => resolve(false));
      holder.listen(LEASE_PORT, `${prefix}.0.1`, () => resolve(true));
    });
    if (isFree) return { prefix, release: () => holder.close() };
  }
  throw new Error(`none of the ${COUNT} blocks of loopback addresses is free; are there meshes left over?`);
}
