// External authorization: compiles ext_authz filters, of requests and of connections; what is not supported is named.

import type { GrpcService as GrpcServiceConfig } from '@lateen/xds-proto/envoy/config/core/v3/grpc_service_pb.js';
import type {
  BufferSettings,
  ExtAuthz,
  HttpService as HttpServiceConfig,
} from '@lateen/xds-proto/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import type { ExtAuthz as NetworkExtAuthz } from '@lateen/xds-proto/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js';
import type { MetadataMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import { FLAG } from '../exchange/response-flags.js';
import { RBAC_METADATA } from '../rbac/rbac-filter.js';
import { durationMs } from '../upstream/upstream-cluster.js';
import type {
  Authorizer,
  AuthorizerSettings,
  BodySettings,
  EnablingMetadata,
  GrpcService,
  HttpService,
} from './authorizer.js';
import type { AuthorizerStatistics } from './authorizer-counts.js';
import { isValidHeader } from './header-change.js';
import { isToldByHttp, isToldToClient } from './http-check.js';
import { ANY_NAME, compileNames, compileText, NO_NAME } from './name-matcher.js';

/** As Envoy. */
const DEFAULT_TIMEOUT_MS = 200;
const DEFAULT_ERROR_STATUS = 403;
const METHOD = '/envoy.service.auth.v3.Authorization/Check';
const NETWORK_RULES = 'envoy.filters.network.rbac';

type Problem = (path: string, message: string) => void;

export interface AuthorizerContext {
  readonly authorizerCounts: AuthorizerStatistics;
  problem: Problem;
}

/** An ext_authz filter of connections. */
export interface ConnectionAuthorizer extends AuthorizerSettings {
  readonly service: GrpcService;
}

/** `statPrefix` is that of the connection manager. Problems go to the context; the result is only to be used where there were none. */
export function compileHttpAuthorizer(
  config: ExtAuthz,
  path: string,
  statPrefix: string,
  { authorizerCounts, problem }: AuthorizerContext,
): Authorizer {
  const at: Problem = (field, message) => problem(`${path}.${field}`, message);
  const { services } = config;
  if (services.case === undefined) at('services', 'is required: grpc_service or http_service');
  const service =
    services.case === 'httpService' ? compileHttpService(services.value, at) : compileGrpcService(services.value, at);
  const names = compileNames(config.allowedHeaders, 'allowed_headers', at);
  const ofService =
    services.case === 'httpService'
      ? compileNames(
          services.value.authorizationRequest?.allowedHeaders,
          'http_service.authorization_request.allowed_headers',
          at,
        )
      : undefined;
  if (names !== undefined && ofService !== undefined) at('allowed_headers', 'stands in http_service as well; keep one');
  const listed = ofService ?? names;
  const told = service.kind === 'http' ? isToldByHttp(listed ?? NO_NAME) : (listed ?? ANY_NAME);
  const disallowed = compileNames(config.disallowedHeaders, 'disallowed_headers', at) ?? NO_NAME;
  const status: number = config.statusOnError?.code || DEFAULT_ERROR_STATUS;
  return {
    service,
    isTold: (name) => told(name) && !disallowed(name),
    rawHeaders: config.encodeRawHeaders,
    body: compileBody(config.withRequestBody, at),
    reroutes: config.clearRouteCache,
    marksFailures: config.failureModeAllowHeaderAdd,
    strict: config.validateMutations,
    takesMetadata: config.enableDynamicMetadataIngestion ?? true,
    countsForCluster: config.chargeClusterResponseStats ?? true,
    failureReply: { status, flags: FLAG.UAEX, body: '', details: 'ext_authz_error' },
    enabling: compileEnabling(config.filterEnabledMetadata, RBAC_METADATA, at),
    failureAllows: config.failureModeAllow,
    tellsServerName: config.includeTlsSession,
    counts: authorizerCounts.countsOf('http', prefixes(statPrefix, config.statPrefix)),
  };
}

/** Problems go to the context; the result is only to be used where there were none. */
export function compileConnectionAuthorizer(
  config: NetworkExtAuthz,
  path: string,
  { authorizerCounts, problem }: AuthorizerContext,
): ConnectionAuthorizer {
  const at: Problem = (field, message) => problem(`${path}.${field}`, message);
  if (config.statPrefix === '') at('stat_prefix', 'is required');
  return {
    service: compileGrpcService(config.grpcService, at),
    enabling: compileEnabling(config.filterEnabledMetadata, NETWORK_RULES, at),
    failureAllows: config.failureModeAllow,
    tellsServerName: config.includeTlsSession,
    counts: authorizerCounts.countsOf('network', config.statPrefix),
  };
}

function prefixes(manager: string, own: string): string {
  return own === '' ? manager : `${manager}.${own}`;
}

function compileGrpcService(config: GrpcServiceConfig | undefined, problem: Problem): GrpcService {
  const target = config?.targetSpecifier;
  const envoyGrpc = target?.case === 'envoyGrpc' ? target.value : undefined;
  const cluster = envoyGrpc?.clusterName ?? '';
  if (cluster === '') problem('grpc_service.envoy_grpc.cluster_name', 'is required: the cluster of the authorizer');
  const metadata = (config?.initialMetadata ?? []).map(({ key, value }) => ({ name: key.toLowerCase(), value }));
  if (!metadata.every(isValidHeader)) problem('grpc_service.initial_metadata', 'has what cannot be a header');
  return {
    kind: 'grpc',
    cluster,
    authority: envoyGrpc?.authority || cluster,
    method: METHOD,
    headerLines: metadata.map(({ name, value }) => `${name}: ${value}\r\n`).join(''),
    timeoutMs: config?.timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(config.timeout),
  };
}

function compileHttpService(config: HttpServiceConfig, problem: Problem): HttpService {
  const { serverUri, pathPrefix, authorizationRequest, authorizationResponse: response } = config;
  const cluster = serverUri?.httpUpstreamType.case === 'cluster' ? serverUri.httpUpstreamType.value : '';
  if (cluster === '') problem('http_service.server_uri.cluster', 'is required: the cluster of the authorizer');
  if (pathPrefix !== '' && !/^\/[!-~]*$/.test(pathPrefix)) problem('http_service.path_prefix', 'must begin with `/`');
  const headersToAdd = (authorizationRequest?.headersToAdd ?? []).map(({ key, value }, index) => {
    const field = `http_service.authorization_request.headers_to_add[${index}]`;
    if (!isValidHeader({ name: key.toLowerCase(), value })) problem(field, 'cannot be a header');
    // What else Envoy would put in place of a percent sign.
    if (value.replaceAll('%%', '').includes('%')) problem(`${field}.value`, 'has a command operator; write %% for a %');
    return [key, value.replaceAll('%%', '%')] as const;
  });
  const names = (list: Parameters<typeof compileNames>[0], field: string) =>
    compileNames(list, `http_service.authorization_response.${field}`, problem);
  return {
    kind: 'http',
    cluster,
    timeoutMs: serverUri?.timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(serverUri.timeout),
    pathPrefix,
    headersToAdd,
    toUpstream: names(response?.allowedUpstreamHeaders, 'allowed_upstream_headers') ?? NO_NAME,
    toUpstreamBeside: names(response?.allowedUpstreamHeadersToAppend, 'allowed_upstream_headers_to_append') ?? NO_NAME,
    toClientOnAllow: names(response?.allowedClientHeadersOnSuccess, 'allowed_client_headers_on_success') ?? NO_NAME,
    toMetadata: names(response?.dynamicMetadataFromHeaders, 'dynamic_metadata_from_headers') ?? NO_NAME,
    toClientOnDeny: isToldToClient(
      (response?.allowedClientHeaders?.patterns.length ?? 0) === 0
        ? undefined
        : names(response?.allowedClientHeaders, 'allowed_client_headers'),
    ),
  };
}

function compileBody(config: BufferSettings | undefined, problem: Problem): BodySettings | undefined {
  if (config === undefined) return undefined;
  if (config.maxRequestBytes === 0) problem('with_request_body.max_request_bytes', 'must be above 0');
  return { maxBytes: config.maxRequestBytes, partial: config.allowPartialMessage, asBytes: config.packAsBytes };
}

/** Of the metadata of requests and connections, what access rules noted is there. */
function compileEnabling(
  config: MetadataMatcher | undefined,
  namespace: string,
  problem: Problem,
): EnablingMetadata | undefined {
  if (config === undefined) return undefined;
  const field = 'filter_enabled_metadata';
  if (config.filter !== namespace) problem(`${field}.filter`, `must be ${namespace}: no other filter says anything`);
  const [segment, ...more] = config.path;
  if (segment?.segment.case !== 'key' || more.length > 0) problem(`${field}.path`, 'must be one key');
  const pattern = config.value?.matchPattern;
  const name = `${RBAC_METADATA}:${segment?.segment.value ?? ''}`;
  const inverted = config.invert;
  if (pattern?.case === 'presentMatch') return { name, matches: () => pattern.value, inverted };
  if (pattern?.case === 'stringMatch') {
    return { name, matches: compileText(pattern.value, `${field}.value.string_match`, problem), inverted };
  }
  problem(`${field}.value`, 'must be string_match or present_match: access rules note texts');
  return undefined;
}
