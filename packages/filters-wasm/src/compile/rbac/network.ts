// Addresses and networks as octets, as connection records and access rules have them.
import { isIPv4, isIPv6 } from 'node:net';

export interface Address {
  readonly family: 4 | 6;
  /** Sixteen; of version 4 the first four. */
  readonly octets: Uint8Array;
}

/** Undefined where the text is no address. A zone means something on this machine alone, and is left out. */
export function readAddress(text: string): Address | undefined {
  const octets = new Uint8Array(16);
  if (isIPv4(text)) {
    octets.set(text.split('.').map(Number));
    return { family: 4, octets };
  }
  const [address = ''] = text.split('%');
  if (!isIPv6(address)) return undefined;
  // The last groups may stand as an address of version 4.
  const groups = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_text, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [head = '', tail] = groups.split('::');
  const groupsOf = (part: string) => (part === '' ? [] : part.split(':'));
  const right = tail === undefined ? [] : groupsOf(tail);
  const place = (list: readonly string[], from: number) =>
    list.forEach((group, index) => {
      const value = Number.parseInt(group, 16);
      octets.set([value >> 8, value & 0xff], (from + index) * 2);
    });
  place(groupsOf(head), 0);
  place(right, 8 - right.length);
  return { family: 6, octets };
}

/** An address of a connection: one of version 4 that a socket of version 6 shows (::ffff:1.2.3.4) is of version 4. */
export function readPeerAddress(text: string): Address | undefined {
  return readAddress(/^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1] ?? text);
}

/** A network: the bits of its address that count, the others zero. */
export function readNetwork(
  prefix: string,
  bits: number,
): { readonly family: 4 | 6; readonly bits: number; readonly octets: Uint8Array } | undefined {
  const address = readAddress(prefix);
  if (address === undefined || prefix.includes('%') || bits > (address.family === 4 ? 32 : 128)) return undefined;
  const octets = address.octets.map((octet, index) => {
    const left = Math.min(8, Math.max(0, bits - index * 8));
    return octet & (0xff << (8 - left));
  });
  return { family: address.family, bits, octets };
}
