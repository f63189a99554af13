// Downstream: what is known of the client of a HTTP/1.1 connection, for the requests that it sends.

import { addressText } from '../../observe/address-text.js';
import type { DataPath } from '../../transport/data-path.js';
import { destinationOf, type OwnedSocket } from '../../transport/proxy-socket.js';
import type { Destination } from '../../transport/system/original-destination.js';
import { createConnectionRecord } from '../connection-record.js';
import type { HttpChain } from '../http-chain.js';
import { addressesOf, type PresentedAddresses } from '../listener-filters/proxy-header.js';
import type { VerifiedClient } from '../tls-acceptor.js';

export abstract class AcceptedClient {
  record = 0;
  limitBucket = 0;
  peerHint = 0;
  readonly framesMessages = false;
  /** Asked of the system while the socket is open, and only where an access log will show them. */
  readonly localAddressText: string;
  readonly remoteAddressText: string;

  constructor(
    protected readonly path: DataPath,
    readonly socket: OwnedSocket,
    readonly chain: HttpChain,
    readonly serverName: string,
    readonly client: VerifiedClient,
    readonly secure: 0 | 1,
  ) {
    if (chain.connectionRecordNeeded) this.needRecord();
    this.localAddressText = chain.accessLog === undefined ? '' : addressText(socket.localAddress, socket.localPort);
    this.remoteAddressText = chain.accessLog === undefined ? '' : addressText(socket.remoteAddress, socket.remotePort);
  }

  get securityId(): number {
    return this.client.securityId;
  }
  get peerPrincipal(): string {
    return this.client.principal;
  }

  needRecord(): number {
    if (this.record === 0) this.record = createConnectionRecord(this.path.core, this);
    return this.record;
  }

  protected releaseClient(): void {
    const { core } = this.path;
    if (this.record !== 0) core.connections.release(this.record);
    if (this.limitBucket > 0) core.connectionBuckets.release(this.limitBucket);
  }

  get destination(): Destination | undefined {
    return destinationOf(this.socket);
  }

  get addresses(): PresentedAddresses | undefined {
    return addressesOf(this.socket);
  }
}
