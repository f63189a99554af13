// Upstream: the TCP socket of a connection to an endpoint, from the source address that its cluster names.

import { connect, isIPv6, type Socket } from 'node:net';
import type { BindConfig } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { connectFrom, noSource } from '../transport/system/source-address.js';
import type { DialTarget } from './connection-owner.js';

/** Addresses of this host, one of each family at most, that connections come from. */
export interface SourceAddresses {
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}

/** Undefined where the system chooses. */
export function sourceAddresses(config: BindConfig | undefined): SourceAddresses | undefined {
  if (config?.sourceAddress === undefined) return undefined;
  const all = [config.sourceAddress, ...config.extraSourceAddresses.map(({ address }) => address)].flatMap((each) =>
    each === undefined ? [] : [each.address],
  );
  return { ipv4: all.find((address) => !isIPv6(address)), ipv6: all.find(isIPv6) };
}

/** Whether it is a pipe (Unix domain socket) of this machine. */
export function isPipe({ address, port }: Pick<DialTarget, 'address' | 'port'>): boolean {
  return port === 0 && (address.startsWith('/') || address.startsWith('@'));
}

/** Where a socket connects to, as options of it. */
export function placeOf(target: DialTarget): { path: string } | { host: string; port: number } {
  const { address, port } = target;
  if (!isPipe(target)) return { host: address, port };
  // The system's names without a file begin with a zero byte.
  return { path: address.startsWith('@') ? `\0${address.slice(1)}` : address };
}

/** As options of a socket that connects. */
export function keepAlive(keepAliveMs: number | undefined): { keepAlive?: true; keepAliveInitialDelay?: number } {
  return keepAliveMs === undefined ? {} : { keepAlive: true, keepAliveInitialDelay: keepAliveMs };
}

/** @param keepAliveMs after how long a silence the connection is probed, where it is */
export function dial(target: DialTarget, keepAliveMs: number | undefined): Socket {
  const place = placeOf(target);
  const options = { ...place, allowHalfOpen: true, noDelay: true, ...keepAlive(keepAliveMs) };
  const { source } = target.cluster;
  if (source === undefined || !('port' in options)) return connect(options);
  const address = isIPv6(options.host) ? source.ipv6 : source.ipv4;
  return address === undefined ? noSource(options.host) : connectFrom(address, options);
}
