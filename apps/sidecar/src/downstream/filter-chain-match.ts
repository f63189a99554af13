// Downstream: chooses the filter chain of an accepted connection, most specific criterion first, without backtracking.

import { BlockList, isIP, isIPv6 } from 'node:net';
import type { CidrRange } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import type { FilterChainMatch } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';

/** What is known of a connection once its first bytes were looked at. */
export interface ConnectionFacts {
  readonly destinationPort: number;
  /** The address that it was opened to; empty where no chain of the listener asks for it. */
  readonly destinationAddress: string;
  /** Lower case; empty where there is none. */
  readonly serverName: string;
  readonly transportProtocol: 'tls' | 'raw_buffer';
  readonly applicationProtocols: readonly string[];
}

/** A chain with its match, which is absent where the chain takes everything. */
export interface MatchableChain {
  readonly match: FilterChainMatch | undefined;
}

/**
 * The chain for a connection, by Envoy's order: destination port, destination address, server names (exact, then the longest wildcard, then
 * unset), transport protocol, application protocols (the first of the client's list that some chain names). At each
 * criterion only the most specific matches stay, so a later mismatch never falls back to a less specific chain
 * (https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/listener/v3/listener_components.proto).
 */
export function matchFilterChain<Chain extends MatchableChain>(
  chains: readonly Chain[],
  facts: ConnectionFacts,
): Chain | undefined {
  let left = mostSpecific(chains, (match) => {
    const wanted = match?.destinationPort;
    if (wanted === undefined || wanted === 0) return 0;
    return wanted === facts.destinationPort ? 1 : -1;
  });
  left = mostSpecific(left, (match) => addressRank(match?.prefixRanges ?? [], facts.destinationAddress));
  left = mostSpecific(left, (match) => serverNameRank(match?.serverNames ?? [], facts.serverName));
  left = mostSpecific(left, (match) => {
    const wanted = match?.transportProtocol ?? '';
    if (wanted === '') return 0;
    return wanted === facts.transportProtocol ? 1 : -1;
  });
  left = mostSpecific(left, (match) => {
    const wanted = match?.applicationProtocols ?? [];
    if (wanted.length === 0) return 0;
    const index = facts.applicationProtocols.findIndex((protocol) => wanted.includes(protocol));
    return index < 0 ? -1 : facts.applicationProtocols.length - index;
  });
  return left[0];
}

/** The chains of the highest rank; a negative rank is a mismatch. */
function mostSpecific<Chain extends MatchableChain>(
  chains: readonly Chain[],
  rank: (match: FilterChainMatch | undefined) => number,
): readonly Chain[] {
  let best = 0;
  let found: Chain[] = [];
  for (const chain of chains) {
    const value = rank(chain.match);
    if (value < best) continue;
    if (value > best) {
      best = value;
      found = [];
    }
    found.push(chain);
  }
  return found;
}

/** Length of the longest range that holds the address, plus one, so that a range of everything counts more than none. */
function addressRank(ranges: readonly CidrRange[], address: string): number {
  if (ranges.length === 0) return 0;
  const lengths = ranges.filter((range) => holds(range, address)).map(({ prefixLen }) => (prefixLen ?? 0) + 1);
  return Math.max(-1, ...lengths);
}

function holds({ addressPrefix, prefixLen }: CidrRange, address: string): boolean {
  const family = isIPv6(addressPrefix) ? 'ipv6' : 'ipv4';
  if (isIP(address) === 0 || isIPv6(address) !== (family === 'ipv6')) return false;
  const list = new BlockList();
  list.addSubnet(addressPrefix, prefixLen ?? 0, family);
  return list.check(address, family);
}

/** Whether some chain is chosen by the address that a connection was opened to. */
export function matchesByAddress(chains: readonly MatchableChain[]): boolean {
  return chains.some(({ match }) => (match?.prefixRanges.length ?? 0) > 0);
}

/** Infinity for the exact name, the suffix's length for a wildcard, 0 for unset, -1 for a mismatch. */
function serverNameRank(names: readonly string[], serverName: string): number {
  if (names.length === 0) return 0;
  let best = -1;
  for (const raw of names) {
    const name = raw.toLowerCase();
    if (name === serverName) return Number.POSITIVE_INFINITY;
    if (name.startsWith('*.') && serverName.endsWith(name.slice(1)) && serverName.length > name.length - 1) {
      best = Math.max(best, name.length);
    }
  }
  return best;
}

/** The match in a form in which two chains that could never be told apart are equal. */
export function filterChainMatchKey(match: FilterChainMatch | undefined): string {
  return JSON.stringify([
    match?.destinationPort ?? 0,
    (match?.prefixRanges ?? []).map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen ?? 0}`).sort(),
    [...(match?.serverNames ?? [])].map((name) => name.toLowerCase()).sort(),
    match?.transportProtocol ?? '',
    [...(match?.applicationProtocols ?? [])].sort(),
  ]);
}

/** Fields of a match that are not acted on; each is refused by name. */
export function unsupportedMatchFields(match: FilterChainMatch): string[] {
  const fields: string[] = [];
  if (match.addressSuffix !== '') fields.push('address_suffix');
  if (match.suffixLen !== undefined) fields.push('suffix_len');
  if (match.directSourcePrefixRanges.length > 0) fields.push('direct_source_prefix_ranges');
  if (match.sourceType !== 0) fields.push('source_type');
  if (match.sourcePrefixRanges.length > 0) fields.push('source_prefix_ranges');
  if (match.sourcePorts.length > 0) fields.push('source_ports');
  return fields;
}
