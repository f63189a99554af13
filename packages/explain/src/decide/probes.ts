// Decide: route configurations that ask the core one question: which route was it, which virtual host, does this one
// condition hold. So no rule of matching is written a second time.

import { create } from '@bufbuild/protobuf';
import {
  type Route,
  type RouteMatch,
  RouteMatchSchema,
  RouteSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';

/** The same configuration with routes that are named by their place: a name is what the core tells of a route. */
export function numberedRoutes(config: RouteConfiguration): RouteConfiguration {
  const virtualHosts = config.virtualHosts.map((host, at) => ({
    ...host,
    routes: host.routes.map((route, index) => ({ ...route, name: `${at}/${index}` })),
  }));
  return { ...config, virtualHosts };
}

/** Reads a name that `numberedRoutes` or `hostProbe` gave. */
export function placeOfNumber(name: string): { readonly virtualHost: number; readonly route: number } {
  const [virtualHost, route] = name.split('/').map(Number);
  return { virtualHost: virtualHost!, route: route! };
}

export function hostProbeName({ name }: RouteConfiguration): string {
  return `${name} by host`;
}

/** The same domains, but any request is answered by a route that is named by its virtual host. */
export function hostProbe(config: RouteConfiguration): RouteConfiguration {
  const virtualHosts = config.virtualHosts.map(({ name, domains }, at) => ({
    name,
    domains: [...domains],
    routes: anyRequest().map((match) => answering(`${at}/0`, match)),
  }));
  return create(RouteConfigurationSchema, { name: hostProbeName(config), virtualHosts });
}

/** One route with a match for any host. */
export function conditionProbe(name: string, match: RouteMatch): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name,
    virtualHosts: [{ name: 'any', domains: ['*'], routes: [answering('0/0', match)] }],
  });
}

/** Matches of which one takes any request: a path does not match CONNECT. */
function anyRequest(): RouteMatch[] {
  return [
    create(RouteMatchSchema, { pathSpecifier: { case: 'prefix', value: '' } }),
    create(RouteMatchSchema, { pathSpecifier: { case: 'connectMatcher', value: {} } }),
  ];
}

function answering(name: string, match: RouteMatch): Route {
  return create(RouteSchema, { name, match, action: { case: 'directResponse', value: { status: 200 } } });
}

/** One condition of a match by itself. */
export interface Condition {
  readonly kind: 'path' | 'header' | 'query' | 'claim' | 'fraction';
  /** Of a header or a query parameter, or the path of a claim with dots. */
  readonly name: string;
  /** The match with this condition alone. */
  readonly match: RouteMatch;
}

/** As a VirtualService writes it. */
function claimName(names: readonly string[]): string {
  return names.some((name) => name.includes('.')) ? `[${names.join('][')}]` : `.${names.join('.')}`;
}

/** The conditions of a match, one by one, in the order in which they are looked at. */
export function conditionsOf(match: RouteMatch, connect: boolean): Condition[] {
  const [anyPath, anyConnect] = anyRequest() as [RouteMatch, RouteMatch];
  const any = connect ? anyConnect : anyPath;
  const { pathSpecifier, caseSensitive, runtimeFraction } = match;
  const conditions: Condition[] = [
    { kind: 'path', name: '', match: create(RouteMatchSchema, { pathSpecifier, caseSensitive }) },
  ];
  for (const header of match.headers) {
    conditions.push({ kind: 'header', name: header.name, match: { ...any, headers: [header] } });
  }
  for (const claim of match.dynamicMetadata) {
    // The first name is that of the metadata that holds the claims.
    const names = claim.path.slice(1).map(({ segment }) => segment.value ?? '');
    conditions.push({ kind: 'claim', name: claimName(names), match: { ...any, dynamicMetadata: [claim] } });
  }
  for (const parameter of match.queryParameters) {
    conditions.push({ kind: 'query', name: parameter.name, match: { ...any, queryParameters: [parameter] } });
  }
  if (runtimeFraction !== undefined) {
    conditions.push({ kind: 'fraction', name: '', match: { ...any, runtimeFraction } });
  }
  return conditions;
}
