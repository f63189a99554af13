// Cluster: ports of pods as ports of this machine's loopback address, by the API server, as `kubectl port-forward` does.

import { createServer, type Server, type Socket } from 'node:net';
import type { KubeConfig } from '@kubernetes/client-node';
import { UnreachableError } from '../output/cli-error.js';

export interface ForwardedPort {
  readonly address: string;
  readonly port: number;
}

/** Chooses the pod at the moment of a connection: the one of a moment ago may have gone. */
export type PodChoice = () => Promise<{ readonly namespace: string; readonly name: string }>;

/** Forwards that a command has open; they end with it. */
export class PortForwards {
  readonly #servers: Server[] = [];
  readonly #connections = new Set<Socket>();
  /** Why the last connection could not be forwarded: its client only sees that it was closed. */
  failure: Error | undefined;

  constructor(private readonly kubeConfig: KubeConfig) {}

  /** Listens on a free port; each connection is carried to the pod's port. */
  async open(choose: PodChoice, port: number): Promise<ForwardedPort> {
    const server = createServer({ allowHalfOpen: true }, (socket) => void this.#carry(socket, choose, port));
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return { address: '127.0.0.1', port: (server.address() as { port: number }).port };
  }

  async #carry(socket: Socket, choose: PodChoice, port: number): Promise<void> {
    this.#connections.add(socket);
    socket.on('error', () => socket.destroy());
    let end = () => {};
    socket.on('close', () => {
      this.#connections.delete(socket);
      end();
    });
    try {
      const { namespace, name } = await choose();
      // Loaded when it is needed: the WebSocket client is large.
      const { PortForward } = await import('@kubernetes/client-node/dist/portforward.js');
      const forward = new PortForward(this.kubeConfig);
      const opened = await forward.portForward(namespace, name, [port], socket, null, socket);
      const webSocket = typeof opened === 'function' ? opened() : opened;
      end = () => webSocket?.close();
      webSocket?.addEventListener('close', () => socket.end());
      if (socket.destroyed) end();
    } catch (error) {
      this.failure = error as Error;
      socket.destroy();
    }
  }

  close(): void {
    for (const server of this.#servers.splice(0)) server.close();
    for (const socket of this.#connections) socket.destroy();
  }
}

/** What the API server said when it did not forward, in words. */
export function forwardFailure(what: string, error: Error): UnreachableError {
  const message = /Unexpected server response: 403/.test(error.message)
    ? 'you may not forward ports there (the permission `create` of `pods/portforward`)'
    : error.message;
  return new UnreachableError(`${what}: ${message}`);
}
