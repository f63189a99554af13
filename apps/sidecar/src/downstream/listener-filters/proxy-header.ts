// Downstream, PROXY protocol: parses the header that a load balancer puts before a connection, version 1 or 2, within fixed bounds
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).

import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { groupsText, octetsOf } from '../../codec/ip-octets.js';

/** Who a connection is between, as somebody before us says it. */
export interface PresentedAddresses {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export type ProxyHeaderResult =
  | { readonly kind: 'need-more' }
  /** The bytes do not begin with a header. */
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly reason: string }
  | {
      readonly kind: 'header';
      readonly version: 1 | 2;
      /** Undefined where the balancer speaks for itself (LOCAL), or does not know (UNKNOWN). */
      readonly addresses: PresentedAddresses | undefined;
      /** Bytes of it, what follows the addresses (type-length-values) included; more than were given where these are long. */
      readonly length: number;
    };

const SIGNATURE_V1 = Buffer.from('PROXY ', 'latin1');
const SIGNATURE_V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const MAX_V1_BYTES = 107;
const FIXED_V2_BYTES = 16;
const COMMAND_LOCAL = 0;
const COMMAND_PROXY = 1;
const FAMILY_INET = 1;
const FAMILY_INET6 = 2;
const INET_BYTES = 12;
const INET6_BYTES = 36;

const UNKNOWN_V1 = Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
const LOCAL_V2 = Buffer.from([...SIGNATURE_V2, (2 << 4) | COMMAND_LOCAL, 0, 0, 0]);

const NEED_MORE: ProxyHeaderResult = { kind: 'need-more' };
const NONE: ProxyHeaderResult = { kind: 'none' };

/** Looks at the first bytes of a connection. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeaderResult {
  if (startsLike(bytes, SIGNATURE_V2)) return bytes.length < FIXED_V2_BYTES ? NEED_MORE : parseVersion2(bytes);
  if (startsLike(bytes, SIGNATURE_V1)) return bytes.length < SIGNATURE_V1.length ? NEED_MORE : parseVersion1(bytes);
  return NONE;
}

/** As far as there are bytes; none are the beginning of everything. */
function startsLike(bytes: Uint8Array, signature: Uint8Array): boolean {
  const count = Math.min(bytes.length, signature.length);
  for (let index = 0; index < count; index++) if (bytes[index] !== signature[index]) return false;
  return true;
}

function malformed(reason: string): ProxyHeaderResult {
  return { kind: 'malformed', reason: `the PROXY protocol header ${reason}` };
}

function parseVersion1(bytes: Uint8Array): ProxyHeaderResult {
  const text = Buffer.from(bytes.subarray(0, MAX_V1_BYTES)).toString('latin1');
  const end = text.indexOf('\r\n');
  if (end < 0) return text.length < MAX_V1_BYTES ? NEED_MORE : malformed('has no end');
  const length = end + 2;
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = '', extra] = text
    .slice(0, end)
    .split(' ');
  if (family === 'UNKNOWN') return { kind: 'header', version: 1, addresses: undefined, length };
  if (family !== 'TCP4' && family !== 'TCP6') return malformed('names an unknown family');
  const isAddress = family === 'TCP4' ? isIPv4 : isWholeIPv6;
  if (!isAddress(source) || !isAddress(destination)) return malformed('has an address that is none');
  const [remotePort, localPort] = [portOf(sourcePort), portOf(destinationPort)];
  if (remotePort === undefined || localPort === undefined || extra !== undefined) return malformed('has wrong ports');
  const written = family === 'TCP4' ? (address: string) => address : oneForm;
  const addresses = { remoteAddress: written(source), remotePort, localAddress: written(destination), localPort };
  return { kind: 'header', version: 1, addresses, length };
}

function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return port <= 65_535 ? port : undefined;
}

function parseVersion2(bytes: Uint8Array): ProxyHeaderResult {
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 0x0f;
  const family = bytes[13]! >> 4;
  const follows = bytes[14]! * 256 + bytes[15]!;
  const length = FIXED_V2_BYTES + follows;
  if (version !== 2) return malformed('has an unknown version');
  if (command === COMMAND_LOCAL) return { kind: 'header', version: 2, addresses: undefined, length };
  if (command !== COMMAND_PROXY) return malformed('has an unknown command');
  if (family !== FAMILY_INET && family !== FAMILY_INET6) return malformed('is of a family other than IP');
  const wanted = family === FAMILY_INET ? INET_BYTES : INET6_BYTES;
  if (follows < wanted) return malformed('is too short for its addresses');
  if (bytes.length < FIXED_V2_BYTES + wanted) return NEED_MORE;
  const part = Buffer.from(bytes.subarray(FIXED_V2_BYTES, FIXED_V2_BYTES + wanted));
  const size = family === FAMILY_INET ? 4 : 16;
  const addresses: PresentedAddresses = {
    remoteAddress: addressText(part.subarray(0, size)),
    localAddress: addressText(part.subarray(size, 2 * size)),
    remotePort: part.readUInt16BE(2 * size),
    localPort: part.readUInt16BE(2 * size + 2),
  };
  return { kind: 'header', version: 2, addresses, length };
}

function addressText(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  return oneForm(groupsText(octets));
}

/** A zone means something on the machine that wrote it, and nothing here. */
function isWholeIPv6(address: string): boolean {
  return isIPv6(address) && !address.includes('%');
}

/** The form in which the system, and Envoy, write addresses, so that the same one is always the same text. */
function oneForm(address: string): string {
  return new SocketAddress({ address, family: 'ipv6' }).address;
}

/** The header that tells an upstream whom a connection is for; without addresses, that nobody knows. */
export function writeProxyHeader(version: 1 | 2, addresses: PresentedAddresses | undefined): Uint8Array {
  if (addresses === undefined) return version === 1 ? UNKNOWN_V1 : LOCAL_V2;
  const { remoteAddress, remotePort, localAddress, localPort } = addresses;
  const sameFamily = isIPv6(remoteAddress) === isIPv6(localAddress);
  if (version === 1) {
    if (!sameFamily) return UNKNOWN_V1;
    const family = isIPv6(remoteAddress) ? 'TCP6' : 'TCP4';
    return Buffer.from(`PROXY ${family} ${remoteAddress} ${localAddress} ${remotePort} ${localPort}\r\n`, 'latin1');
  }
  if (!sameFamily) return LOCAL_V2;
  const inet6 = isIPv6(remoteAddress);
  const size = inet6 ? 16 : 4;
  const bytes = Buffer.alloc(FIXED_V2_BYTES + 2 * size + 4);
  bytes.set(SIGNATURE_V2);
  bytes[12] = (2 << 4) | COMMAND_PROXY;
  bytes[13] = ((inet6 ? FAMILY_INET6 : FAMILY_INET) << 4) | 1;
  bytes.writeUInt16BE(2 * size + 4, 14);
  bytes.set(octetsOf(remoteAddress), FIXED_V2_BYTES);
  bytes.set(octetsOf(localAddress), FIXED_V2_BYTES + size);
  bytes.writeUInt16BE(remotePort, FIXED_V2_BYTES + 2 * size);
  bytes.writeUInt16BE(localPort, FIXED_V2_BYTES + 2 * size + 2);
  return bytes;
}

/** Whom a socket is between, as far as that is known. */
export function addressesOf(socket: {
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
}): PresentedAddresses | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || localAddress === undefined) return undefined;
  return { remoteAddress, remotePort: remotePort ?? 0, localAddress, localPort: localPort ?? 0 };
}
