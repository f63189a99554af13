// Settings, step 2a: texts of single settings to values. Each says what is wrong, not where.
import { ipVersion } from '@lateen/istio-config/ip-address';
import type { Range } from './interception.js';

/** What is wrong with a text, and what to write. */
export class ValueError extends Error {}

const HIGHEST_ID = 4_294_967_294;
/** As the kernel has it: IFNAMSIZ less the closing zero. */
const LONGEST_INTERFACE = 15;

/** The parts between commas; spaces around them and empty ones do not count. */
export function parseList(text: string): string[] {
  return [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== '');
}

function wholeNumber(text: string, lowest: number, highest: number, what: string): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= lowest && value <= highest)) {
    throw new ValueError(`"${text}" is not ${what}; write a number from ${lowest} to ${highest}`);
  }
  return value;
}

export function parsePort(text: string): number {
  return wholeNumber(text.trim(), 1, 65_535, 'a port');
}

export function parsePorts(text: string): number[] {
  const ports = parseList(text).map((part) => {
    if (part === '*') throw new ValueError('"*" cannot stand here; write port numbers, separated by commas');
    return parsePort(part);
  });
  return [...new Set(ports)].sort((a, b) => a - b);
}

/** Ports, or `*` alone. */
export function parsePortsOrAll(text: string): 'all' | number[] {
  if (text.trim() === '*') return 'all';
  if (parseList(text).includes('*')) throw new ValueError('"*" means all ports, so it stands alone');
  return parsePorts(text);
}

function parseRange(text: string): Range {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const family = ipVersion(address);
  const most = family === 4 ? 32 : 128;
  if (family === 0) throw new ValueError(`"${text}" is not a range of addresses; write it as 10.0.0.0/8 or fd00::/8`);
  if (slash < 0) throw new ValueError(`"${text}" has no prefix length; for the one address write ${text}/${most}`);
  const length = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(length) || Number(length) > most) {
    throw new ValueError(`"${text}" has the prefix length "${length}"; IPv${family} has 0 to ${most}`);
  }
  return { family, text: `${address}/${Number(length)}`, isLoopback: isLoopback(address, family) };
}

function isLoopback(address: string, family: 4 | 6): boolean {
  return family === 4 ? address.startsWith('127.') : /^[0:]*:0*1$/.test(address);
}

/** One address as a range of one. */
export function rangeOfAddress(address: string): Range {
  const family = ipVersion(address);
  if (family === 0) throw new ValueError(`"${address}" is not an IP address`);
  return { family, text: `${address}/${family === 4 ? 32 : 128}`, isLoopback: isLoopback(address, family) };
}

export function parseRanges(text: string): Range[] {
  return parseList(text).map((part) => {
    if (part === '*') throw new ValueError('"*" cannot stand here; write ranges, separated by commas');
    return parseRange(part);
  });
}

/** Ranges, or `*` alone. */
export function parseRangesOrAll(text: string): 'all' | Range[] {
  if (text.trim() === '*') return 'all';
  if (parseList(text).includes('*')) throw new ValueError('"*" means all addresses, so it stands alone');
  return parseRanges(text);
}

export function parseIds(text: string): number[] {
  return [...new Set(parseList(text).map((part) => wholeNumber(part, 0, HIGHEST_ID, 'the number of a user or group')))];
}

export function parseMark(text: string): number {
  return wholeNumber(text.trim(), 1, HIGHEST_ID, 'a packet mark');
}

export function parseTable(text: string): number {
  const table = wholeNumber(text.trim(), 1, HIGHEST_ID, 'a routing table');
  if (table >= 253 && table <= 255) throw new ValueError(`${table} is one of the system's own routing tables`);
  return table;
}

/** What the kernel takes as a name, and rules can hold without quotes of their own. */
export function parseInterfaces(text: string): string[] {
  return parseList(text).map((part) => {
    if (part.length > LONGEST_INTERFACE || !/^[A-Za-z0-9][A-Za-z0-9._@-]*$/.test(part)) {
      throw new ValueError(`"${part}" is not the name of a network interface`);
    }
    return part;
  });
}

/** Names or numbers of groups. */
export function parseGroups(text: string): string[] {
  return parseList(text).map((part) => {
    if (/^\d+$/.test(part)) return String(wholeNumber(part, 0, HIGHEST_ID, 'the number of a group'));
    if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(part)) throw new ValueError(`"${part}" is not the name or number of a group`);
    return part;
  });
}
