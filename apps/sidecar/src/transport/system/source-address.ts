// Transport: connections from a given address of this host, whose ports are not used up by it.

import { connect, isIPv6, Socket, type TcpNetConnectOpts } from 'node:net';
import { constants, endianness } from 'node:os';
import { octetsOf } from '../../codec/ip-octets.js';
import { systemError } from '../stream-handles.js';
import { AF_INET, AF_INET6, SOL_IP, type SystemCalls, systemCalls } from './system-calls.js';

/**
 * A port is chosen when the socket connects, not when it is bound: one port then serves many destinations, where all bound
 * sockets would share the 28,000 that there are.
 */
const IP_BIND_ADDRESS_NO_PORT = 24;
const INET_BYTES = 16;
const INET6_BYTES = 28;

/** As `net.connect`, from `source`. Faults are the socket's `error`. */
export function connectFrom(source: string, options: TcpNetConnectOpts): Socket {
  const calls = callsWhereThere();
  if (calls === undefined) return connect({ ...options, localAddress: source });
  const family = isIPv6(source) ? AF_INET6 : AF_INET;
  const fd = calls.openTcp(family);
  if (fd < 0) return failed(fd, 'socket');
  // An old kernel that does not know it chooses a port at once.
  calls.setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const bound = calls.bind(fd, socketAddress(family, source));
  if (bound < 0) {
    calls.close(fd);
    return failed(bound, `bind ${source}`);
  }
  // It must not read before it is connected.
  const settings = { fd, allowHalfOpen: true, manualStart: true };
  return new Socket(settings).connect(options);
}

function callsWhereThere(): SystemCalls | undefined {
  try {
    return systemCalls();
  } catch {
    return undefined; // Node chooses a port when it binds
  }
}

function failed(status: number, syscall: string): Socket {
  const socket = new Socket();
  process.nextTick(() => socket.destroy(systemError(status, syscall)));
  return socket;
}

/** `struct sockaddr_in`, or `struct sockaddr_in6`, with port 0. */
function socketAddress(family: number, address: string): Uint8Array {
  const isIPv4 = family === AF_INET;
  const bytes = new Uint8Array(isIPv4 ? INET_BYTES : INET6_BYTES);
  bytes[endianness() === 'LE' ? 0 : 1] = family;
  bytes.set(octetsOf(address), isIPv4 ? 4 : 8);
  return bytes;
}

/** For a target of a family of which there is no source. */
export function noSource(target: string): Socket {
  const socket = new Socket();
  const error = new Error(`upstream_bind_config has no source address of the family of ${target}`);
  process.nextTick(() =>
    socket.destroy(Object.assign(error, { code: 'EADDRNOTAVAIL', errno: -constants.errno.EADDRNOTAVAIL })),
  );
  return socket;
}
