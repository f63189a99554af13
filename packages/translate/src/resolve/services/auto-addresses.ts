// Resolve: addresses of hosts that have none, so that proxies that resolve names can tell connections to them apart.

import { compareText } from '../../stable-hash.js';
import type { ServiceDeclaration } from './service-declaration.js';

/** Of 240.240.0.0/16, which nobody routes: 256 networks of 254 addresses each. */
const HOSTS_OF_NETWORK = 254;
const ADDRESSES = 256 * HOSTS_OF_NETWORK;
/** As in Istio the IPv6 address, of 2001:2::/48, says the same number. */
const IPV6_PREFIX = '2001:2::f0f0:';

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function addressesAt(place: number): readonly string[] {
  const network = Math.floor(place / HOSTS_OF_NETWORK);
  const host = 1 + (place % HOSTS_OF_NETWORK);
  return [`240.240.${network}.${host}`, `${IPV6_PREFIX}${((network << 8) | host).toString(16)}`];
}

/**
 * An IPv4 and an IPv6 address for each service that takes some and is no wildcard. All Pilots give the same ones: they come of
 * namespace and host, and where two fall on the same place, of the order of the names. Services that there are no
 * addresses left for get none.
 */
export function allocateAddresses(
  services: readonly ServiceDeclaration[],
): ReadonlyMap<ServiceDeclaration, readonly string[]> {
  const waiting = services
    .filter(({ takesAutoAddresses, hostname }) => takesAutoAddresses === true && !hostname.startsWith('*'))
    .map((service) => ({ service, name: `${service.namespace}/${service.hostname}` }))
    .sort((a, b) => compareText(a.name, b.name))
    .slice(0, ADDRESSES);
  const taken = new Set<number>();
  const allocated = new Map<ServiceDeclaration, readonly string[]>();
  for (const { service, name } of waiting) {
    let place = hashOf(name) % ADDRESSES;
    while (taken.has(place)) place = (place + 1) % ADDRESSES;
    taken.add(place);
    allocated.set(service, addressesAt(place));
  }
  return allocated;
}
