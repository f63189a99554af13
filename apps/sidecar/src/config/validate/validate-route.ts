// Resource validation: the values of a route configuration, whether it comes by RDS or inline in a listener.

import type {
  HeaderMatcher,
  RetryPolicy,
  Route,
  RouteAction,
  RouteMatch,
  VirtualHost,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import {
  checkDuration,
  checkHeaderMutations,
  checkHeaderName,
  checkUnique,
  type ProblemCollector,
} from './field-checks.js';

const MAX_TOTAL_WEIGHT = 2 ** 32 - 1;

export interface RouteValidationOptions {
  /** Path of the route configuration; empty where it is the resource itself. */
  readonly path: string;
  readonly nameRequired: boolean;
}

export function validateRouteConfiguration(
  routes: RouteConfiguration,
  out: ProblemCollector,
  options: RouteValidationOptions = { path: '', nameRequired: true },
): void {
  const prefix = options.path === '' ? '' : `${options.path}.`;
  if (options.nameRequired && routes.name === '') out.add(`${prefix}name`, 'is required');
  checkHeaderMutations(routes, options.path, out);
  const hostPath = (index: number) => `${prefix}virtual_hosts[${index}]`;
  checkUnique(
    routes.virtualHosts.map(({ name }) => name),
    (index) => `${hostPath(index)}.name`,
    'virtual host name',
    out,
  );
  const domains = routes.virtualHosts.flatMap((host, hostIndex) =>
    host.domains.map((domain, index) => ({
      domain: domain.toLowerCase(),
      path: `${hostPath(hostIndex)}.domains[${index}]`,
    })),
  );
  checkUnique(
    domains.map(({ domain }) => domain),
    (index) => domains[index]?.path ?? '',
    'domain',
    out,
  );
  routes.virtualHosts.forEach((host, index) => {
    checkVirtualHost(host, hostPath(index), out);
  });
}

function checkVirtualHost(host: VirtualHost, path: string, out: ProblemCollector): void {
  if (host.name === '') out.add(`${path}.name`, 'is required');
  if (host.domains.length === 0) out.add(`${path}.domains`, 'at least one domain is required');
  host.domains.forEach((domain, index) => {
    const at = `${path}.domains[${index}]`;
    const star = domain.indexOf('*');
    if (domain === '') out.add(at, 'must not be empty');
    else if (star > 0 && star < domain.length - 1) out.add(at, 'a wildcard is only allowed at one end');
    else if (star === 0 && domain.indexOf('*', 1) > 0) out.add(at, 'only one wildcard is allowed');
  });
  checkHeaderMutations(host, path, out);
  if (host.retryPolicy !== undefined) checkRetryPolicy(host.retryPolicy, `${path}.retry_policy`, out);
  host.routes.forEach((route, index) => {
    checkRoute(route, `${path}.routes[${index}]`, out);
  });
}

function checkRoute(route: Route, path: string, out: ProblemCollector): void {
  if (route.match === undefined) out.add(`${path}.match`, 'is required');
  else checkMatch(route.match, `${path}.match`, out);
  checkHeaderMutations(route, path, out);
  const { action } = route;
  if (action.case === undefined) out.add(path, 'needs `route`, `redirect` or `direct_response`');
  else if (action.case === 'route') checkRouteAction(action.value, `${path}.route`, out);
  else if (action.case === 'directResponse') {
    const { status, body } = action.value;
    const source = body?.specifier.case;
    if (source === 'filename' || source === 'environmentVariable') {
      out.add(`${path}.direct_response.body`, 'must be inline_string or inline_bytes');
    }
    if (status < 200 || status > 599) out.add(`${path}.direct_response.status`, `${status} is not from 200 to 599`);
  } else if (action.case === 'redirect' && action.value.portRedirect > 65_535) {
    out.add(`${path}.redirect.port_redirect`, `${action.value.portRedirect} is not a port`);
  }
}

function checkMatch(match: RouteMatch, path: string, out: ProblemCollector): void {
  const { pathSpecifier } = match;
  switch (pathSpecifier.case) {
    case undefined:
      out.add(path, 'needs `prefix`, `path`, `path_separated_prefix` or `safe_regex`');
      break;
    case 'path':
      if (!pathSpecifier.value.startsWith('/')) out.add(`${path}.path`, 'must start with `/`');
      break;
    case 'prefix':
      if (pathSpecifier.value !== '' && !pathSpecifier.value.startsWith('/')) {
        out.add(`${path}.prefix`, 'must start with `/`');
      }
      break;
    case 'pathSeparatedPrefix':
      if (!/^\/[^?#]*[^?#/]$/.test(pathSpecifier.value)) {
        out.add(`${path}.path_separated_prefix`, 'must start with `/`, not end with it, and hold no `?` or `#`');
      }
      break;
    default: // reported as not supported
  }
  match.headers.forEach((matcher, index) => {
    checkHeaderMatcher(matcher, `${path}.headers[${index}]`, out);
  });
  match.queryParameters.forEach((matcher, index) => {
    const at = `${path}.query_parameters[${index}]`;
    if (matcher.name === '') out.add(`${at}.name`, 'is required');
    if (matcher.queryParameterMatchSpecifier.case === 'stringMatch') {
      checkStringMatcher(matcher.queryParameterMatchSpecifier.value, `${at}.string_match`, out);
    }
  });
}

function checkHeaderMatcher(matcher: HeaderMatcher, path: string, out: ProblemCollector): void {
  checkHeaderName(matcher.name, `${path}.name`, out);
  const { headerMatchSpecifier: specifier } = matcher;
  if (specifier.case === 'stringMatch') checkStringMatcher(specifier.value, `${path}.string_match`, out);
  else if (specifier.case === 'rangeMatch' && specifier.value.start >= specifier.value.end) {
    out.add(`${path}.range_match`, 'end must be greater than start');
  } else if (
    specifier.case === 'prefixMatch' ||
    specifier.case === 'suffixMatch' ||
    specifier.case === 'containsMatch'
  ) {
    const field = { prefixMatch: 'prefix_match', suffixMatch: 'suffix_match', containsMatch: 'contains_match' };
    if (specifier.value === '') out.add(`${path}.${field[specifier.case]}`, 'must not be empty');
  }
}

function checkStringMatcher(matcher: StringMatcher, path: string, out: ProblemCollector): void {
  const { matchPattern: pattern } = matcher;
  if (pattern.case === undefined) out.add(path, 'needs `exact`, `prefix`, `suffix`, `contains` or `safe_regex`');
  else if (pattern.case !== 'exact' && pattern.value === '') out.add(`${path}.${pattern.case}`, 'must not be empty');
}

function checkRouteAction(action: RouteAction, path: string, out: ProblemCollector): void {
  const { clusterSpecifier } = action;
  if (clusterSpecifier.case === undefined) out.add(path, 'needs `cluster` or `weighted_clusters`');
  else if (clusterSpecifier.case === 'cluster' && clusterSpecifier.value === '') {
    out.add(`${path}.cluster`, 'must not be empty');
  } else if (clusterSpecifier.case === 'weightedClusters') {
    const { clusters } = clusterSpecifier.value;
    const at = `${path}.weighted_clusters`;
    clusters.forEach((cluster, index) => {
      if (cluster.name === '') out.add(`${at}.clusters[${index}].name`, 'is required');
      checkHeaderMutations(cluster, `${at}.clusters[${index}]`, out);
    });
    const total = clusters.reduce((sum, { weight }) => sum + (weight ?? 0), 0);
    if (total === 0) out.add(at, 'the weights must sum to more than 0');
    if (total > MAX_TOTAL_WEIGHT) out.add(at, `the weights sum to ${total}, more than ${MAX_TOTAL_WEIGHT}`);
  }
  checkDuration(action.timeout, `${path}.timeout`, out);
  checkDuration(action.idleTimeout, `${path}.idle_timeout`, out);
  if (action.prefixRewrite !== '' && !action.prefixRewrite.startsWith('/')) {
    out.add(`${path}.prefix_rewrite`, 'must start with `/`');
  }
  if (action.retryPolicy !== undefined) checkRetryPolicy(action.retryPolicy, `${path}.retry_policy`, out);
  action.requestMirrorPolicies.forEach(({ cluster }, index) => {
    if (cluster === '') out.add(`${path}.request_mirror_policies[${index}].cluster`, 'is required');
  });
}

function checkRetryPolicy(policy: RetryPolicy, path: string, out: ProblemCollector): void {
  checkDuration(policy.perTryTimeout, `${path}.per_try_timeout`, out);
  if (policy.hostSelectionRetryMaxAttempts < 0n) {
    out.add(`${path}.host_selection_retry_max_attempts`, 'must not be negative');
  }
  policy.retriableStatusCodes.forEach((code, index) => {
    if (code < 100 || code > 599) out.add(`${path}.retriable_status_codes[${index}]`, `${code} is not a status code`);
  });
  const backOff = policy.retryBackOff;
  if (backOff !== undefined) {
    if (backOff.baseInterval === undefined) out.add(`${path}.retry_back_off.base_interval`, 'is required');
    checkDuration(backOff.baseInterval, `${path}.retry_back_off.base_interval`, out, 1);
    checkDuration(backOff.maxInterval, `${path}.retry_back_off.max_interval`, out, 1);
  }
}
