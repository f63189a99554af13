// Build: the hosts that a gateway's server and a VirtualService have in common.

import { hostMatches } from '@lateen/istio-config';
import type { GatewayServer } from '../../resolve/gateways.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { compareText } from '../../stable-hash.js';

/** Of two hosts that overlap the more specific one; sorted. */
export function intersectingHosts(server: GatewayServer, rule: EffectiveVirtualService): string[] {
  const hosts = new Set<string>();
  for (const { namespace, host } of server.hosts) {
    if (namespace !== '*' && namespace !== rule.namespace) continue;
    for (const wanted of rule.hosts) {
      if (hostMatches(host, wanted)) hosts.add(wanted);
      else if (hostMatches(wanted, host)) hosts.add(host);
    }
  }
  return [...hosts].sort(compareText);
}
