// Trace: why the routes before the chosen one did not match, condition by condition, as the core says.

import type { Route, VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { type Condition, conditionProbe, conditionsOf } from '../decide/probes.js';
import type { NotMatched } from '../explanation.js';
import { because, type Place, type Places, placeName } from '../places/places.js';
import { type RoutePlaces, routePlaces, saying } from '../places/route-places.js';
import { conditionText, type RequestFacts } from './condition-text.js';

/** A route that was tried in vain. */
export interface TriedRoute {
  readonly index: number;
  readonly route: Route;
  readonly places: RoutePlaces;
  readonly conditions: readonly { readonly probe: string; readonly condition: Condition }[];
}

/** The routes before `end`, with a probe for each of their conditions. */
export function triedRoutes(places: Places, { routes }: VirtualHost, end: number, connect: boolean): TriedRoute[] {
  return routes.slice(0, end).map((route, index) => ({
    index,
    route,
    places: routePlaces(places, route),
    conditions: (route.match === undefined ? [] : conditionsOf(route.match, connect)).map((condition, at) => ({
      probe: `condition ${index}/${at}`,
      condition,
    })),
  }));
}

/** The route configurations that the core must be given for the routes. */
export function probesOf(tried: readonly TriedRoute[]): RouteConfiguration[] {
  return tried.flatMap(({ conditions }) =>
    conditions.map(({ probe, condition }) => conditionProbe(probe, condition.match)),
  );
}

/** The first condition that does not hold. */
export function firstFailure(
  { route, index, places, conditions }: TriedRoute,
  request: RequestFacts,
  matches: (probe: string) => boolean,
): NotMatched {
  const rule = routeLabel(route, index, places);
  for (const { probe, condition } of conditions) {
    if (matches(probe)) continue;
    const { label, field, expected, actual } = conditionText(condition, request);
    const place = saying(places.conditions, field) ?? places.conditions[0] ?? places.rules[0];
    return {
      rule,
      condition: label,
      expected,
      actual,
      because: place === undefined ? null : because(place, 'notMatched'),
    };
  }
  // Each holds by itself: the core found something that no probe asks for.
  throw new Error(`${rule}: every condition holds, and yet the route was passed over`);
}

/** The rule that a route was made of, else its name. */
export function routeLabel({ name }: Route, index: number, { rules, conditions }: RoutePlaces): string {
  const place: Place | undefined = conditions[0] ?? rules[0];
  return place === undefined ? name || `route ${index}` : placeName(place);
}
