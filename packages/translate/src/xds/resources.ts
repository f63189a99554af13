// Build: all xDS resources of a view.

import type { NamedResource, Problem, ProxyResources } from '../model.js';
import type { ProxyView } from '../proxy-view.js';
import { compareText } from '../stable-hash.js';
import { buildEndpoints } from './clusters/endpoints.js';
import { buildLocalClusters } from './clusters/local-clusters.js';
import { outboundClusters } from './clusters/outbound-clusters.js';
import { buildListeners } from './listeners/listeners.js';
import { buildGatewayRoutes } from './routes/gateway-routes.js';
import { buildSidecarRoutes } from './routes/sidecar-routes.js';

function byName<T>(resources: readonly NamedResource<T>[]): readonly NamedResource<T>[] {
  return [...resources].sort((a, b) => compareText(a.name, b.name));
}

function uniqueProblems(problems: readonly Problem[]): readonly Problem[] {
  const byText = new Map(
    problems.map((problem) => [[problem.subject, problem.code, problem.message].join('\n'), problem]),
  );
  return [...byText].sort(([a], [b]) => compareText(a, b)).map(([, problem]) => problem);
}

/**
 * Builds all resources of a view, each list sorted by name. `problems` holds the view's too. Clusters and endpoints are
 * the same message objects for all views of a scope: never change one.
 */
export function buildResources(view: ProxyView): ProxyResources {
  const outbound = outboundClusters(view.scope);
  const { routes, problems } = view.type === 'router' ? buildGatewayRoutes(view) : buildSidecarRoutes(view);
  const { listeners, problems: listenerProblems } = buildListeners(view);
  const endpoints = [...outbound.byName.values()]
    .filter((cluster) => !cluster.closed)
    .map((cluster) => ({ name: cluster.name, message: buildEndpoints(view.snapshot, cluster) }));
  return {
    clusters: byName([...outbound.clusters, ...buildLocalClusters(view)]),
    endpoints: byName(endpoints),
    listeners: byName(listeners),
    routes: byName(routes),
    problems: uniqueProblems([...view.problems, ...outbound.problems, ...problems, ...listenerProblems]),
  };
}
