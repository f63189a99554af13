// Test harness: a free TCP port on loopback.

import { createServer } from 'node:net';

/** Below the ports that the system gives to outgoing connections, of which some tests open thousands. */
const LOWEST = 15_100;
const COUNT = 17_000;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Test files that run side by side draw from ports of their own: between drawing and listening nobody else takes one. */
const PARTS = 17;
const worker = process.env.VITEST_POOL_ID;
const [lowest, count] =
  worker === undefined ? [LOWEST, COUNT] : [LOWEST + (Number(worker) % PARTS) * (COUNT / PARTS), COUNT / PARTS];
const drawn = new Set<number>();

/** A TCP port on 127.0.0.1 that was free a moment ago, and that this process was not given lately. */
export async function freePort(): Promise<number> {
  for (;;) {
    if (drawn.size > count / 2) drawn.clear();
    const port = lowest + Math.floor(Math.random() * count);
    if (drawn.has(port)) continue;
    drawn.add(port);
    if (await isFree(port)) return port;
  }
}
