// Downstream: connections that redirect rules of the pod have sent to a listener: where they were opened to.

import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { ProxySocket } from '../../transport/proxy-socket.js';
import {
  canonicalAddress,
  type Destination,
  isOwnAddress,
  originalDestination,
} from '../../transport/system/original-destination.js';
import { SOL_IP, SOL_IPV6, systemCalls } from '../../transport/system/system-calls.js';
import type { ListenerRuntime } from '../listener-runtime.js';
import type { BoundAddress } from '../socket-listener.js';

/** What a listener does with connections that were opened to somewhere else. */
export interface InterceptionRules {
  /** Finds out where to. */
  readonly restores: boolean;
  /** Gives them to the listener that is for that address, where there is one. */
  readonly handsOver: boolean;
  /** They come by TPROXY, which leaves their destination as it is. */
  readonly transparent: boolean;
}

export interface ListenerLookup {
  /** The listener for connections to this address. */
  listenerFor(destination: Destination): ListenerRuntime | undefined;
}

/** It was opened to the listener itself: what is sent on to there would come back. */
export const LOOP = Symbol('loop');

/** Where the connection was opened to; from now on that is the socket's local address. Undefined where nobody knows. */
export function restoreDestination(
  socket: ProxySocket,
  bound: BoundAddress,
  rules: InterceptionRules,
): Destination | typeof LOOP | undefined {
  const found = rules.restores ? originalDestination(socket.descriptor, bound.address) : undefined;
  const destination = found ?? (rules.transparent ? ownDestination(socket) : undefined);
  if (destination === undefined) return undefined;
  // Asked of the system only where it may be.
  if (destination.port === bound.port && isOwnAddress(destination.address, socket.localAddress)) return LOOP;
  socket.restored = destination;
  return destination;
}

function ownDestination({ localAddress, localPort }: ProxySocket): Destination | undefined {
  if (localAddress === undefined || localPort === undefined) return undefined;
  return { address: canonicalAddress(localAddress), port: localPort };
}

const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;

/** Lets a listening socket take connections to addresses that are not this host's. Why it cannot, where that is so. */
export function makeTransparent(descriptor: number, address: string): string | undefined {
  const calls = systemCalls();
  const results = [calls.setOption(descriptor, SOL_IP, IP_TRANSPARENT, 1)];
  if (isIPv6(address)) results.push(calls.setOption(descriptor, SOL_IPV6, IPV6_TRANSPARENT, 1));
  const failed = results.find((result) => result < 0);
  if (failed === undefined) return undefined;
  const hint = failed === -constants.errno.EPERM ? '; give the proxy CAP_NET_ADMIN or CAP_NET_RAW' : '';
  return `cannot be made transparent: ${getSystemErrorName(failed)}${hint}`;
}
