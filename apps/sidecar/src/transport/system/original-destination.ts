// Transport: where an intercepted connection was opened to, before a redirect rule of the pod sent it to this proxy.

import { isIPv6, SocketAddress } from 'node:net';
import { networkInterfaces } from 'node:os';
import { groupsText } from '../../codec/ip-octets.js';
import { SOL_IP, SOL_IPV6, systemCalls } from './system-calls.js';

export interface Destination {
  readonly address: string;
  readonly port: number;
}

/** The same number for both families: SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST. */
const ORIGINAL_DST = 80;
const INET_BYTES = 16;
const INET6_BYTES = 28;
const IPV6_AT = 8;

/** Used again and again: a read ends before the next begins. */
const found = new Uint8Array(INET6_BYTES);
const octets = found.subarray(IPV6_AT, IPV6_AT + 16);

/**
 * Undefined where the kernel's connection tracking does not know the connection, as without any redirect rule. A connection
 * that was opened to the listener itself has the listener's own address.
 *
 * @param listensOn the address that its listener is bound to: `::` may take connections of both families
 */
export function originalDestination(fd: number, listensOn: string): Destination | undefined {
  return (isIPv6(listensOn) ? readIPv6(fd) : undefined) ?? readIPv4(fd);
}

function readIPv4(fd: number): Destination | undefined {
  if (systemCalls().getOption(fd, SOL_IP, ORIGINAL_DST, found.subarray(0, INET_BYTES)) < INET_BYTES) return undefined;
  return { address: `${found[4]}.${found[5]}.${found[6]}.${found[7]}`, port: portOf(found) };
}

function readIPv6(fd: number): Destination | undefined {
  if (systemCalls().getOption(fd, SOL_IPV6, ORIGINAL_DST, found) < INET6_BYTES) return undefined;
  return { address: canonicalAddress(groupsText(octets)), port: portOf(found) };
}

function portOf(address: Uint8Array): number {
  return address[2]! * 256 + address[3]!;
}

/** One text for one address: IPv6 as the system writes it, IPv4 in IPv6 as IPv4. */
export function canonicalAddress(address: string): string {
  if (!isIPv6(address)) return address;
  const text = new SocketAddress({ address, family: 'ipv6' }).address;
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[1] ?? text;
}

/** Whether a connection to there comes back to a listener on every address of this host. */
export function isOwnAddress(address: string, alsoOwn: string | undefined): boolean {
  if (address === canonicalAddress(alsoOwn ?? '') || address.startsWith('127.') || address === '::1') return true;
  return Object.values(networkInterfaces()).some((all) => all?.some((own) => own.address === address));
}
