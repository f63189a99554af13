// Filter chain choice: Envoy's order of criteria, the most specific at each, no way back.

import { create } from '@bufbuild/protobuf';
import { FilterChainMatchSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { describe, expect, it } from 'vitest';
import {
  type ConnectionFacts,
  filterChainMatchKey,
  matchFilterChain,
  unsupportedMatchFields,
} from './filter-chain-match.js';

type MatchFields = Parameters<typeof create<typeof FilterChainMatchSchema>>[1];

function chain(name: string, match?: MatchFields) {
  return { name, match: match === undefined ? undefined : create(FilterChainMatchSchema, match) };
}

const PLAIN: ConnectionFacts = {
  destinationAddress: '',
  destinationPort: 9080,
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
};
const tls = (serverName: string, ...applicationProtocols: string[]): ConnectionFacts => ({
  destinationPort: 9080,
  destinationAddress: '',
  serverName,
  transportProtocol: 'tls',
  applicationProtocols,
});

describe('matchFilterChain', () => {
  it('tells mutual TLS of the mesh from other TLS and from plaintext', () => {
    const chains = [
      chain('mesh', { transportProtocol: 'tls', applicationProtocols: ['istio-http/1.1', 'istio'] }),
      chain('other-tls', { transportProtocol: 'tls' }),
      chain('plain', { transportProtocol: 'raw_buffer' }),
    ];
    expect(matchFilterChain(chains, tls('x', 'h2', 'istio'))?.name).toBe('mesh');
    expect(matchFilterChain(chains, tls('x', 'h2'))?.name).toBe('other-tls');
    expect(matchFilterChain(chains, PLAIN)?.name).toBe('plain');
  });

  it('prefers the exact server name, then the longest wildcard, then none', () => {
    const chains = [
      chain('any', { transportProtocol: 'tls' }),
      chain('wide', { serverNames: ['*.example.com'] }),
      chain('narrow', { serverNames: ['*.a.example.com'] }),
      chain('exact', { serverNames: ['x.a.example.com'] }),
    ];
    expect(matchFilterChain(chains, tls('x.a.example.com'))?.name).toBe('exact');
    expect(matchFilterChain(chains, tls('y.a.example.com'))?.name).toBe('narrow');
    expect(matchFilterChain(chains, tls('b.example.com'))?.name).toBe('wide');
    expect(matchFilterChain(chains, tls('example.com'))?.name).toBe('any');
  });

  it('does not go back to a less specific chain', () => {
    const chains = [
      chain('port', { destinationPort: 9080, transportProtocol: 'tls' }),
      chain('plain', { transportProtocol: 'raw_buffer' }),
    ];
    expect(matchFilterChain(chains, PLAIN)).toBeUndefined();
    expect(matchFilterChain(chains, { ...PLAIN, destinationPort: 1 })?.name).toBe('plain');
  });

  it('prefers the narrower range of addresses, which come before server names', () => {
    const range = (addressPrefix: string, prefixLen: number) => ({ addressPrefix, prefixLen });
    const chains = [
      chain('any', {}),
      chain('wide', { prefixRanges: [range('10.0.0.0', 8), range('fd00::', 8)] }),
      chain('narrow', { prefixRanges: [range('10.1.0.0', 16)] }),
      chain('named', { serverNames: ['a.example.com'] }),
    ];
    const to = (destinationAddress: string) =>
      matchFilterChain(chains, { ...tls('a.example.com'), destinationAddress });
    expect(to('10.1.2.3')?.name).toBe('narrow');
    expect(to('10.2.2.3')?.name).toBe('wide');
    expect(to('fd00::1')?.name).toBe('wide');
    expect(to('192.168.1.1')?.name).toBe('named');
    expect(to('')?.name).toBe('named');
  });

  it('takes the protocol that the client names first', () => {
    const chains = [
      chain('h2', { applicationProtocols: ['h2'] }),
      chain('http', { applicationProtocols: ['http/1.1'] }),
    ];
    expect(matchFilterChain(chains, tls('', 'http/1.1', 'h2'))?.name).toBe('http');
    expect(matchFilterChain(chains, tls('', 'h2', 'http/1.1'))?.name).toBe('h2');
    expect(matchFilterChain(chains, tls('', 'x'))).toBeUndefined();
  });

  it('names what it does not act on, and sees through the order of lists', () => {
    expect(unsupportedMatchFields(create(FilterChainMatchSchema, { sourcePorts: [1], addressSuffix: 'x' }))).toEqual([
      'address_suffix',
      'source_ports',
    ]);
    const key = (names: string[]): string =>
      filterChainMatchKey(create(FilterChainMatchSchema, { serverNames: names }));
    expect(key(['a', 'B'])).toBe(key(['b', 'a']));
    expect(key(['a'])).not.toBe(filterChainMatchKey(undefined));
  });
});
