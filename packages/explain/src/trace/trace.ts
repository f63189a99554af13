// Trace: everything that could have been chosen in place of the route that was, in order, and why it was not.

import type { ConfigObject } from '@lateen/istio-config';
import type { VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { HttpEntry } from '../entry.js';
import type { ExplainContext } from '../explain.js';
import type { NotMatched } from '../explanation.js';
import type { Place } from '../places/places.js';
import { type RoutePlaces, routePlaces } from '../places/route-places.js';
import type { RequestFacts } from './condition-text.js';
import { rulesLeftOut, type TraceClient, virtualServicesLeftOut } from './left-out.js';
import { firstFailure, probesOf, routeLabel, triedRoutes } from './route-trace.js';

export interface Traced {
  /** The chosen route. */
  readonly route: string | null;
  readonly notMatched: readonly NotMatched[];
  readonly notReached: readonly string[];
}

export interface TraceInput {
  readonly virtualHost: VirtualHost | undefined;
  /** Of the chosen route; undefined where none matched. */
  readonly routeIndex: number | undefined;
  readonly load: (probes: readonly RouteConfiguration[]) => void;
  readonly head: string;
}

/** How many conditions are compiled at once: a core has some thousands of places for route configurations. */
const PROBES_AT_ONCE = 1000;

export function explainTrace(context: ExplainContext, entry: HttpEntry, input: TraceInput): Traced {
  const { places, view, snapshot, caller, request } = context;
  const { virtualHost, routeIndex } = input;
  const chosen = routeIndex === undefined ? undefined : virtualHost?.routes[routeIndex];
  const gateways = new Set(
    view.type === 'sidecar'
      ? ['mesh']
      : view.gatewayListeners.flatMap(({ servers }) => servers.map((each) => each.gateway)),
  );
  const client: TraceClient = { workload: caller, gateways, port: entry.port };
  const tried = tryRoutes(context, input);
  const followed = followedBy(context, entry, virtualHost);
  const host = entry.service?.hostname ?? request.authority.replace(/:\d+$/, '').toLowerCase();
  const others = virtualServicesLeftOut(
    snapshot,
    {
      host,
      serviceName: entry.service?.kind === 'Service' ? entry.service.name : undefined,
      unknown: entry.service === undefined && followed.size === 0,
    },
    client,
    followed,
  );
  const chosenPlaces = chosen && routePlaces(places, chosen);
  const order = new RuleOrder(followed);
  const leftOut = [...followed].flatMap((object) =>
    object.kind === 'VirtualService' ? leftOutBefore(order, object, client, chosenPlaces) : [],
  );
  const later = routeIndex === undefined ? [] : (virtualHost?.routes.slice(routeIndex + 1) ?? []);
  return {
    route: chosen === undefined ? null : chosen.name || routeLabel(chosen, routeIndex!, chosenPlaces!),
    notMatched: [...order.merge(tried, leftOut), ...others],
    notReached: later.map((route, index) => routeLabel(route, routeIndex! + 1 + index, routePlaces(places, route))),
  };
}

interface Ordered {
  readonly place: Place | undefined;
  readonly entry: NotMatched;
}

/** Asks the core, in portions, which condition of each earlier route does not hold. */
function tryRoutes({ places, decision, request }: ExplainContext, input: TraceInput): Ordered[] {
  const { virtualHost, routeIndex, load, head } = input;
  if (virtualHost === undefined) return [];
  const connect = request.method === 'CONNECT';
  const tried = triedRoutes(places, virtualHost, routeIndex ?? virtualHost.routes.length, connect);
  const facts: RequestFacts = {
    method: request.method,
    authority: request.authority,
    scheme: request.scheme,
    path: decision.path,
    header: (name) => decision.header(name),
  };
  const found: Ordered[] = [];
  let portion: typeof tried = [];
  let size = 0;
  const flush = () => {
    if (portion.length === 0) return;
    const conditions = portion.flatMap((each) => each.conditions);
    const probes = probesOf(conditions);
    const names = new Map(conditions.map((condition, index) => [condition, probes[index]!.name]));
    load(probes);
    decision.parse(head);
    for (const each of portion) {
      const place = each.places.conditions[0] ?? each.places.rules[0];
      found.push({ place, entry: firstFailure(each, facts, (condition) => decision.matches(names.get(condition)!)) });
    }
    portion = [];
    size = 0;
  };
  for (const each of tried) {
    if (size + each.conditions.length > PROBES_AT_ONCE) flush();
    portion.push(each);
    size += each.conditions.length;
  }
  flush();
  return found;
}

/** The VirtualServices whose rules the virtual host has, and the one for its host even where all of its rules are for others. */
function followedBy(
  { places, view }: ExplainContext,
  entry: HttpEntry,
  virtualHost: VirtualHost | undefined,
): ReadonlySet<ConfigObject> {
  const found = new Set<ConfigObject>();
  for (const route of virtualHost?.routes ?? []) {
    for (const { object } of routePlaces(places, route).rules) found.add(object);
  }
  if (view.type === 'sidecar' && entry.service !== undefined) {
    const rule = view.scope.meshRoutes(entry.port).forHost(entry.service.hostname);
    const object = rule && places.object('VirtualService', rule.namespace, rule.name);
    if (object !== undefined) found.add(object);
  }
  return found;
}

/** Conditions that are in no route, as far as they stand before the chosen rule. */
function leftOutBefore(
  order: RuleOrder,
  object: ConfigObject<'VirtualService'>,
  client: TraceClient,
  chosen: RoutePlaces | undefined,
): Ordered[] {
  const end = chosen?.conditions[0] ?? chosen?.rules[0];
  return [...rulesLeftOut(object, client)].flatMap(([key, entry]) => {
    const [rule, match] = key.split('/').map(Number);
    const place: Place = { object, path: ['spec', 'http', rule!, 'match', match!] };
    return end !== undefined && order.compare(place, end) > 0 ? [] : [{ place, entry }];
  });
}

/** The order in which rules stand in the documents. */
class RuleOrder {
  readonly #objects: readonly ConfigObject[];

  constructor(objects: Iterable<ConfigObject>) {
    this.#objects = [...objects];
  }

  compare(a: Place, b: Place): number {
    const byObject = this.#objects.indexOf(a.object) - this.#objects.indexOf(b.object);
    if (byObject !== 0) return byObject;
    return rank(a, 2) - rank(b, 2) || rank(a, 4) - rank(b, 4);
  }

  /** What was tried stays in its order; what was left out stands before the next rule of its document. */
  merge(tried: readonly Ordered[], leftOut: readonly Ordered[]): NotMatched[] {
    const merged = [...tried];
    for (const each of leftOut) {
      const at = merged.findIndex(({ place }) => place !== undefined && this.compare(each.place!, place) < 0);
      merged.splice(at < 0 ? merged.length : at, 0, each);
    }
    return merged.map(({ entry }) => entry);
  }
}

function rank({ path }: Place, step: number): number {
  const part = path[step];
  return typeof part === 'number' ? part : -1;
}
