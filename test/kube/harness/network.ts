// Test cluster: the network that joins the nodes, in the namespace in which the tests run.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { CONTROL_PLANE, SERVICE_RANGES } from './addresses.js';

export const LAN = 'lan';

/** Makes the bridge to which nodes are joined, with the control plane's addresses on it. @throws Error outside the tests' own namespaces */
export function createNodeNetwork(): void {
  if (process.env.LATEEN_KUBE_STATE === undefined)
    throw new Error('no network is made outside the namespaces of test:kube');
  ip('link set lo up');
  ip(`link add ${LAN} type bridge forward_delay 0`);
  // No duplicate can be here, and who waits for the check to end cannot listen on the address.
  writeFileSync(`/proc/sys/net/ipv6/conf/${LAN}/accept_dad`, '0');
  ip(`address add ${CONTROL_PLANE.ipv4}/24 dev ${LAN}`);
  ip(`address add ${CONTROL_PLANE.ipv6}/64 dev ${LAN} nodad`);
  ip(`link set ${LAN} up`);
  // A packet needs a way before kube-proxy's rules give it another address, and this machine has no way to everywhere.
  for (const range of SERVICE_RANGES.split(',')) ip(`route add ${range} dev ${LAN}`);
}

export function removeNodeNetwork(): void {
  ip(`link delete ${LAN}`);
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'ignore', 'pipe'] });
}
