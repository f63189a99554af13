// Pod mode: the addresses of the pod: the one that Kubernetes names first, then those of the other family.

import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** @param first the pod's main address, which is among those of its interfaces as a rule */
export function podAddresses(first: string): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const global = all
    .filter(({ internal, address }) => !internal && !isLinkLocal(address))
    .map(({ address }) => address);
  const others = global.filter((address) => isIP(address) !== isIP(first));
  return [...new Set([first, ...others])];
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address) || address.startsWith('169.254.');
}
