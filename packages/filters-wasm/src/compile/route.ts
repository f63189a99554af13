// One route of a virtual host: match, action, weights, rewrites.
import {
  type Route,
  type RouteAction,
  RouteAction_MaxStreamDurationSchema,
  RouteActionSchema,
  type RouteMatch,
  RouteMatchSchema,
  RouteSchema,
  type VirtualHost,
  type WeightedCluster,
  WeightedCluster_ClusterWeightSchema,
  WeightedClusterSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import * as L from '../layout.js';
import * as T from '../table-layout.js';
import type { BlobWriter } from './blob-writer.js';
import type { CompileContext } from './compile-context.js';
import { writeFilterConfigs } from './filters/filter-configs.js';
import { millionths } from './fraction.js';
import { checkRewrite, writeLocalAction } from './local-action.js';
import { readClaimMatcher } from './match/claim-matchers.js';
import { readHeaderMatcher, readQueryMatcher, writeMatchers } from './match/matchers.js';
import { writeRegex, writeRegexRewrite } from './match/regex-table.js';
import { checkMutationCount, type Mutation, readMutations, writeMutations } from './mutations.js';
import { writePolicy } from './policy.js';
import { join, refuseOtherFields } from './supported-fields.js';

/** What encloses a route. */
export interface RouteScope {
  readonly virtualHost: VirtualHost;
  readonly virtualHostPath: string;
  /** Place of the route in the virtual host. */
  readonly index: number;
  readonly maxDirectBodyBytes: number;
  /** How many request mutations the virtual host and the configuration have. */
  readonly outerRequestMutations: number;
  /** Response mutations of the virtual host and the configuration, and in which order they join the route's. */
  readonly virtualHostResponse: readonly Mutation[];
  readonly configResponse: readonly Mutation[];
  readonly mostSpecificWins: boolean;
}

/** Writes one ROUTE_ENTRY at `at`. */
export function writeRoute(
  context: CompileContext,
  blob: BlobWriter,
  at: number,
  path: string,
  route: Route,
  scope: RouteScope,
): void {
  const { problems } = context;
  // Metadata, decorator and stat_prefix name things for logs, spans and statistics; they change no request.
  refuseOtherFields(
    problems,
    path,
    RouteSchema,
    route,
    `name match route redirect direct_response metadata decorator stat_prefix typed_per_filter_config
     request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove
     per_request_buffer_limit_bytes`,
  );
  blob.int(at + T.ROUTE_ENTRY_REWRITE_LENGTH, -1);
  blob.int(at + T.ROUTE_ENTRY_HOST_LENGTH, -1);
  blob.text(at + T.ROUTE_ENTRY_NAME_OFFSET, route.name);
  if (route.match === undefined) problems.add(join(path, 'match'), 'is missing');
  else writeMatch(context, blob, at, join(path, 'match'), route.match);

  const owner = `${scope.virtualHost.name} ${route.name || scope.index}`;
  const action = route.action.case === 'route' ? route.action.value : undefined;
  writeFilterConfigs(context, blob, at + T.ROUTE_ENTRY_FILTERS, path, route.typedPerFilterConfig, owner, {
    path: join(path, 'route'),
    rateLimits: action?.rateLimits ?? [],
    withHost: action?.includeVhRateLimits ?? false,
    metadata: route.metadata,
    isRoute: true,
  });
  const request = readMutations(problems, path, 'request', route.requestHeadersToAdd, route.requestHeadersToRemove);
  blob.int(at + T.ROUTE_ENTRY_MUTATIONS, writeMutations(blob, request, context.hashName));
  blob.int(at + T.ROUTE_ENTRY_MUTATION_COUNT, request.length);
  checkMutationCount(
    problems,
    path,
    'request',
    scope.outerRequestMutations + request.length + weightedAdditions(route),
  );
  const response = readMutations(problems, path, 'response', route.responseHeadersToAdd, route.responseHeadersToRemove);
  const policy = (weighted: readonly Mutation[]) => {
    const { virtualHostResponse: host, configResponse: config } = scope;
    const mutations = scope.mostSpecificWins
      ? [...config, ...host, ...response, ...weighted]
      : [...weighted, ...response, ...host, ...config];
    checkMutationCount(problems, path, 'response', mutations.length);
    return context.internPolicy(writePolicy(context, { ...scope, path, route, action, responseMutations: mutations }));
  };
  blob.int(at + T.ROUTE_ENTRY_POLICY, policy([]));

  if (action !== undefined) {
    blob.int(at + T.ROUTE_ENTRY_ACTION, L.ROUTE_ACTION_FORWARD);
    writeForward(context, blob, at, join(path, 'route'), action, policy);
  } else {
    writeLocalAction(problems, blob, at, path, route, scope.maxDirectBodyBytes);
  }
}

/** The most request mutations that a weighted cluster of the route has. */
function weightedAdditions(route: Route): number {
  const specifier = route.action.case === 'route' ? route.action.value.clusterSpecifier : undefined;
  if (specifier?.case !== 'weightedClusters') return 0;
  return Math.max(
    0,
    ...specifier.value.clusters.map(
      (cluster) => cluster.requestHeadersToAdd.length + cluster.requestHeadersToRemove.length,
    ),
  );
}

function writeMatch(context: CompileContext, blob: BlobWriter, at: number, path: string, match: RouteMatch): void {
  const { problems } = context;
  refuseOtherFields(
    problems,
    path,
    RouteMatchSchema,
    match,
    `prefix path path_separated_prefix safe_regex connect_matcher case_sensitive runtime_fraction headers
     query_parameters dynamic_metadata`,
  );
  const specifier = match.pathSpecifier;
  const kinds = {
    prefix: T.PATH_MATCH_PREFIX,
    path: T.PATH_MATCH_EXACT,
    pathSeparatedPrefix: T.PATH_MATCH_SEPARATED_PREFIX,
  } as const;
  switch (specifier.case) {
    case 'prefix':
    case 'path':
    case 'pathSeparatedPrefix':
      blob.int(at + T.ROUTE_ENTRY_MATCH, kinds[specifier.case]);
      blob.text(at + T.ROUTE_ENTRY_PATH_OFFSET, specifier.value);
      break;
    case 'safeRegex':
      blob.int(at + T.ROUTE_ENTRY_MATCH, T.PATH_MATCH_REGEX);
      blob.int(
        at + T.ROUTE_ENTRY_PATH_OFFSET,
        writeRegex(problems, blob, { path: join(path, 'safe_regex'), matcher: specifier.value }),
      );
      break;
    case 'connectMatcher':
      blob.int(at + T.ROUTE_ENTRY_MATCH, T.PATH_MATCH_CONNECT);
      break;
    case undefined:
      problems.add(path, 'has no path specifier');
      break;
    default: // path_match_policy is refused above, by name
  }
  if (match.caseSensitive === false) blob.int(at + T.ROUTE_ENTRY_FLAGS, T.ROUTE_ENTRY_FLAG_IGNORE_CASE);
  blob.int(at + T.ROUTE_ENTRY_FRACTION, millionths(match.runtimeFraction?.defaultValue));

  const headers = match.headers.map((matcher, index) =>
    readHeaderMatcher(problems, join(path, `headers[${index}]`), matcher),
  );
  const claims = match.dynamicMetadata.map((matcher, index) =>
    readClaimMatcher(problems, join(path, `dynamic_metadata[${index}]`), matcher),
  );
  const conditions = [...headers, ...claims];
  blob.int(at + T.ROUTE_ENTRY_MATCHERS, writeMatchers(problems, blob, conditions, context.hashName, true));
  blob.int(at + T.ROUTE_ENTRY_MATCHER_COUNT, conditions.length);
  const parameters = match.queryParameters.map((matcher, index) =>
    readQueryMatcher(problems, join(path, `query_parameters[${index}]`), matcher),
  );
  blob.int(at + T.ROUTE_ENTRY_QUERY_MATCHERS, writeMatchers(problems, blob, parameters, context.hashName, false));
  blob.int(at + T.ROUTE_ENTRY_QUERY_MATCHER_COUNT, parameters.length);
}

function writeForward(
  context: CompileContext,
  blob: BlobWriter,
  at: number,
  path: string,
  action: RouteAction,
  policy: (weighted: readonly Mutation[]) => number,
): void {
  const { problems } = context;
  refuseOtherFields(
    problems,
    path,
    RouteActionSchema,
    action,
    `cluster weighted_clusters cluster_not_found_response_code prefix_rewrite regex_rewrite host_rewrite_literal host_rewrite_header
     append_x_forwarded_host timeout
     idle_timeout retry_policy max_grpc_timeout max_stream_duration hash_policy upgrade_configs request_mirror_policies rate_limits
    include_vh_rate_limits`,
  );
  if (action.maxStreamDuration !== undefined) {
    refuseOtherFields(
      problems,
      join(path, 'max_stream_duration'),
      RouteAction_MaxStreamDurationSchema,
      action.maxStreamDuration,
      'max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset',
    );
  }
  const specifier = action.clusterSpecifier;
  if (specifier.case === 'cluster') {
    blob.int(at + T.ROUTE_ENTRY_CLUSTER, context.clusterSlot(specifier.value));
  } else if (specifier.case === 'weightedClusters') {
    writeWeights(context, blob, at, join(path, 'weighted_clusters'), specifier.value, policy);
  } else if (specifier.case === undefined) {
    problems.add(path, 'has no cluster specifier');
  }
  if (action.prefixRewrite !== '') {
    checkRewrite(problems, join(path, 'prefix_rewrite'), action.prefixRewrite);
    blob.text(at + T.ROUTE_ENTRY_REWRITE_OFFSET, action.prefixRewrite);
  }
  if (action.regexRewrite !== undefined) {
    const where = join(path, 'regex_rewrite');
    if (action.prefixRewrite !== '') problems.add(where, 'cannot stand beside prefix_rewrite');
    checkRewrite(problems, join(where, 'substitution'), action.regexRewrite.substitution);
    blob.int(at + T.ROUTE_ENTRY_REGEX_REWRITE, writeRegexRewrite(problems, blob, where, action.regexRewrite));
  }
  if (action.hostRewriteSpecifier.case === 'hostRewriteLiteral') {
    checkRewrite(problems, join(path, 'host_rewrite_literal'), action.hostRewriteSpecifier.value);
    blob.text(at + T.ROUTE_ENTRY_HOST_OFFSET, action.hostRewriteSpecifier.value);
  } else if (action.hostRewriteSpecifier.case === 'hostRewriteHeader') {
    const name = action.hostRewriteSpecifier.value.toLowerCase();
    if (name === '' || name.startsWith(':'))
      problems.add(join(path, 'host_rewrite_header'), `"${name}" is not a header name`);
    blob.addBits(at + T.ROUTE_ENTRY_FLAGS, T.ROUTE_ENTRY_FLAG_HOST_FROM_HEADER);
    blob.text(at + T.ROUTE_ENTRY_HOST_OFFSET, name);
  }
  if (action.appendXForwardedHost) blob.addBits(at + T.ROUTE_ENTRY_FLAGS, T.ROUTE_ENTRY_FLAG_APPEND_HOST);
}

function writeWeights(
  context: CompileContext,
  blob: BlobWriter,
  at: number,
  path: string,
  weighted: WeightedCluster,
  policy: (weighted: readonly Mutation[]) => number,
): void {
  const { problems } = context;
  refuseOtherFields(problems, path, WeightedClusterSchema, weighted, 'clusters total_weight');
  const start = blob.reserve(weighted.clusters.length * T.WEIGHTED_BYTES);
  let total = 0;
  let count = 0;
  weighted.clusters.forEach((cluster, index) => {
    const where = join(path, `clusters[${index}]`);
    refuseOtherFields(
      problems,
      where,
      WeightedCluster_ClusterWeightSchema,
      cluster,
      `name weight request_headers_to_add request_headers_to_remove response_headers_to_add
       response_headers_to_remove host_rewrite_literal`,
    );
    const request = readMutations(
      problems,
      where,
      'request',
      cluster.requestHeadersToAdd,
      cluster.requestHeadersToRemove,
    );
    const response = readMutations(
      problems,
      where,
      'response',
      cluster.responseHeadersToAdd,
      cluster.responseHeadersToRemove,
    );
    const weight = cluster.weight ?? 0;
    if (weight === 0) return;
    total += weight;
    const entry = start + count * T.WEIGHTED_BYTES;
    count++;
    blob.int(entry + T.WEIGHTED_CLUSTER, context.clusterSlot(cluster.name));
    blob.int(entry + T.WEIGHTED_CUMULATIVE, total | 0);
    blob.int(entry + T.WEIGHTED_MUTATIONS, writeMutations(blob, request, context.hashName));
    blob.int(entry + T.WEIGHTED_MUTATION_COUNT, request.length);
    blob.int(entry + T.WEIGHTED_POLICY, policy(response));
    blob.int(entry + T.WEIGHTED_HOST_LENGTH, -1);
    if (cluster.hostRewriteSpecifier.case === 'hostRewriteLiteral') {
      checkRewrite(problems, join(where, 'host_rewrite_literal'), cluster.hostRewriteSpecifier.value);
      blob.text(entry + T.WEIGHTED_HOST_OFFSET, cluster.hostRewriteSpecifier.value);
    }
  });
  if (total === 0) problems.add(path, 'has a total weight of 0');
  if (total > 0x7fffffff) problems.add(path, `has a total weight of ${total}; at most ${0x7fffffff} is supported`);
  if (weighted.totalWeight !== undefined && weighted.totalWeight !== total) {
    problems.add(join(path, 'total_weight'), `is ${weighted.totalWeight}, but the weights add up to ${total}`);
  }
  blob.int(at + T.ROUTE_ENTRY_WEIGHTED, start);
  blob.int(at + T.ROUTE_ENTRY_WEIGHTED_COUNT, count);
  blob.int(at + T.ROUTE_ENTRY_WEIGHT_TOTAL, total | 0);
}
