// Downstream: which of HTTP's versions a connection speaks: by ALPN, by the configuration, or by its first bytes.

import { PREFACE } from '../../codec/http2/frames.js';
import type { DataPath } from '../../transport/data-path.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import { DownstreamConnection } from '../downstream-connection.js';
import type { HttpChain } from '../http-chain.js';
import type { ConnectionRegistry, ServedConnection } from '../served-connection.js';
import type { VerifiedClient } from '../tls-acceptor.js';
import { Http2ServerConnection } from './server-connection.js';

/** What a HTTP/1.1 connection tells of itself. */
export interface HttpRegistry extends ConnectionRegistry {
  /** The first bytes are no request of HTTP/1.1: true where they begin HTTP/2, which goes on with the socket. */
  beganHttp2(connection: DownstreamConnection, address: number, length: number): boolean;
}

/** A connection of an HTTP chain that has just begun. */
export interface BegunConnection extends ServedConnection {
  readonly record: number;
  /** Bytes that were read before, which may be in the read buffer. */
  onBytes(bytes: Uint8Array): void;
}

/** Creates the connection for a socket and makes it the socket's owner. */
export function createHttpConnection(
  path: DataPath,
  socket: OwnedSocket,
  chain: HttpChain,
  serverName: string,
  client: VerifiedClient,
  secure: boolean,
  registry: HttpRegistry,
): BegunConnection {
  const alpn = socket.applicationProtocol;
  if (chain.codec === 'http2' || (chain.codec === 'auto' && alpn === 'h2')) {
    return createHttp2(path, socket, chain, serverName, client, secure ? 1 : 0, registry);
  }
  const connection = new DownstreamConnection(path, socket, chain, serverName, client, secure ? 1 : 0, registry);
  socket.owner = connection;
  return connection;
}

/**
 * Puts HTTP/2 in the place of a HTTP/1.1 connection whose first bytes are its preface, as Envoy does where ALPN has not
 * settled on a protocol; undefined where they are not.
 */
export function switchToHttp2(
  path: DataPath,
  connection: DownstreamConnection,
  address: number,
  length: number,
  registry: HttpRegistry,
): BegunConnection | undefined {
  const { chain, socket, serverName, client, secure } = connection;
  if (chain.codec !== 'auto' || socket.applicationProtocol !== '') return undefined;
  const count = Math.min(length, PREFACE.length);
  if (PREFACE.compare(path.core.bytes, address, address + count, 0, count) !== 0) return undefined;
  connection.release();
  return createHttp2(path, socket, chain, serverName, client, secure, registry);
}

function createHttp2(
  path: DataPath,
  socket: OwnedSocket,
  chain: HttpChain,
  serverName: string,
  client: VerifiedClient,
  secure: 0 | 1,
  registry: HttpRegistry,
): Http2ServerConnection {
  const connection = new Http2ServerConnection(path, socket, chain, serverName, client, secure, registry);
  socket.owner = connection;
  connection.start();
  return connection;
}
