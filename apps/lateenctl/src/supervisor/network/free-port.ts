// Network: picks the port of an application on 127.0.0.1.

import { createServer } from 'node:net';

/** Below the range from which kernels take ports of outgoing connections, so that none of those is in the way. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 12_000;

const handedOut = new Set<number>();
let next = Math.floor(Math.random() * PORT_COUNT);

/** True where `address:port` can be listened on now. */
export function isBindable(address: string, port: number): Promise<boolean> {
  return bindFailure(address, port).then((code) => code === undefined);
}

/** The error code of an attempt to listen on `address:port`, or undefined where it is free. */
export function bindFailure(address: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** A port of 127.0.0.1 that is free now and that this process has not handed out to another. */
export async function takeFreePort(): Promise<number> {
  for (let tried = 0; tried < PORT_COUNT; tried++) {
    const port = FIRST_PORT + next;
    next = (next + 1) % PORT_COUNT;
    if (handedOut.has(port)) continue;
    if (!(await isBindable('127.0.0.1', port))) continue;
    handedOut.add(port);
    return port;
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${FIRST_PORT + PORT_COUNT - 1} on 127.0.0.1`);
}

/** Gives a port back. */
export function releasePort(port: number): void {
  handedOut.delete(port);
}
