// Fuzzing of configuration: what Pilot would send, judged by somebody who does not know how it is made: every name that stands in the
// resources' JSON form leads to a resource, and nothing is there twice.

import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import type { TranslationCache } from '@lateen/translate';
import { TYPE_URL, toEnvoyJson } from '@lateen/xds-proto';

type Json = Readonly<Record<string, unknown>>;
type Resources = ReturnType<TranslationCache['translate']>['resources'];

/** Clusters that are in a proxy's bootstrap file. */
const OF_BOOTSTRAP = new Set(['xds-grpc', 'sds-grpc']);
/** Secrets that Pilot serves by ADS; all others are the proxy's own, or files. */
const SERVED_SECRET = /^kubernetes:\/\//;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every object below a value, with the field that it stands in. */
function* objectsBelow(value: unknown, field = ''): Generator<readonly [string, Json]> {
  if (Array.isArray(value)) for (const each of value) yield* objectsBelow(each, field);
  if (!isObject(value)) return;
  yield [field, value];
  for (const [name, each] of Object.entries(value)) yield* objectsBelow(each, name);
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** The names of clusters, routes and secrets that an object refers to. */
function referencesOf(field: string, object: Json): readonly (readonly [type: string, name: string])[] {
  const clusters = [text(object.cluster), text(object.cluster_name)];
  if (field === 'weighted_clusters' && Array.isArray(object.clusters)) {
    for (const each of object.clusters as Json[]) clusters.push(text(each.name));
  }
  const route = field === 'rds' ? text(object.route_config_name) : undefined;
  const secret = object.sds_config === undefined ? undefined : text(object.name);
  return [
    ...clusters.flatMap((name) =>
      name === undefined || OF_BOOTSTRAP.has(name) ? [] : [[TYPE_URL.cluster, name] as const],
    ),
    ...(route === undefined ? [] : [[TYPE_URL.route, route] as const]),
    ...(secret === undefined || !SERVED_SECRET.test(secret) ? [] : [[TYPE_URL.secret, secret] as const]),
  ];
}

/** What is to be known of a resource; the same object goes to several proxies. */
interface Facts {
  readonly references: readonly (readonly [type: string, name: string])[];
  readonly fault: string | undefined;
  /** Where a listener listens. */
  readonly place: string | undefined;
}
const known = new WeakMap<object, Facts>();

function factsOf(type: string, name: string, resource: { readonly any: Any }): Facts {
  const before = known.get(resource);
  if (before !== undefined) return before;
  const root = toEnvoyJson(AnySchema, resource.any) as Json;
  const references: (readonly [type: string, name: string])[] = [];
  let fault: string | undefined;
  for (const [field, object] of objectsBelow(root)) {
    // There `cluster_name` is its own name.
    if (type === TYPE_URL.endpoint || field === 'load_assignment') continue;
    references.push(...referencesOf(field, object));
    const domain = repeated(((object.virtual_hosts ?? []) as Json[]).flatMap(({ domains }) => domains as string[]));
    if (domain !== undefined) fault ??= `${name} has the domain ${domain} twice`;
    const chains = ((object.filter_chains ?? []) as Json[]).map((each) =>
      JSON.stringify(each.filter_chain_match ?? {}),
    );
    const chain = repeated(chains);
    if (chain !== undefined) fault ??= `${name} has two filter chains for ${chain}`;
  }
  if (type === TYPE_URL.cluster && root.type === 'EDS') {
    references.push([TYPE_URL.endpoint, text((root.eds_cluster_config as Json | undefined)?.service_name) ?? name]);
  }
  const { address, port_value } = ((root.address as Json | undefined)?.socket_address ?? {}) as Json;
  const facts = { references, fault, place: address === undefined ? undefined : `${address}:${port_value}` };
  known.set(resource, facts);
  return facts;
}

/** The first thing that is wrong; undefined where all is well. */
export function danglingReference(resources: Resources): string | undefined {
  const bound = new Map<string, string>();
  for (const [type, ofType] of resources) {
    for (const [name, resource] of ofType) {
      const { references, fault, place } = factsOf(type, name, resource);
      if (fault !== undefined) return fault;
      for (const [wanted, target] of references) {
        if (resources.get(wanted)?.has(target) !== true) return `${name} refers to ${target}, which is no ${wanted}`;
      }
      if (place === undefined) continue;
      if (bound.has(place)) return `${name} and ${bound.get(place)} listen at ${place}`;
      bound.set(place, name);
    }
  }
  return undefined;
}

function repeated(texts: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return texts.map((each) => each.toLowerCase()).find((each) => seen.size === seen.add(each).size);
}
