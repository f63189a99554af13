// Places: the rule and the condition of a VirtualService that a route was made of.

import { originsOf } from '@lateen/translate';
import type { Route } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { Place, Places } from './places.js';
import { valueAt } from './places.js';

export interface RoutePlaces {
  /** `spec.http[i]`, the most specific first; several where a delegate is joined with the rule that delegates. */
  readonly rules: readonly Place[];
  /** `spec.http[i].match[j]`; none where the rule takes everything. */
  readonly conditions: readonly Place[];
}

export function routePlaces(places: Places, route: Route): RoutePlaces {
  const found = originsOf(route).flatMap((part) => {
    const place = places.of(part);
    return place === undefined || place.object.kind !== 'VirtualService' ? [] : [place];
  });
  return {
    rules: found.filter(({ path }) => path.length === 3),
    conditions: found.filter(({ path }) => path.length === 5 && path[3] === 'match'),
  };
}

/** The first of the places that says something at a field. */
export function saying(candidates: readonly Place[], field: readonly (string | number)[]): Place | undefined {
  const said = candidates.map(({ object, path }) => ({ object, path: [...path, ...field] }));
  return said.find((place) => valueAt(place) !== undefined);
}
