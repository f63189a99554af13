// What a downstream connection adds to every request head: the client's address and its certificate's XFCC element.
import { readPeerAddress } from './compile/rbac/network.js';
import * as L from './layout.js';
import * as R from './rbac/rbac-layout.js';
import { createSlotPool, type SlotPool } from './slot-pool.js';

export interface ConnectionDescription {
  /** The client's address without port; for x-forwarded-for. */
  readonly remoteAddress: string;
  readonly tls: boolean;
  readonly mutualTls: boolean;
  /** The element for x-forwarded-client-cert, empty where there is no client certificate. */
  readonly xfcc: string;
  /** The URI of the verified client certificate, empty where there is none or nobody asks. */
  readonly principal?: string;
  /** The port at which the client has connected, for x-forwarded-port; left out where nobody asks. */
  readonly localPort?: number;
  /** What access rules may ask about; absent where there are none. */
  readonly peer?: ConnectionPeer;
}

export interface ConnectionPeer {
  readonly localAddress: string;
  /** -1: unknown. */
  readonly localPort: number;
  /** That the client asked for in its handshake, empty where it named none. */
  readonly serverName: string;
  /** Of a TLS connection: URI names of the verified client certificate, then DNS names, then its subject, which may be empty. */
  readonly names: readonly string[];
}

export interface ConnectionRecords {
  /** Offset of a new record, or 0 where none is left or the texts are too long (16 KiB): refuse the connection then. */
  create(description: ConnectionDescription): number;
  release(record: number): void;
}

/** Records live in three fixed pools, by size; nothing of them is read after release. */
export function createConnectionRecords(bytes: Buffer, i32: Int32Array): ConnectionRecords {
  const usual = createSlotPool(L.CONNECTION_RECORDS, L.CONNECTION_RECORD_BYTES, L.CONNECTION_RECORD_COUNT);
  const long = createSlotPool(
    L.LONG_CONNECTION_RECORDS,
    L.LONG_CONNECTION_RECORD_BYTES,
    L.LONG_CONNECTION_RECORD_COUNT,
  );
  const longest = createSlotPool(
    L.LONGEST_CONNECTION_RECORDS,
    L.LONGEST_CONNECTION_RECORD_BYTES,
    L.LONGEST_CONNECTION_RECORD_COUNT,
  );
  /** The pool that a record of so many bytes is from. */
  function poolFor(neededBytes: number): SlotPool {
    if (neededBytes <= usual.slotBytes) return usual;
    return neededBytes <= long.slotBytes ? long : longest;
  }
  /** As they lie in memory. */
  function poolAt(record: number): SlotPool {
    if (record >= L.LONG_CONNECTION_RECORDS) return long;
    return record >= L.LONGEST_CONNECTION_RECORDS ? longest : usual;
  }
  /** Places in the bytes are relative to them. */
  function placePeer(at: number, content: Buffer): void {
    bytes.set(content, at);
    for (const field of [R.PEER_SERVER_NAME, R.PEER_NAMES]) i32[(at + field) >> 2]! += at;
  }

  return {
    create({ remoteAddress, tls, mutualTls, xfcc, principal = '', localPort = 0, peer }) {
      const texts = remoteAddress.length + xfcc.length + principal.length;
      const peerBytes = peer === undefined ? Buffer.alloc(0) : encodePeer(remoteAddress, peer);
      const peerAt = (L.CONNECTION_ADDRESS + texts + 15) & ~15;
      const needed = peerAt + peerBytes.length;
      if (needed > longest.slotBytes) return 0;
      const record = poolFor(needed).take();
      if (record === 0) return 0;
      const addressOffset = record + L.CONNECTION_ADDRESS;
      bytes.write(remoteAddress, addressOffset, 'latin1');
      bytes.write(xfcc, addressOffset + remoteAddress.length, 'latin1');
      const principalOffset = addressOffset + remoteAddress.length + xfcc.length;
      bytes.write(principal, principalOffset, 'latin1');
      i32[(record + L.CONNECTION_PRINCIPAL_OFFSET) >> 2] = principalOffset;
      i32[(record + L.CONNECTION_PRINCIPAL_LENGTH) >> 2] = principal.length;
      i32[(record + L.CONNECTION_PEER) >> 2] = peer === undefined ? 0 : record + peerAt;
      if (peer !== undefined) placePeer(record + peerAt, peerBytes);
      i32[(record + L.CONNECTION_LOCAL_PORT) >> 2] = localPort;
      i32[(record + L.CONNECTION_FLAGS) >> 2] =
        (tls ? L.CONNECTION_TLS : 0) | (mutualTls ? L.CONNECTION_MUTUAL_TLS : 0);
      i32[(record + L.CONNECTION_ADDRESS_LENGTH) >> 2] = remoteAddress.length;
      i32[(record + L.CONNECTION_XFCC_OFFSET) >> 2] = addressOffset + remoteAddress.length;
      i32[(record + L.CONNECTION_XFCC_LENGTH) >> 2] = xfcc.length;
      i32.fill(0, (record + L.CONNECTION_COOKIE) >> 2, (record + L.CONNECTION_PRINCIPAL_OFFSET) >> 2);
      return record;
    },
    release: (record) => poolAt(record).release(record),
  };
}

function encodePeer(remoteAddress: string, { localAddress, localPort, serverName, names }: ConnectionPeer): Buffer {
  const header = Buffer.alloc(R.PEER_BYTES);
  const remote = readPeerAddress(remoteAddress);
  const local = readPeerAddress(localAddress);
  header.writeInt32LE(remote?.family ?? 0, R.PEER_REMOTE_FAMILY);
  header.writeInt32LE(local?.family ?? 0, R.PEER_LOCAL_FAMILY);
  if (remote !== undefined) header.set(remote.octets, R.PEER_REMOTE);
  if (local !== undefined) header.set(local.octets, R.PEER_LOCAL);
  header.writeInt32LE(localPort, R.PEER_LOCAL_PORT);
  const list = names.map((name) => {
    const text = Buffer.from(name, 'utf8');
    const entry = Buffer.alloc((4 + text.length + 3) & ~3);
    entry.writeInt32LE(text.length);
    text.copy(entry, 4);
    return entry;
  });
  const server = Buffer.from(serverName, 'latin1');
  const namesLength = list.reduce((sum, { length }) => sum + length, 0);
  header.writeInt32LE(R.PEER_BYTES, R.PEER_NAMES);
  header.writeInt32LE(list.length, R.PEER_NAME_COUNT);
  header.writeInt32LE(R.PEER_BYTES + namesLength, R.PEER_SERVER_NAME);
  header.writeInt32LE(server.length, R.PEER_SERVER_NAME_LENGTH);
  return Buffer.concat([header, ...list, server]);
}
