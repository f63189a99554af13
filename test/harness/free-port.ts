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

/** A TCP port on 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
  }
}
