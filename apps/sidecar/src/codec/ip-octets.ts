// Codec: the octets of an IP address.

import { isIPv4 } from 'node:net';

/** Four octets, or sixteen; `address` is one of version 4 or of version 6 without a zone. */
export function octetsOf(address: string): number[] {
  if (isIPv4(address)) return address.split('.').map(Number);
  // The last groups may stand as an address of version 4.
  const groups = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_text, ...octets: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = octets.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [head = '', tail] = groups.split('::');
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':'));
  const left = groupsOf(head);
  const right = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...(tail === undefined ? [] : zeros), ...right].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** Sixteen octets as an address of version 6, each group written out. */
export function groupsText(octets: ArrayLike<number>): string {
  return Array.from({ length: 8 }, (_, at) => (octets[at * 2]! * 256 + octets[at * 2 + 1]!).toString(16)).join(':');
}
