// Conformance, step 3: a pod that takes no connections: its kernel's queue is full and nobody empties it, so that connecting hangs.

import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

/** Listens, and then never turns its event loop again. */
const LISTEN_AND_SLEEP = `
const { parentPort, workerData } = require('node:worker_threads');
const { createServer } = require('node:net');
const server = createServer();
server.listen({ ...workerData, backlog: 1 }, () => {
  parentPort.postMessage('listening');
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
});
`;
/** More than the queue holds; the rest wait as the proxy will. */
const FILLING = 8;
/** A connection on loopback that is not there by then will not be. */
const CONNECTED_WITHIN_MS = 100;

export class DeafPod {
  private constructor(
    private readonly worker: Worker,
    private readonly filling: readonly Socket[],
  ) {}

  static async listen(host: string, port: number): Promise<DeafPod> {
    const worker = new Worker(LISTEN_AND_SLEEP, { eval: true, workerData: { host, port } });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
    const filling = Array.from({ length: FILLING }, () => {
      const socket = connect({ host, port });
      socket.on('error', () => socket.destroy());
      return socket;
    });
    // Those that fit into the queue are connected at once; when none has been for a moment, it is full.
    const connected = () => filling.filter(({ connecting }) => !connecting).length;
    for (let before = -1, now = 0; now !== before; now = connected()) {
      before = now;
      await new Promise((resolve) => setTimeout(resolve, CONNECTED_WITHIN_MS));
    }
    return new DeafPod(worker, filling);
  }

  async stop(): Promise<void> {
    for (const socket of this.filling) socket.destroy();
    await this.worker.terminate();
  }
}
