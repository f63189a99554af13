// RBAC: the filters of a chain without HTTP, asked about one connection in their order, before anybody is connected to.

import { ruledPeer } from '../downstream/connection-record.js';
import type { VerifiedClient } from '../downstream/tls-acceptor.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket } from '../transport/proxy-socket.js';
import { NO_ROOM, type RbacFilter, refusalOf } from './rbac-filter.js';

interface RuledConnection {
  readonly socket: OwnedSocket;
  readonly serverName: string;
  readonly client: VerifiedClient;
  readonly secure: boolean;
}

/** Empty where all filters let it pass, else the connection termination details. What they say of it goes to `noted`. */
export function connectionRefusal(
  { core }: DataPath,
  filters: readonly RbacFilter[],
  { socket, client, serverName, secure }: RuledConnection,
  noted: Map<string, string>,
): string {
  const record = core.connections.create({
    remoteAddress: socket.remoteAddress ?? '',
    tls: secure,
    mutualTls: client.principal !== '',
    xfcc: '',
    principal: client.principal,
    peer: ruledPeer(socket, client, serverName),
  });
  if (record === 0) return NO_ROOM;
  const party = { record, secure: secure ? 1 : 0 };
  const notes = { noteMetadata: (name: string, value: string) => noted.set(name, value) };
  let details = '';
  for (const filter of filters) {
    details = refusalOf(core, filter, 0, party, notes);
    if (details !== '') break;
  }
  core.connections.release(record);
  return details;
}
