// Build: the route configurations of a proxyless gRPC client: a sidecar's routes, with the fields that gRPC acts on (gRFCs
// A28, A31, A33, A42, A44). What it would refuse or misread is not sent, and named as a problem.

import { create } from '@bufbuild/protobuf';
import { durationMs } from '@bufbuild/protobuf/wkt';
import {
  type RetryPolicy,
  RetryPolicySchema,
  type Route,
  type RouteAction,
  type RouteAction_HashPolicy,
  RouteActionSchema,
  RouteSchema,
  type VirtualHost,
  VirtualHostSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Problem } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { outboundClusters } from '../clusters/outbound-clusters.js';
import { BLACK_HOLE_CLUSTER, FAULT_FILTER, outboundClusterName } from '../names.js';
import type { ResourcePart, RouteRecipe } from '../recipe.js';
import type { HostRoutes } from '../routes/host-routes.js';
import { calledHosts, hostsKey, ruleProblems } from './called-hosts.js';
import { grpcMatch } from './grpc-match.js';
import { unsupportedForGrpc } from './grpc-problems.js';

/** The conditions of `retry_on` that gRPC knows. */
const RETRIABLE = ['cancelled', 'deadline-exceeded', 'internal', 'resource-exhausted', 'unavailable'];

/** The rule that a route is made of, `KIND/NAMESPACE/NAME`. */
function subjectOf({ metadata }: Route, host: string): string {
  const istio = metadata?.filterMetadata.istio;
  const config = typeof istio?.config === 'string' ? istio.config : '';
  const [, namespace, name] = /\/namespaces\/([^/]+)\/virtual-service\/(.+)$/.exec(config) ?? [];
  return name === undefined ? `Host/${host}` : `VirtualService/${namespace}/${name}`;
}

/** What is said of a route and does nothing at a gRPC client. */
function ignoredFields(route: Route, action: RouteAction): readonly string[] {
  const weighted = action.clusterSpecifier.case === 'weightedClusters' ? action.clusterSpecifier.value.clusters : [];
  const changesHeaders = [route, ...weighted].some(
    (part) =>
      part.requestHeadersToAdd.length > 0 ||
      part.requestHeadersToRemove.length > 0 ||
      part.responseHeadersToAdd.length > 0 ||
      part.responseHeadersToRemove.length > 0,
  );
  const rewrites =
    action.prefixRewrite !== '' ||
    action.regexRewrite !== undefined ||
    action.hostRewriteSpecifier.case !== undefined ||
    weighted.some(({ hostRewriteSpecifier }) => hostRewriteSpecifier.case !== undefined);
  const others = Object.keys(route.typedPerFilterConfig).filter((name) => name !== FAULT_FILTER);
  return [
    ...(changesHeaders ? ['headers'] : []),
    ...(rewrites ? ['rewrite'] : []),
    ...(action.requestMirrorPolicies.length > 0 ? ['mirror'] : []),
    ...(action.retryPolicy?.perTryTimeout === undefined ? [] : ['retries.perTryTimeout']),
    ...(others.length > 0 ? ['corsPolicy'] : []),
  ];
}

function retryPolicy(policy: RetryPolicy | undefined): RetryPolicy | undefined {
  const retryOn = policy?.retryOn.split(',').filter((condition) => RETRIABLE.includes(condition)) ?? [];
  if (policy === undefined || retryOn.length === 0) return undefined;
  const { numRetries, retryBackOff } = policy;
  return create(RetryPolicySchema, { retryOn: retryOn.join(','), numRetries, retryBackOff });
}

/** A client that is not told what to hash picks at random. */
function canHash({ policySpecifier }: RouteAction_HashPolicy): boolean {
  return policySpecifier.case === 'header';
}

/** What is no port of HTTP has no cluster for them. */
function isServed(scope: ClientScope, cluster: string): boolean {
  return outboundClusters(scope).byName.get(cluster)?.port.http !== false;
}

function routeAction(scope: ClientScope, action: RouteAction): RouteAction {
  const served = (cluster: string) => (isServed(scope, cluster) ? cluster : BLACK_HOLE_CLUSTER);
  const { clusterSpecifier: specifier, timeout } = action;
  const limited = timeout !== undefined && durationMs(timeout) > 0;
  return create(RouteActionSchema, {
    clusterSpecifier:
      specifier.case === 'weightedClusters'
        ? {
            case: 'weightedClusters',
            value: { clusters: specifier.value.clusters.map(({ name, weight }) => ({ name: served(name), weight })) },
          }
        : specifier.case === 'cluster'
          ? { case: 'cluster', value: served(specifier.value) }
          : specifier,
    // The field that gRPC reads; `timeout` it does not.
    maxStreamDuration: limited ? { maxStreamDuration: timeout } : undefined,
    retryPolicy: retryPolicy(action.retryPolicy),
    hashPolicy: action.hashPolicy.filter(canHash),
  });
}

function blackHole(): RouteAction {
  return create(RouteActionSchema, { clusterSpecifier: { case: 'cluster', value: BLACK_HOLE_CLUSTER } });
}

function clustersOf({ clusterSpecifier: { case: kind, value } }: RouteAction): readonly string[] {
  if (kind === 'cluster') return [value];
  return kind === 'weightedClusters' ? value.clusters.map(({ name }) => name) : [];
}

function actionProblems(scope: ClientScope, route: Route, action: RouteAction, subject: string): readonly Problem[] {
  const unserved = clustersOf(action).filter((cluster) => !isServed(scope, cluster));
  const ignored = ignoredFields(route, action);
  const hashes = action.hashPolicy.length > 0 && !action.hashPolicy.some(canHash);
  const retries = action.retryPolicy !== undefined && retryPolicy(action.retryPolicy) === undefined;
  return [
    ...(ignored.length === 0
      ? []
      : [unsupportedForGrpc(subject, `${ignored.join(', ')} ${ignored.length > 1 ? 'do' : 'does'} nothing there`)]),
    ...unserved.map((cluster) =>
      unsupportedForGrpc(subject, `${cluster} is no port of HTTP; calls that go there end as UNAVAILABLE`),
    ),
    ...(hashes ? [unsupportedForGrpc(subject, 'they hash by header only; calls go to random endpoints')] : []),
    ...(retries
      ? [unsupportedForGrpc(subject, `retries.retryOn has none of ${RETRIABLE.join(', ')}; calls are not tried again`)]
      : []),
  ];
}

/** Undefined where no gRPC call takes the route. */
function grpcRoute(scope: ClientScope, route: Route, host: string, problems: Problem[]): Route | undefined {
  const subject = subjectOf(route, host);
  const known = route.match === undefined ? 'never' : grpcMatch(route.match);
  if (known === 'never') return undefined;
  const { match, unknown } = known;
  const { action, name } = route;
  if (unknown !== undefined) {
    // Not the next rule: nobody knows whether the call is one that this rule was to keep from there.
    const message = `they cannot match by ${unknown}; calls that the rule may be for end as UNAVAILABLE`;
    problems.push(unsupportedForGrpc(subject, message));
    return create(RouteSchema, { name, match, action: { case: 'route', value: blackHole() } });
  }
  if (action.case !== 'route') {
    const what = action.case === 'redirect' ? 'redirect' : 'directResponse';
    problems.push(unsupportedForGrpc(subject, `${what} is not for them; such calls end as UNAVAILABLE`));
    return create(RouteSchema, { name, match, action: { case: 'route', value: blackHole() } });
  }
  problems.push(...actionProblems(scope, route, action.value, subject));
  const fault = route.typedPerFilterConfig[FAULT_FILTER];
  return create(RouteSchema, {
    name,
    match,
    action: { case: 'route', value: routeAction(scope, action.value) },
    typedPerFilterConfig: fault === undefined ? {} : { [FAULT_FILTER]: fault },
  });
}

/** All calls that ask for it are for the host, whatever authority they give. */
function virtualHost(scope: ClientScope, { host, port, routes }: HostRoutes, problems: Problem[]): VirtualHost {
  return create(VirtualHostSchema, {
    name: `${host}:${port}`,
    domains: ['*'],
    routes: routes.flatMap((route) => grpcRoute(scope, route, host, problems) ?? []),
  });
}

/** The problems are found by making the messages, so these are made at once. */
function routeRecipes(scope: ClientScope, partKey: string) {
  const problems: Problem[] = [...ruleProblems(scope)];
  const recipes = calledHosts(scope).map((called): RouteRecipe => {
    const name = outboundClusterName(called.port, '', called.host);
    const message: RouteConfiguration = create(RouteConfigurationSchema, {
      name,
      virtualHosts: [virtualHost(scope, called, problems)],
    });
    return { name, key: `${partKey}/${name}`, build: () => message };
  });
  return { recipes, problems };
}

/** A route configuration for each host and port, `outbound|PORT||HOST`. */
export function grpcRoutePart(scope: ClientScope): ResourcePart<RouteConfiguration, RouteRecipe> {
  const key = `grpc-routes/${hostsKey(scope)}`;
  return { key, list: () => routeRecipes(scope, key) };
}
