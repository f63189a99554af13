// Downstream: what a connection adds to the head of each request, written to the core's memory once.

import type { ConnectionPeer, Core } from '@lateen/filters-wasm';
import type { OwnedSocket } from '../transport/proxy-socket.js';
import type { HttpChain } from './http-chain.js';
import type { VerifiedClient } from './tls-acceptor.js';

/** The new record, or 0 where there is no room for it. */
export function createConnectionRecord(
  core: Core,
  connection: {
    readonly socket: OwnedSocket;
    readonly chain: HttpChain;
    readonly client: VerifiedClient;
    readonly serverName: string;
    readonly secure: 0 | 1;
  },
): number {
  const { socket, chain, client, secure, serverName } = connection;
  return core.connections.create({
    remoteAddress: socket.remoteAddress ?? '',
    tls: secure === 1,
    mutualTls: client.principal !== '',
    xfcc: chain.xfccNeeded ? client.xfcc : '',
    principal: chain.principalNeeded ? client.principal : '',
    ...(chain.localPortNeeded ? { localPort: socket.localPort ?? 0 } : {}),
    ...(chain.rbac === null && chain.firstChecks.length === 0 ? {} : { peer: ruledPeer(socket, client, serverName) }),
  });
}

/** What access rules may ask about a connection. */
export function ruledPeer(socket: OwnedSocket, { names }: VerifiedClient, serverName: string): ConnectionPeer {
  return { localAddress: socket.localAddress ?? '', localPort: socket.localPort ?? -1, serverName, names };
}
