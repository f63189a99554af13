// Upstream: what the requests have in common that no client has sent as they are: they upgrade nothing, and end no tunnel.

import type { ConnectionPool } from '../connection-pool.js';
import type { UpstreamRequest } from '../upstream-request.js';

export abstract class OwnRequest {
  nextPending: UpstreamRequest | null = null;
  pendingOn: ConnectionPool | null = null;
  readonly upgrade = false;
  readonly terminates = false;
  readonly proxyVersion = 0;
  requestComplete = false;

  onInterimHead(): void {}

  /** Nothing is upgraded, so neither of these comes; but a tunnel that the proxy asks for can end. */
  onTunnel(): void {}

  onTunnelEnd(): void {}

  onResponseTrailers(_address: number, _length: number): void {}
}
