// Downstream: the accepting side of TLS.

import type { OwnedSocket, ProxySocket } from '../transport/proxy-socket.js';

/** Who the client proved to be. */
export interface VerifiedClient {
  readonly principal: string;
  readonly securityId: number;
  readonly xfcc: string;
  /** Of a verified certificate: URI names, DNS names, the subject. Of a TLS client without one the empty subject. */
  readonly names: readonly string[];
  /** What this side's own certificate is called, where there is one. */
  readonly ownName?: string;
}

export interface DownstreamTls {
  /**
   * Shakes hands and checks the client. `first` are bytes that were read already, `offered` the protocols that the client
   * named in them. Calls back once: with the secured
   * socket, before any of its bytes was used, or with null where the connection was refused and closed.
   */
  accept(
    socket: ProxySocket,
    first: Uint8Array | null,
    offered: readonly string[],
    done: (secured: OwnedSocket | null, client: VerifiedClient) => void,
  ): void;
}

/** Which parts of the client's certificate go into x-forwarded-client-cert. */
export interface ClientCertDetails {
  readonly cert: boolean;
  readonly chain: boolean;
  readonly subject: boolean;
  readonly uri: boolean;
  readonly dns: boolean;
}
