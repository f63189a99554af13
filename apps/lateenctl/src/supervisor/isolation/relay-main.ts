// Relay: a process in a network namespace of a mesh, which leads connections from the host into it, and listens there for the
// host. It ends with its supervisor.

import { createServer, type Server, Socket } from 'node:net';
import { leadOn } from './join-sockets.js';
import type { RelayAnswer, RelayOrder } from './relay-messages.js';

const servers = new Map<number, Server>();
let connections = 0;
let last = 0;

// Ctrl-C is the supervisor's to handle; it closes the channel when it ends.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));

function answer(message: RelayAnswer, server?: Server, done?: () => void): void {
  process.send?.(message, server, {}, () => done?.());
}

function take(socket: Socket, order: Extract<RelayOrder, { target: unknown }>): void {
  connections++;
  leadOn(socket, order.target, () => {
    connections--;
    if (connections === 0) answer({ kind: 'idle', last });
  });
}

function listen({ id, target }: Extract<RelayOrder, { kind: 'listen' }>): void {
  const server = createServer();
  server.once('error', (error) => answer({ kind: 'failed', id, reason: error.message }));
  // Whoever takes it over accepts connections; what this process accepts before that would be lost.
  server.on('connection', (socket) => socket.resetAndDestroy());
  server.listen(target.port, target.host, () => answer({ kind: 'listening', id }, server, () => server.close()));
}

process.on('message', (order: RelayOrder, handle: unknown) => {
  last = order.id;
  switch (order.kind) {
    case 'forward': {
      const server = handle as Server & { allowHalfOpen: boolean };
      server.allowHalfOpen = true;
      server.on('connection', (socket) => take(socket, order));
      servers.set(order.id, server);
      answer({ kind: 'forwarding', id: order.id });
      return;
    }
    case 'stop':
      servers.get(order.id)?.close();
      servers.delete(order.id);
      return;
    case 'listen':
      listen(order);
      return;
    case 'connect':
      if (handle instanceof Socket) take(handle, order);
      // The client has gone meanwhile, and there is nothing to lead on.
      else if (connections === 0) answer({ kind: 'idle', last });
  }
});
