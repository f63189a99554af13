// Places: the rule of a VirtualService that says where the connections to a port go.

import type { ClientScope, MeshPort, MeshService } from '@lateen/translate';
import type { Because } from '../explanation.js';
import { placeOf, serviceBecause } from './forward-because.js';
import { because, below, type Places, valueAt } from './places.js';

/**
 * What leads connections to the clusters: the first rule for TCP that is for the port, else the service's port alone.
 *
 * @param clusters in the order of the rule's destinations that have a weight
 */
export function connectionBecause(
  places: Places,
  scope: ClientScope,
  service: MeshService,
  { port }: MeshPort,
  clusters: readonly string[],
): Because[] {
  const found = serviceBecause(places, service, port, 'route');
  const rules = scope.meshRoutes(port).forHost(service.hostname)?.tcpRules ?? [];
  for (const rule of rules) {
    const match = (rule.match ?? []).find((each) => each.port === undefined || each.port === port);
    const place = placeOf(places, rule);
    if (place === undefined || (match === undefined && (rule.match ?? []).length > 0)) continue;
    const condition = placeOf(places, match);
    const list = below(place, 'route');
    const all = (valueAt(list) ?? []) as readonly { readonly weight?: number }[];
    const used = all.map((_, index) => index).filter((index) => all.length === 1 || (all[index]?.weight ?? 0) > 0);
    return [
      ...found,
      because(condition ?? place, 'route'),
      ...used.map((index, position) => because(below(list, index, 'destination'), 'clusters', clusters[position])),
    ];
  }
  return found;
}
