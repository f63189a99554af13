// Explain: which filter chain of a listener takes a connection.

import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';

/** How a connection comes in, as far as filter chains look at it. */
export interface ConnectionKind {
  readonly transport: 'tls' | 'raw_buffer';
  readonly serverName: string;
  readonly alpn: readonly string[];
  /** The port that it was opened to; left out where no chain asks for it. */
  readonly destinationPort?: number;
  /** The IPv4 address that it was opened to; left out where no chain asks for it. */
  readonly destinationAddress?: string;
}

/** Chains for the port, where there are some; there is no way back to the others. */
function ofPort(chains: readonly FilterChain[], port: number | undefined): readonly FilterChain[] {
  const own = chains.filter(
    ({ filterChainMatch: match }) => match?.destinationPort !== undefined && match.destinationPort === port,
  );
  return own.length > 0 ? own : chains.filter(({ filterChainMatch: match }) => match?.destinationPort === undefined);
}

function bitsOf(address: string): string {
  return address
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
}

/** How much of the address the longest of the chain's subnets that it is in says; 0 for a chain without; -1: it is in none. */
function subnetRank({ filterChainMatch: match }: FilterChain, address: string | undefined): number {
  const ranges = match?.prefixRanges ?? [];
  if (ranges.length === 0) return 0;
  const ranks = ranges.map(({ addressPrefix, prefixLen = 0 }) => {
    const isIn =
      address?.includes('.') === true &&
      addressPrefix.includes('.') &&
      bitsOf(address).startsWith(bitsOf(addressPrefix).slice(0, prefixLen));
    return isIn ? prefixLen + 1 : -1;
  });
  return Math.max(...ranks);
}

/** Chains of the narrowest subnet. */
function ofAddress(chains: readonly FilterChain[], address: string | undefined): readonly FilterChain[] {
  const best = Math.max(...chains.map((chain) => subnetRank(chain, address)), 0);
  return chains.filter((chain) => subnetRank(chain, address) === best);
}

/** The filter chain for a connection, by Envoy's order of criteria; undefined: the connection is closed. */
export function chooseChain(chains: readonly FilterChain[], kind: ConnectionKind): FilterChain | undefined {
  let best: FilterChain | undefined;
  let bestRank: readonly number[] = [];
  for (const chain of ofAddress(ofPort(chains, kind.destinationPort), kind.destinationAddress)) {
    const match = chain.filterChainMatch;
    const { serverNames = [], transportProtocol = '', applicationProtocols = [] } = match ?? {};
    const rank = [
      Math.max(...(serverNames.length === 0 ? [0] : serverNames.map((name) => serverNameRank(name, kind.serverName)))),
      transportProtocol === '' ? 0 : transportProtocol === kind.transport ? 1 : -1,
      applicationProtocols.length === 0 ? 0 : applicationProtocols.some((name) => kind.alpn.includes(name)) ? 1 : -1,
    ];
    if (rank.some((each) => each < 0) || !isMore(rank, bestRank)) continue;
    best = chain;
    bestRank = rank;
  }
  return best;
}

function isMore(rank: readonly number[], than: readonly number[]): boolean {
  const differs = rank.findIndex((each, index) => each !== (than[index] ?? -1));
  return differs >= 0 && rank[differs]! > (than[differs] ?? -1);
}

function serverNameRank(name: string, serverName: string): number {
  if (name === serverName) return Number.MAX_SAFE_INTEGER;
  if (name === '*') return 1;
  return name.startsWith('*.') && serverName.endsWith(name.slice(1)) ? name.length : -1;
}
