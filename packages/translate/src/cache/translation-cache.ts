// Cache: what proxy views translate to. Two thousand sidecars that see the mesh in forty ways cost forty builds of what
// they see, and a change costs the building of what it changes: everything is kept by the key of what it was made from,
// from one snapshot to the next.

import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import { NAME_TABLE_TYPE_URL, packAny, TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import {
  type ClusterFacts,
  checkClusterLinks,
  checkListenerLinks,
  checkRouteLinks,
  clusterFacts,
  duplicateName,
  listenerFacts,
  type RouteFacts,
  routeFacts,
} from '../consistency.js';
import type { Problem } from '../model.js';
import type { ProxyView } from '../proxy-view.js';
import type { ResourceRecipe, RouteRecipe } from '../xds/recipe.js';
import { partsOf, uniqueProblems, type ViewParts } from '../xds/resources.js';
import type { PackedResource } from './pack-resource.js';
import { type BuiltPart, PartCache } from './part-cache.js';

/** Resources of one type by name. */
export type PackedSet = ReadonlyMap<string, PackedResource>;

/** What a view translates to. */
export interface Translation {
  /** By type URL. A set that is the same as before is the same object. */
  readonly resources: ReadonlyMap<string, PackedSet>;
  /** Why it must not be served; empty where it may. */
  readonly faults: readonly Problem[];
  /** Warnings, for status. */
  readonly problems: readonly Problem[];
}

/** How often the cache was asked, and what it did. */
export interface TranslationCacheCounts {
  /** Lookups of parts of views that were found. */
  readonly hits: number;
  /** Lookups of parts that were not. */
  readonly misses: number;
  /** Resources that were built, by type URL. */
  readonly built: ReadonlyMap<string, number>;
  /** Parts, and resources in them, that are held. */
  readonly parts: number;
  readonly resources: number;
}

/** A whole view: its parts put together and checked. */
interface Composition {
  readonly resources: ReadonlyMap<string, PackedSet>;
  readonly faults: readonly Problem[];
  /** Of its parts. */
  readonly problems: readonly Problem[];
  usedIn: number;
}

export class TranslationCache {
  private readonly clusters = new PartCache(plain(ClusterSchema, clusterFacts));
  private readonly endpoints = new PartCache(plain(ClusterLoadAssignmentSchema, () => undefined));
  private readonly listeners = new PartCache(plain(ListenerSchema, listenerFacts));
  private readonly routes = new PartCache(makeRoutes);
  private readonly secrets = new PartCache(plain(SecretSchema, () => undefined));
  private readonly names = new PartCache(plain(NameTableSchema, () => undefined));
  private readonly compositions = new Map<string, Composition>();
  private readonly clusterSets = onceForTwo(mergeClusters);
  private readonly clusterFaults = onceForTwo(checkClusterLinks);
  private readonly routeFaults = onceForTwo(checkRouteLinks);
  private generation = 0;

  /** A new snapshot is out: what the one before did not use is dropped. */
  startGeneration(): void {
    this.generation += 1;
    const oldest = this.generation - 1;
    for (const cache of this.caches()) cache.dropUnusedSince(oldest);
    for (const [key, { usedIn }] of this.compositions) if (usedIn < oldest) this.compositions.delete(key);
  }

  get counts(): TranslationCacheCounts {
    const { clusters, endpoints, listeners, routes, secrets, names } = this;
    const sum = (of: (cache: PartCache<never, unknown, never>) => number) =>
      this.caches().reduce((total, cache) => total + of(cache), 0);
    return {
      hits: sum(({ hits }) => hits),
      misses: sum(({ misses }) => misses),
      built: new Map([
        [TYPE_URL.cluster, clusters.built],
        [TYPE_URL.endpoint, endpoints.built],
        [TYPE_URL.listener, listeners.built],
        [TYPE_URL.route, routes.built],
        [TYPE_URL.secret, secrets.built],
        [NAME_TABLE_TYPE_URL, names.built],
      ]),
      parts: sum(({ partCount }) => partCount),
      resources: sum(({ resourceCount }) => resourceCount),
    };
  }

  /**
   * Translates a view, as far as it is not known yet. A view that cannot be translated is a fault of that view: other
   * proxies are served, this one keeps what it has.
   */
  translate(view: ProxyView): Translation {
    try {
      const { resources, faults, problems } = this.compose(partsOf(view));
      return { resources, faults, problems: uniqueProblems([...view.problems, ...problems]) };
    } catch (error) {
      const fault: Problem = {
        code: 'translation-failed',
        severity: 'error',
        subject: 'translation',
        message: `translation failed: ${(error as Error).stack ?? (error as Error).message}`,
      };
      return { resources: new Map(), faults: [fault], problems: view.problems };
    }
  }

  private compose(parts: ViewParts): Composition {
    const { generation } = this;
    // All parts are asked for, also where the whole is known: that is what keeps them.
    const outbound = this.clusters.get(parts.outboundClusters, generation);
    const local = this.clusters.get(parts.localClusters, generation);
    const endpoints = this.endpoints.get(parts.endpoints, generation);
    const listeners = this.listeners.get(parts.listeners, generation);
    const routes = this.routes.get(parts.routes, generation);
    const secrets = this.secrets.get(parts.secrets, generation);
    const names = this.names.get(parts.names, generation);
    const key = Object.values(parts)
      .map((part) => part.key)
      .join('\n');
    const known = this.compositions.get(key);
    if (known !== undefined) {
      known.usedIn = generation;
      return known;
    }
    const clusters = this.clusterSets(outbound, local);
    const composition: Composition = {
      resources: new Map<string, PackedSet>([
        [TYPE_URL.cluster, clusters],
        [TYPE_URL.endpoint, endpoints.resources],
        [TYPE_URL.listener, listeners.resources],
        [TYPE_URL.route, routes.resources],
        [TYPE_URL.secret, secrets.resources],
        [NAME_TABLE_TYPE_URL, names.resources],
      ]),
      faults: [
        ...duplicates('CDS', outbound, local),
        ...duplicates('EDS', endpoints),
        ...duplicates('LDS', listeners),
        ...duplicates('RDS', routes),
        ...this.clusterFaults(clusters, endpoints.resources),
        ...this.routeFaults(routes.resources, clusters),
        ...checkListenerLinks(listeners.resources, routes.resources, clusters),
      ],
      problems: [outbound, local, endpoints, listeners, routes].flatMap(({ problems }) => problems),
      usedIn: generation,
    };
    this.compositions.set(key, composition);
    return composition;
  }

  private caches(): readonly PartCache<never, unknown, never>[] {
    return [this.clusters, this.endpoints, this.listeners, this.routes, this.secrets, this.names];
  }
}

/** Builds the message and packs it. */
function plain<Desc extends DescMessage, Facts>(schema: Desc, factsOf: (message: MessageShape<Desc>) => Facts) {
  return ({ build }: ResourceRecipe<MessageShape<Desc>>) => {
    const message = build();
    return { any: packAny(schema, message), facts: factsOf(message) };
  };
}

/** Domains are needed no more once they are compared with each other. */
const makePlainRoutes = plain(RouteConfigurationSchema, (message): RouteFacts => {
  const { clusters, duplicates } = routeFacts(message);
  return { clusters, duplicates };
});

function makeRoutes(recipe: RouteRecipe): { readonly any: Any; readonly facts: RouteFacts } {
  const { shared } = recipe;
  if (shared === undefined) return makePlainRoutes(recipe);
  return { any: create(AnySchema, { typeUrl: TYPE_URL.route, value: shared.encode() }), facts: shared.facts() };
}

type BuiltClusters = BuiltPart<ClusterFacts>;

function mergeClusters(outbound: BuiltClusters, local: BuiltClusters): BuiltClusters['resources'] {
  return new Map([...outbound.resources, ...local.resources]);
}

/** Names that are more than once in the parts of a type. */
function duplicates(type: string, ...parts: readonly BuiltPart<unknown>[]): Problem[] {
  const [first, second] = parts;
  const inBoth = second === undefined ? [] : [...second.resources.keys()].filter((name) => first?.resources.has(name));
  return [...parts.flatMap(({ duplicateNames }) => duplicateNames), ...inBoth].map((name) => duplicateName(type, name));
}

/** Remembers the result for each pair of arguments, as long as both are in use. */
function onceForTwo<A extends object, B extends object, Result>(compute: (a: A, b: B) => Result) {
  const results = new WeakMap<A, WeakMap<B, { readonly value: Result }>>();
  return (a: A, b: B): Result => {
    const ofA = results.get(a) ?? new WeakMap<B, { readonly value: Result }>();
    results.set(a, ofA);
    const known = ofA.get(b) ?? { value: compute(a, b) };
    ofA.set(b, known);
    return known.value;
  };
}
