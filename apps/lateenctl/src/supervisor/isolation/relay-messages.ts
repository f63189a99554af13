// Isolation: what the supervisor and a relay say to each other. Sockets travel along with it: one that was opened in a network
// namespace stays in it, whoever reads and writes it.

export interface Target {
  readonly host: string;
  readonly port: number;
}

export type RelayOrder =
  /** Comes with a listening socket: connections to it go on to the target, as it is reached from the relay's namespace. */
  | { readonly kind: 'forward'; readonly id: number; readonly target: Target }
  /** No more connections are taken for that order. */
  | { readonly kind: 'stop'; readonly id: number }
  /** Listen in the relay's namespace, and hand the listening socket over. */
  | { readonly kind: 'listen'; readonly id: number; readonly target: Target }
  /** Comes with a connection, which goes on to the target. */
  | { readonly kind: 'connect'; readonly id: number; readonly target: Target };

export type RelayAnswer =
  | { readonly kind: 'forwarding'; readonly id: number }
  /** Comes with the listening socket. */
  | { readonly kind: 'listening'; readonly id: number }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string }
  /** Nobody is connected any more; `last` is the newest order that was taken. */
  | { readonly kind: 'idle'; readonly last: number };
