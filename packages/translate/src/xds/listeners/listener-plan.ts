// Build: a listener before it is made, and the addresses that it binds.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type Address, AddressSchema, CidrRangeSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import {
  type FilterChainMatch,
  FilterChainMatchSchema,
  type ListenerFilter,
  ListenerFilterSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import {
  type AdditionalAddress,
  AdditionalAddressSchema,
  type Listener,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { TlsInspectorSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import type { ConnectionTarget } from '../routes/tcp-destinations.js';

export interface SocketAddress {
  readonly ip: string;
  readonly port: number;
}

/** A listener before it is made: what it wants to bind, in order of preference. */
export interface ListenerPlan {
  readonly name: string;
  /** Everything that it is made of, addresses aside. */
  readonly key: string;
  readonly address: SocketAddress;
  readonly additionalAddresses: readonly SocketAddress[];
  build(additionalAddresses: readonly SocketAddress[]): Listener;
}

export function socketAddress({ ip, port }: SocketAddress): Address {
  return create(AddressSchema, {
    address: { case: 'socketAddress', value: { address: ip, portSpecifier: { case: 'portValue', value: port } } },
  });
}

export function additionalAddress(address: SocketAddress): AdditionalAddress {
  return create(AdditionalAddressSchema, { address: socketAddress(address) });
}

/** `IP:PORT` lists, separated by commas; IPv6 in brackets. */
export function bindAddresses(text: string | undefined): SocketAddress[] {
  return (text ?? '')
    .split(',')
    .map((part) => /^\s*\[?([^\]]+?)\]?:(\d+)\s*$/.exec(part))
    .filter((match) => match !== null)
    .map((match) => ({ ip: match[1]!, port: Number(match[2]) }));
}

/** Looks at the ClientHello, for the choice of the filter chain. */
export function tlsInspector(): ListenerFilter {
  return create(ListenerFilterSchema, {
    name: 'envoy.filters.listener.tls_inspector',
    configType: { case: 'typedConfig', value: packAny(TlsInspectorSchema, create(TlsInspectorSchema)) },
  });
}

/** The match of a chain for some connections; none where it takes all of them. */
export function connectionMatch({ serverNames, subnets }: Pick<ConnectionTarget, 'serverNames' | 'subnets'>): {
  readonly filterChainMatch?: FilterChainMatch;
} {
  if (serverNames.length === 0 && subnets.length === 0) return {};
  const prefixRanges = subnets.map((subnet) => {
    const [addressPrefix = '', length] = subnet.split('/');
    const whole = addressPrefix.includes(':') ? 128 : 32;
    return create(CidrRangeSchema, { addressPrefix, prefixLen: length === undefined ? whole : Number(length) });
  });
  return { filterChainMatch: create(FilterChainMatchSchema, { serverNames: [...serverNames], prefixRanges }) };
}
