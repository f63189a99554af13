// Downstream: what listeners know of a connection and of its filter chain, whatever protocol it speaks.

/** What a filter chain was compiled to; `kind` says to which. */
export interface ServedChain {
  readonly kind: 'http' | 'tcp';
  /** The configuration does not have it any more: its connections come to an end. */
  draining: boolean;
}

export interface ServedConnection {
  readonly chain: ServedChain;
  /** Ends as soon as nothing is lost by it. */
  drain(): void;
  /** Ends now. */
  abort(): void;
}

/** Told when a connection has ended. */
export interface ConnectionRegistry {
  onConnectionGone(connection: ServedConnection): void;
}
