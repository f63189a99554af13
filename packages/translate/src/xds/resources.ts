// Build: all xDS resources of a view, in parts that are shared with other views where they are the same.

import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { NameTable } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import type { NamedResource, Problem, ProxyResources } from '../model.js';
import type { ProxyView } from '../proxy-view.js';
import { compareText, stableHash } from '../stable-hash.js';
import { endpointPart } from './clusters/endpoints.js';
import { isIntercepted, localClusterPart } from './clusters/local-clusters.js';
import { outboundClusterPart } from './clusters/outbound-clusters.js';
import { grpcParts } from './grpc/grpc-parts.js';
import { listenerPart } from './listeners/listeners.js';
import { nameTablePart } from './name-table.js';
import type { RecipeList, ResourcePart, RouteRecipe } from './recipe.js';
import { gatewayRoutePart } from './routes/gateway-routes.js';
import { sidecarRoutePart } from './routes/sidecar-routes.js';
import { secretPart } from './tls/served-secrets.js';

/** The parts of a view. The first two are the same for all proxies of a scope, the others may be a proxy's own. */
export interface ViewParts {
  readonly outboundClusters: ResourcePart<Cluster>;
  readonly endpoints: ResourcePart<ClusterLoadAssignment>;
  readonly localClusters: ResourcePart<Cluster>;
  readonly listeners: ResourcePart<Listener>;
  readonly routes: ResourcePart<RouteConfiguration, RouteRecipe>;
  readonly secrets: ResourcePart<Secret>;
  readonly names: ResourcePart<NameTable>;
}

/** The parts of a view, with nothing built yet. */
export function partsOf(view: ProxyView): ViewParts {
  if (view.proxyless) return grpcParts(view);
  const traits = {
    exchanges: view.understandsIstioFilters,
    detects: view.type !== 'router',
    intercepted: isIntercepted(view),
    credentials: view.credentials,
    place: view.place,
    proxyHeaders: view.proxyHeaders,
  };
  return {
    outboundClusters: outboundClusterPart(view.scope, traits),
    endpoints: endpointPart(view.scope, traits),
    localClusters: localClusterPart(view),
    listeners: listenerPart(view),
    routes: view.type === 'router' ? gatewayRoutePart(view) : sidecarRoutePart(view),
    secrets: secretPart(view),
    names: nameTablePart(view),
  };
}

/**
 * Stable hash of everything that the resources of a view are made of: equal keys mean equal resources, in all snapshots.
 * Proxies that differ in nothing that matters (a pod's name, a label that no configuration selects by) have the same.
 */
export function viewKey(view: ProxyView): string {
  return stableHash(Object.values(partsOf(view)).map(({ key }) => key));
}

/** Problems in order, each once. */
export function uniqueProblems(problems: readonly Problem[]): readonly Problem[] {
  const byText = new Map(
    problems.map((problem) => [[problem.subject, problem.code, problem.message].join('\n'), problem]),
  );
  return [...byText].sort(([a], [b]) => compareText(a, b)).map(([, problem]) => problem);
}

function buildAll<T>(lists: readonly RecipeList<T>[]): readonly NamedResource<T>[] {
  return lists
    .flatMap(({ recipes }) => recipes.map(({ name, build }) => ({ name, message: build() })))
    .sort((a, b) => compareText(a.name, b.name));
}

/**
 * Builds all resources of a view, each list sorted by name. `problems` holds the view's too. Who serves many views keeps
 * what was built by the keys of `partsOf` (TranslationCache) instead of calling this for each.
 */
export function buildResources(view: ProxyView): ProxyResources {
  const parts = partsOf(view);
  const outboundClusters = parts.outboundClusters.list();
  const localClusters = parts.localClusters.list();
  const endpoints = parts.endpoints.list();
  const listeners = parts.listeners.list();
  const routes = parts.routes.list();
  const secrets = parts.secrets.list();
  const names = parts.names.list();
  const lists = [outboundClusters, localClusters, endpoints, listeners, routes, secrets, names];
  return {
    clusters: buildAll([outboundClusters, localClusters]),
    endpoints: buildAll([endpoints]),
    listeners: buildAll([listeners]),
    routes: buildAll([routes]),
    secrets: buildAll([secrets]),
    names: buildAll([names]),
    problems: uniqueProblems([...view.problems, ...lists.flatMap(({ problems }) => problems)]),
  };
}
