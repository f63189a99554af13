// Build: the rules of a VirtualService as Envoy routes.

import { create, type JsonObject } from '@bufbuild/protobuf';
import type { HttpMatchRequest, HttpRedirect, HttpRoute, HttpRouteDestination } from '@lateen/istio-config';
import {
  type RedirectAction,
  RedirectActionSchema,
  RedirectAction_RedirectResponseCode as RedirectCode,
  type Route,
  type RouteAction,
  RouteActionSchema,
  RouteSchema,
  WeightedCluster_ClusterWeightSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { Problem } from '../../model.js';
import { madeFrom } from '../../provenance.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { EffectiveVirtualService } from '../../resolve/virtual-services.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { BLACK_HOLE_CLUSTER } from '../names.js';
import { destinationCluster } from './destinations.js';
import { hashPolicies } from './hash-policy.js';
import { buildHeaderMutations, type HeaderMutations } from './header-mutations.js';
import { buildMirrors } from './mirrors.js';
import { buildRetryPolicy } from './retry-policy.js';
import { buildRouteFilters } from './route-filters.js';
import { buildRouteMatch, matchesEverything, pathOf } from './route-match.js';

/** What the routes of one rule set are built with. */
interface Context {
  readonly scope: ClientScope;
  readonly rule: EffectiveVirtualService;
  /** The port that requests are sent to. */
  readonly port: number;
  readonly problems: Problem[];
  /** Requests whose Host is rewritten say what it was. */
  readonly tellsHost: boolean;
}

const REDIRECT_CODES: Readonly<Record<number, RedirectCode>> = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
};

function redirectAction(redirect: HttpRedirect, requestPort: number): RedirectAction {
  const derived = redirect.derivePort === 'FROM_REQUEST_PORT' ? requestPort : 0;
  const port = redirect.port ?? derived;
  const isDefaultPort = port === (redirect.scheme === 'https' ? 443 : 80);
  return create(RedirectActionSchema, {
    hostRedirect: redirect.authority ?? '',
    // Unset keeps the request's path.
    pathRewriteSpecifier: redirect.uri ? { case: 'pathRedirect', value: redirect.uri } : { case: undefined },
    schemeRewriteSpecifier: redirect.scheme ? { case: 'schemeRedirect', value: redirect.scheme } : { case: undefined },
    portRedirect: isDefaultPort ? 0 : port,
    responseCode: REDIRECT_CODES[redirect.redirectCode ?? 301] ?? RedirectCode.MOVED_PERMANENTLY,
  });
}

function directResponse({ status, body }: NonNullable<HttpRoute['directResponse']>): Route['action'] {
  const route = create(RouteSchema, {
    action: {
      case: 'directResponse',
      value: {
        status,
        body:
          body?.string !== undefined
            ? { specifier: { case: 'inlineString', value: body.string } }
            : body?.bytes !== undefined
              ? { specifier: { case: 'inlineBytes', value: new Uint8Array(Buffer.from(body.bytes, 'base64')) } }
              : undefined,
      },
    },
  });
  return route.action;
}

function weightedCluster(context: Context, destination: HttpRouteDestination) {
  const { authority, ...headers } = buildHeaderMutations(destination.headers);
  const { scope, rule, port, problems } = context;
  return create(WeightedCluster_ClusterWeightSchema, {
    name: destinationCluster(scope, rule, destination.destination, port, problems),
    weight: destination.weight ?? 0,
    ...headers,
    hostRewriteSpecifier: authority === undefined ? undefined : { case: 'hostRewriteLiteral', value: authority },
  });
}

function clusterSpecifier(context: Context, destinations: readonly HttpRouteDestination[]) {
  const { scope, rule, port, problems } = context;
  // A single destination gets everything, whatever its weight; of several, those with weight 0 get nothing.
  const weighted = destinations.length === 1 ? destinations : destinations.filter(({ weight }) => (weight ?? 0) > 0);
  const [only] = weighted;
  if (only === undefined) return { case: 'cluster' as const, value: BLACK_HOLE_CLUSTER };
  if (destinations.length === 1) {
    return {
      case: 'cluster' as const,
      value: destinationCluster(scope, rule, only.destination, port, problems),
    };
  }
  return {
    case: 'weightedClusters' as const,
    value: { clusters: weighted.map((destination) => weightedCluster(context, destination)) },
  };
}

function routeAction(context: Context, rule: HttpRoute, authority: string | undefined): RouteAction {
  const timeout = durationOfText(rule.timeout) ?? durationOfMs(0);
  const { rewrite } = rule;
  const host = rewrite?.authority || authority;
  const regex = rewrite?.uriRegexRewrite;
  const specifier = clusterSpecifier(context, rule.route ?? []);
  const clusters = specifier.case === 'cluster' ? [specifier.value] : specifier.value.clusters.map(({ name }) => name);
  const hashPolicy = hashPolicies(context.scope, clusters);
  const retries = rule.retries ?? context.scope.snapshot.meshConfig.defaultHttpRetryPolicy;
  return create(RouteActionSchema, {
    clusterSpecifier: specifier,
    hashPolicy,
    timeout,
    maxGrpcTimeout: timeout,
    prefixRewrite: regex === undefined ? (rewrite?.uri ?? '') : '',
    regexRewrite:
      regex === undefined ? undefined : { pattern: { regex: regex.match ?? '' }, substitution: regex.rewrite ?? '' },
    hostRewriteSpecifier: host ? { case: 'hostRewriteLiteral', value: host } : { case: undefined },
    appendXForwardedHost: host ? context.tellsHost : false,
    retryPolicy: buildRetryPolicy(retries, hashPolicy.length > 0),
    requestMirrorPolicies: buildMirrors(rule, (destination) =>
      destinationCluster(
        context.scope,
        context.rule,
        destination,
        context.port,
        context.problems,
        'no copies are sent there',
      ),
    ),
  });
}

/** Of a single destination the header changes are the route's own, after those of the rule. */
function mergeMutations(rule: HeaderMutations, destination: HeaderMutations): HeaderMutations {
  return {
    requestHeadersToAdd: [...rule.requestHeadersToAdd, ...destination.requestHeadersToAdd],
    requestHeadersToRemove: [...rule.requestHeadersToRemove, ...destination.requestHeadersToRemove],
    responseHeadersToAdd: [...rule.responseHeadersToAdd, ...destination.responseHeadersToAdd],
    responseHeadersToRemove: [...rule.responseHeadersToRemove, ...destination.responseHeadersToRemove],
    authority: rule.authority ?? destination.authority,
  };
}

function ruleMutations(rule: HttpRoute): HeaderMutations {
  const own = buildHeaderMutations(rule.headers);
  const only = rule.route?.length === 1 ? rule.route[0] : undefined;
  return only?.headers === undefined ? own : mergeMutations(own, buildHeaderMutations(only.headers));
}

function buildAction(context: Context, rule: HttpRoute, authority: string | undefined): Route['action'] {
  if (rule.redirect !== undefined) return { case: 'redirect', value: redirectAction(rule.redirect, context.port) };
  if (rule.directResponse !== undefined) return directResponse(rule.directResponse);
  return { case: 'route', value: routeAction(context, rule, authority) };
}

/** What a trace calls the operation: `HOST:PORT/path*` of a single destination, else by the VirtualService's name. */
function operationName(context: Context, route: Pick<Route, 'match' | 'action'>): string {
  const { action, match } = route;
  const cluster = action.case === 'route' && action.value.clusterSpecifier.case === 'cluster';
  const name = cluster ? (action.value.clusterSpecifier.value as string) : '';
  const [direction, port, , host] = name.split('|');
  const base = direction === 'outbound' ? `${host}:${port}` : `${context.rule.name}:${context.port}`;
  return `${base}${pathOf(match)}`;
}

function buildRoute(context: Context, rule: HttpRoute, condition: HttpMatchRequest | undefined): Route {
  const { namespace, name } = context.rule;
  const { authority, ...headers } = ruleMutations(rule);
  const match = buildRouteMatch(condition);
  const action = buildAction(context, rule, authority);
  const istio: JsonObject = {
    config: `/apis/networking.istio.io/v1/namespaces/${namespace}/virtual-service/${name}`,
  };
  const route = create(RouteSchema, {
    name: [rule.name, condition?.name].filter((part) => part).join('.'),
    match,
    action,
    metadata: { filterMetadata: { istio } },
    decorator: { operation: operationName(context, { match, action }) },
    statPrefix: condition?.statPrefix ?? '',
    typedPerFilterConfig: buildRouteFilters(rule),
    ...headers,
  });
  return madeFrom(route, rule, condition);
}

/**
 * The routes of a VirtualService for requests to a port, in order. Rules after one that matches everything are left
 * out. Empty where no rule is for this port.
 * @param tellsHost requests whose Host is rewritten say what it was
 */
export function buildRuleRoutes(
  scope: ClientScope,
  rule: EffectiveVirtualService,
  port: number,
  problems: Problem[],
  tellsHost: boolean,
): readonly Route[] {
  const context: Context = { scope, rule, port, problems, tellsHost };
  const routes: Route[] = [];
  for (const httpRule of rule.rules) {
    const conditions = httpRule.match?.length ? httpRule.match : [undefined];
    for (const condition of conditions) {
      if (condition?.port !== undefined && condition.port !== port) continue;
      const route = buildRoute(context, httpRule, condition);
      routes.push(route);
      if (matchesEverything(route.match)) return routes;
    }
  }
  return routes;
}
