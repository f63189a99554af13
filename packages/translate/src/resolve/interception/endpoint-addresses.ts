// Resolve: the addresses of those who answer for a service whose clients choose among them.

import { compareText } from '../../stable-hash.js';
import type { MeshService } from '../mesh-index.js';
import { isIpAddress } from '../services/workload-entries.js';
import { familyOf, type Interception } from './interception.js';

/** Of those that are ready, each once, in order; names and sockets have none. */
export function endpointAddresses(
  { workloads, podEndpoints, entries }: MeshService,
  { families }: Interception,
): readonly string[] {
  const ready = [...(podEndpoints ?? workloads), ...entries].filter((each) => each.ready);
  const addresses = ready.map(({ address }) => address).filter(isIpAddress);
  return [...new Set(addresses)].filter((address) => families.includes(familyOf(address))).sort(compareText);
}

/** Those among which clients of the service choose by themselves, knowing them from DNS; none where they do not. */
export function chosenAddresses(service: MeshService, interception: Interception): readonly string[] {
  const choosesItself = service.headless === true || service.memberOf !== undefined;
  return choosesItself || service.resolution === 'PASSTHROUGH' ? endpointAddresses(service, interception) : [];
}
