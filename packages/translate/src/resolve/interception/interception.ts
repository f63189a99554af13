// Resolve: how the connections of a proxy's application come to it, and which addresses stand for services then.

import type { JsonValue } from '@bufbuild/protobuf';
import type { ProxyNode, Workload } from '../../model.js';
import { stableJson } from '../../stable-hash.js';
import type { MeshService } from '../mesh-index.js';

/** Where connections of the application are led, and those to it (CONTRACTS "Ports"). */
export const OUTBOUND_PORT = 15_001;
export const INBOUND_PORT = 15_006;

export type AddressFamily = 'IPv4' | 'IPv6';

/** A proxy that connections are led to, with the address that they were going to. */
export interface Interception {
  readonly mode: 'REDIRECT' | 'TPROXY';
  /** The pod's own addresses, the one that it is known by first. */
  readonly ownAddresses: readonly string[];
  /** Of its own addresses; IPv4 comes first. */
  readonly families: readonly AddressFamily[];
  /** The proxy answers its application's questions for names, so that addresses may be given to hosts that have none. */
  readonly usesAutoAddresses: boolean;
  /** Of what other proxies may have in common with it: all but its own addresses. */
  readonly key: string;
}

export function familyOf(address: string): AddressFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/** Node metadata says truth as text. */
function isTrue(value: JsonValue | undefined): boolean {
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true');
}

function isFalse(value: JsonValue | undefined): boolean {
  return value === false || (typeof value === 'string' && value.toLowerCase() === 'false');
}

/** What the registry knows, and node metadata `INSTANCE_IPS`: all addresses of the pod, separated by commas. */
function ownAddresses({ metadata }: ProxyNode, known: readonly string[]): readonly string[] {
  const said = typeof metadata.INSTANCE_IPS === 'string' ? metadata.INSTANCE_IPS.split(',') : [];
  return [...new Set([...known, ...said.map((text) => text.trim()).filter((text) => text !== '')])];
}

/** How the connections of a workload's application come to its proxy, as far as the registry knows. */
export function interceptionModeOf({ gateway, takesEveryPort, mutualTls }: Workload): ProxyNode['interceptionMode'] {
  return !gateway && takesEveryPort === true && mutualTls !== false ? 'REDIRECT' : 'NONE';
}

/**
 * The interception of a sidecar; undefined where its application has to call it by itself, and for gateways.
 *
 * @param known its addresses, the one that it is known by first
 */
export function resolveInterception(proxy: ProxyNode, known: readonly string[]): Interception | undefined {
  const { type, interceptionMode, proxyless, metadata } = proxy;
  if (type !== 'sidecar' || proxyless || interceptionMode === 'NONE') return undefined;
  const own = ownAddresses(proxy, known);
  const families = (['IPv4', 'IPv6'] as const).filter((family) => own.some((each) => familyOf(each) === family));
  // As in Istio since 1.25: whoever answers for names gets addresses, unless told otherwise.
  const usesAutoAddresses = isTrue(metadata.DNS_CAPTURE) && !isFalse(metadata.DNS_AUTO_ALLOCATE);
  return {
    mode: interceptionMode,
    ownAddresses: own,
    families,
    usesAutoAddresses,
    key: stableJson([interceptionMode, families, usesAutoAddresses]),
  };
}

/** All addresses there are of the families, as what is bound. */
export function wildcardsOf({ families }: Interception): readonly string[] {
  return families.map((family) => (family === 'IPv4' ? '0.0.0.0' : '::'));
}

/** The addresses that stand for a service at the proxy, of its own families; none for a headless one, and for names alone. */
export function serviceAddresses(
  { addresses, subnets = [], autoAddresses }: MeshService,
  { families, usesAutoAddresses }: Interception,
): readonly string[] {
  const isOwn = (address: string) => families.includes(familyOf(address));
  if (addresses.length > 0 || subnets.length > 0) return addresses.filter(isOwn);
  return usesAutoAddresses ? autoAddresses.filter(isOwn) : [];
}
