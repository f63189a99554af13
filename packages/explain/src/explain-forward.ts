// Explain: a request that has found its route: answered by the proxy, or sent on to one of the route's clusters.

import type { Route, RouteAction, VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { Decided } from './decide/decision.js';
import type { HttpEntry } from './entry.js';
import type { ExplainContext } from './explain.js';
import type { Because, ExplainedCluster, ExplainedFault, ExplainedInbound, Explanation } from './explanation.js';
import { explainArrivals } from './inbound.js';
import {
  clusterBecause,
  destinationBecause,
  destinationPlaces,
  endpointBecause,
  ruleBecause,
} from './places/forward-because.js';
import { routePlaces } from './places/route-places.js';
import { type ClusterEndpoint, clusterFacts } from './read/clusters.js';
import { headerChanges, type WithHeaderChanges } from './read/header-changes.js';
import { readLimits } from './read/limits.js';
import { readRateLimits } from './read/rate-limits.js';
import { readFault, readHashPolicies, readMirrors, readRetries } from './read/route-policy.js';

/** What is decided so far. */
export interface Routed {
  readonly virtualHost: VirtualHost;
  /** Undefined where the virtual host itself answers: TLS is required. */
  readonly route: Route | undefined;
  readonly decided: Decided;
  readonly answer: Partial<Explanation>;
  readonly head: string;
}

type Answer = Partial<Explanation> & Pick<Explanation, 'outcome'>;

export function explainForward(context: ExplainContext, entry: HttpEntry, routed: Routed): Answer {
  const { virtualHost, route, decided, answer } = routed;
  const { routes, manager } = entry;
  // Envoy applies the most specific level first, unless it is told otherwise.
  const levels: WithHeaderChanges[] = [...(route === undefined ? [] : [route]), virtualHost, routes];
  if (routes.mostSpecificHeaderMutationsWins) levels.reverse();
  const rates = readRateLimits(context.decision, context.places, {
    view: context.view,
    manager,
    head: routed.head,
    identity: null,
  });
  const local: Answer = {
    responseHeaders: headerChanges('response', levels),
    limits: [...readLimits(manager, virtualHost, route), ...rates.limits],
    asks: rates.asks,
    notes: [...(answer.notes ?? []), ...rates.notes],
    fault: route === undefined ? null : readFault(route, virtualHost),
    outcome: '',
  };
  const because = [
    ...(answer.because ?? []),
    ...(route === undefined ? [] : ruleBecause(routePlaces(context.places, route))),
    ...rates.because,
  ];
  if (decided.action === 'redirect') {
    const outcome = `the proxy answers ${decided.status} and sends the client to ${decided.location}`;
    return { ...local, action: 'redirect', status: decided.status, location: decided.location, outcome, because };
  }
  if (decided.action === 'direct' || route?.action.case !== 'route') {
    const outcome = `the proxy answers ${decided.status}${decided.body === '' ? '' : `: ${decided.body.trim()}`}`;
    return { ...local, action: 'directResponse', status: decided.status, body: decided.body, outcome, because };
  }
  const cors = context.decision.sharing() ?? null;
  if (cors !== null && cors.answer !== 'shared') {
    const verdict = cors.answer === 'preflight' ? 'to a preflight' : 'to a preflight of an origin that is not allowed';
    return { ...local, action: 'preflight', status: 200, cors, outcome: `the proxy answers 200 ${verdict}`, because };
  }
  const action = route.action.value;
  const destinations = explainClusters(context, route, action);
  const clusters = destinations.map(({ cluster }) => cluster);
  const arrivals = explainArrivals(context, destinations);
  return {
    ...local,
    action: 'forward',
    clusters,
    requestHeaders: headerChanges('request', levels),
    path: clusters[0]?.path ?? null,
    host: clusters[0]?.host ?? null,
    timeoutMs: decided.timeoutMs || null,
    retries: readRetries(action, virtualHost),
    mirror: readMirrors(action),
    cors,
    hashBy: readHashPolicies(action),
    inbound: arrivals.inbound,
    because: [...because, ...destinations.flatMap((each) => each.because), ...arrivals.because],
    notes: [...(local.notes ?? []), ...arrivals.notes, ...clusterNotes(clusters)],
    ...(abortOutcome(local.fault ?? null) ?? forwardOutcome(clusters, arrivals.inbound)),
  };
}

interface Destination {
  readonly cluster: ExplainedCluster;
  readonly endpoints: readonly ClusterEndpoint[];
  /** The head that goes there. */
  readonly head: string;
  readonly because: readonly Because[];
}

/** Each cluster that the core would choose, by asking it with a random number out of each one's share. */
function explainClusters(context: ExplainContext, route: Route, action: RouteAction): Destination[] {
  const { decision, resources, snapshot, places, view } = context;
  const specifier = action.clusterSpecifier;
  const weighted = specifier.case === 'weightedClusters' ? specifier.value.clusters : [];
  const shares = weighted.filter(({ weight }) => (weight ?? 0) > 0);
  const owners = destinationPlaces(routePlaces(places, route));
  let random = 0;
  return (shares.length === 0 ? [undefined] : shares).map((share, index): Destination => {
    const { cluster: name } = decision.route(random);
    random += share?.weight ?? 0;
    const head = decision.upstreamHead(name);
    const { path, host } = readHead(head);
    const { loadBalancer, limits, endpoints } = clusterFacts(resources, snapshot.workloads, name, host);
    const levels = share === undefined ? [] : [share];
    const owner = owners[index];
    return {
      head,
      endpoints,
      cluster: {
        name,
        weight: share?.weight ?? 100,
        endpoints: endpoints.map(({ pod, workload, port, tls }) => ({ pod, workload, port, tls })),
        loadBalancer,
        ...limits,
        path,
        host,
        requestHeaders: headerChanges('request', levels),
        responseHeaders: headerChanges('response', levels),
      },
      because: [
        ...(owner === undefined ? [] : destinationBecause(owner, name)),
        ...clusterBecause(places, view.scope, name),
        ...endpointBecause(places, endpoints, name),
      ],
    };
  });
}

/** Target and Host of a head. */
function readHead(head: string): { readonly path: string; readonly host: string } {
  const [requestLine = '', ...lines] = head.split('\r\n');
  const host = lines.find((line) => /^host:/i.test(line));
  return { path: requestLine.split(' ')[1] ?? '', host: host?.slice(host.indexOf(':') + 1).trim() ?? '' };
}

function clusterNotes(clusters: readonly ExplainedCluster[]): string[] {
  return clusters.flatMap(({ name, endpoints }) =>
    endpoints.length > 0 || clusters.length === 1
      ? []
      : [`${name} has no endpoint: its share of the requests is answered 503`],
  );
}

/** An abort of every request comes before any destination; of gRPC its status is the client's to read. */
function abortOutcome(fault: ExplainedFault | null): Answer | undefined {
  const { percentage, httpStatus } = fault?.abort ?? { percentage: 0, httpStatus: null };
  if (percentage < 100 || httpStatus === null) return undefined;
  return {
    status: httpStatus,
    responseFlag: 'FI',
    outcome: `its fault aborts every request: the proxy answers ${httpStatus}`,
  };
}

function forwardOutcome(clusters: readonly ExplainedCluster[], inbound: readonly ExplainedInbound[]): Answer {
  const names = clusters.map(({ name, weight }) => (clusters.length === 1 ? name : `${name} (${weight})`)).join(', ');
  const outcome = `it is sent to ${names}`;
  if (inbound.length > 0 && inbound.every(({ authorization }) => authorization?.decision === 'denied')) {
    return { status: 403, outcome: `${outcome}, whose sidecar denies it: the answer is 403` };
  }
  if (clusters.some(({ endpoints }) => endpoints.length > 0)) return { outcome };
  return {
    status: 503,
    responseFlag: 'UH',
    outcome: `${outcome}, which ${clusters.length === 1 ? 'has' : 'have'} no endpoint: the proxy answers 503`,
  };
}
