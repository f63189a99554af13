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
  readonly conditions: readonly Condition[];
}

/** The routes before `end`. */
export function triedRoutes(places: Places, { routes }: VirtualHost, end: number, connect: boolean): TriedRoute[] {
  return routes.slice(0, end).map((route, index) => ({
    index,
    route,
    places: routePlaces(places, route),
    conditions: route.match === undefined ? [] : conditionsOf(route.match, connect),
  }));
}

/** A route configuration for each condition. Names are used again for others: a core keeps places for some thousands. */
export function probesOf(conditions: readonly Condition[]): RouteConfiguration[] {
  return conditions.map(({ match }, index) => conditionProbe(`condition ${index}`, match));
}

/** The first condition that does not hold. */
export function firstFailure(
  { route, index, places, conditions }: TriedRoute,
  request: RequestFacts,
  holds: (condition: Condition) => boolean,
): NotMatched {
  const rule = routeLabel(route, index, places);
  for (const condition of conditions) {
    if (holds(condition)) continue;
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
