// Places: what in the documents decided the parts of a route and of its clusters.

import type { ConfigObject } from '@lateen/istio-config';
import {
  type ClientScope,
  type EffectiveDestinationRule,
  type MeshService,
  originsOf,
  policyForPort,
} from '@lateen/translate';
import type { Because } from '../explanation.js';
import type { ClusterEndpoint } from '../read/clusters.js';
import { because, below, type Place, type Places, valueAt } from './places.js';
import { type RoutePlaces, saying } from './route-places.js';

/** Fields of a rule, and what of the answer they decide. */
const RULE_FIELDS: readonly (readonly [decides: string, field: readonly string[]])[] = [
  ['redirect', ['redirect']],
  ['directResponse', ['directResponse']],
  ['path', ['rewrite', 'uri']],
  ['path', ['rewrite', 'uriRegexRewrite']],
  ['host', ['rewrite', 'authority']],
  ['timeoutMs', ['timeout']],
  ['retries', ['retries']],
  ['fault', ['fault']],
  ['mirror', ['mirror']],
  ['mirror', ['mirrors']],
  ['mirror', ['mirrorPercentage']],
  ['mirror', ['mirrorPercent']],
  ['cors', ['corsPolicy']],
  ['requestHeaders', ['headers', 'request']],
  ['responseHeaders', ['headers', 'response']],
];

const isWithin = (part: Place, whole: Place): boolean =>
  part.object === whole.object && whole.path.every((step, index) => step === part.path[index]);

/** The rule's own fields. */
export function ruleBecause({ rules, conditions }: RoutePlaces): Because[] {
  // Each rule by its condition, where it has one: of a delegate and of the rule that delegates, both.
  const found = rules.map((rule) => because(conditions.find((each) => isWithin(each, rule)) ?? rule, 'route'));
  const delegating = saying(rules, ['delegate']);
  if (delegating !== undefined) found.push(because(delegating, 'route'));
  for (const [decides, field] of RULE_FIELDS) {
    const place = saying(rules, field);
    if (place !== undefined) found.push(because(place, decides));
  }
  return found;
}

/**
 * The destinations of a rule, each beside the cluster that it became: a single one has everything, whatever its weight;
 * of several, those without weight are left out.
 */
export function destinationPlaces({ rules }: RoutePlaces): Place[] {
  const list = saying(rules, ['route']);
  if (list === undefined) return [];
  const destinations = valueAt(list) as readonly { readonly weight?: number }[];
  const all = destinations.map((_, index) => below(list, index));
  return all.length === 1 ? all : all.filter((_, index) => (destinations[index]?.weight ?? 0) > 0);
}

/** What one destination says. */
export function destinationBecause(place: Place, cluster: string): Because[] {
  const found = [because(below(place, 'destination'), 'clusters', cluster)];
  for (const [decides, side] of [
    ['requestHeaders', 'request'],
    ['responseHeaders', 'response'],
  ] as const) {
    const changes = below(place, 'headers', side);
    if (valueAt(changes) !== undefined) found.push(because(changes, decides, cluster));
  }
  return found;
}

/** Parts of a traffic policy. */
const POLICY_FIELDS = ['loadBalancer', 'connectionPool', 'outlierDetection', 'tls'] as const;

/** What decides about the cluster `outbound|PORT|SUBSET|HOST`: the service, the subset and the traffic policy. */
export function clusterBecause(places: Places, scope: ClientScope, cluster: string): Because[] {
  const [, portText, subsetName = '', host = ''] = cluster.split('|');
  const service = scope.destinationByHost.get(host);
  if (service === undefined) return [];
  const port = Number(portText);
  const found = serviceBecause(places, service, port, 'clusters', cluster);
  const rule = scope.destinationRule(service);
  if (rule === undefined) return found;
  const subset = rule.subsets.find(({ name }) => name === subsetName);
  const subsetPlace = subset && placeOf(places, subset);
  if (subsetPlace !== undefined) found.push(because(subsetPlace, 'subset', cluster));
  const policy = policyForPort(rule, subset, port);
  for (const field of POLICY_FIELDS) {
    const place = placeOf(places, policy[field]);
    if (place !== undefined) found.push(because(place, field, cluster));
  }
  if (found.every(({ kind }) => kind !== 'DestinationRule')) found.push(...wholeRule(places, rule, cluster));
  return found;
}

/** A rule that says nothing about this cluster is still the one that holds. */
function wholeRule(places: Places, { namespace, name }: EffectiveDestinationRule, cluster: string): Because[] {
  const object = places.object('DestinationRule', namespace, name);
  return object === undefined ? [] : [because({ object, path: [] }, 'destinationRule', cluster)];
}

/** The place of a part of a spec, or of what it was made from. */
export function placeOf(places: Places, part: object | undefined): Place | undefined {
  if (part === undefined) return undefined;
  for (const origin of originsOf(part)) {
    const place = places.of(origin);
    if (place !== undefined) return place;
  }
  return undefined;
}

/** The port in the document of the Service or ServiceEntry. */
export function serviceBecause(
  places: Places,
  service: MeshService,
  port: number,
  decides: string,
  cluster = '',
): Because[] {
  const object = places.object(service.kind, service.namespace, service.name);
  if (object === undefined) return [];
  const ports = valueAt({ object, path: ['spec', 'ports'] }) as
    | readonly { port?: number; number?: number }[]
    | undefined;
  const index = ports?.findIndex((each) => (each.number ?? each.port) === port) ?? -1;
  return [because({ object, path: index < 0 ? [] : ['spec', 'ports', index] }, decides, cluster)];
}

/** The documents that the endpoints come from, each once. */
export function endpointBecause(places: Places, endpoints: readonly ClusterEndpoint[], cluster: string): Because[] {
  const documents = new Set<ConfigObject>();
  for (const { target, pod } of endpoints) {
    const object =
      target === undefined
        ? places.find('WorkloadEntry', ({ spec }) => 'address' in spec && spec.address === pod)
        : places.object('Deployment', target.namespace, target.workloadName);
    if (object !== undefined) documents.add(object);
  }
  return [...documents].map((object) => because({ object, path: [] }, 'endpoints', cluster));
}
