// Downstream: compiles a HTTP connection manager to a HttpChain; what is not supported is named.

import {
  compileFault,
  compileHttpConnectionManager,
  internListenerOptions,
  type ListenerOptions,
  ProblemList,
  type Tables,
} from '@lateen/filters-wasm';
import { compileJwtFilter, type JwtCounts, type JwtFilter } from '@lateen/jwt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { CorsSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { FilterConfigSchema as ForwardProxySchema } from '@lateen/xds-proto/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.js';
import { ExtAuthzSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import {
  HTTPFaultSchema as FaultSchema,
  type HTTPFault,
} from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { GrpcWebSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js';
import {
  type JwtAuthentication,
  JwtAuthenticationSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { RBACSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RouterSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert,
  type HttpConnectionManager,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { compileHttp2Settings } from '../codec/http2/http2-settings.js';
import type { DataPlaneOptions } from '../data-plane.js';
import { CORS_ABSENT, CORS_FIRST, CORS_LAST } from '../exchange/filters/cross-origin.js';
import type { FirstCheck } from '../external-authorization/authorizer.js';
import { type AuthorizerContext, compileHttpAuthorizer } from '../external-authorization/compile-authorizer.js';
import type { MetricScopes } from '../observe/metric-scopes.js';
import { LimitFilters } from '../quota/read-limit-filters.js';
import { compileHttpRbac, type RbacContext } from '../rbac/compile-rbac.js';
import type { RbacFilter } from '../rbac/rbac-filter.js';
import type { ChainRbac } from '../rbac/request-access.js';
import { durationMs } from '../upstream/upstream-cluster.js';
import type { HttpChain } from './http-chain.js';
import { type MeshFilters, readMeshFilter } from './mesh-filters.js';

const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;
const DEFAULT_DELAYED_CLOSE_MS = 1_000;
const DEFAULT_STREAM_IDLE_TIMEOUT_MS = 300_000;
const CODECS = {
  [CodecType.AUTO]: 'auto',
  [CodecType.HTTP1]: 'http1',
  [CodecType.HTTP2]: 'http2',
  // Refused by its name before.
  [CodecType.HTTP3]: 'auto',
} as const;
type Fault = NonNullable<ListenerOptions['fault']>;

export interface ConnectionManagerContext extends RbacContext, AuthorizerContext {
  readonly tables: Tables;
  readonly options: DataPlaneOptions;
  readonly scopes: MetricScopes;
  /** Own peer headers, each [name, value]. */
  readonly peerLines: readonly (readonly [string, string])[];
  readonly listenerName: string;
  readonly inbound: boolean;
  /** Its clients speak TLS: requests are told of it, and perhaps who they are. */
  readonly secure: boolean;
  /** Unique in the configuration, for inline routes. */
  readonly chainName: string;
  /** The same in every configuration, for what is kept from one to the next. */
  readonly lastingName: string;
  readonly retryBufferBytes: number;
  /** Counters of filters for tokens, by the prefix of statistics. */
  readonly tokenCounts: (statPrefix: string) => JwtCounts;
}

export interface CompiledChain {
  readonly chain: HttpChain;
  /** Present where the route configuration is inline; it has a unique name. */
  readonly inlineRoutes: RouteConfiguration | undefined;
}

/** Problems go to the context; the result is only to be used where there were none. */
export function compileConnectionManager(hcm: HttpConnectionManager, context: ConnectionManagerContext): CompiledChain {
  const { core, tables, options, listenerName, chainName } = context;
  const compiled = compileHttpConnectionManager(hcm, listenerName);
  for (const { path, message } of compiled.problems) context.problem(path, message);
  const { filters, suppressEnvoyHeaders, firstChecks, tokens, rbac, limits, fault, cors, countsMessages, grpcWeb } =
    readFilters(hcm, context);
  const exchangePeers = filters.metadataExchange;
  const listenerOptions = {
    ...compiled.options,
    // Recognized in order to be refused with an answer, as Envoy does where upgrades are not enabled.
    allowWebsocket: true,
    routerHeaders: compiled.options.routerHeaders && !suppressEnvoyHeaders,
    peerFromRequest: exchangePeers && context.inbound,
    peerFromResponse: exchangePeers && !context.inbound,
    requestLines: exchangePeers && !context.inbound ? context.peerLines : [],
    responseLines: exchangePeers && context.inbound ? context.peerLines : [],
    rateLimits: limits.rateLimits,
    quotas: limits.quotas,
    asks: limits.asks,
    actionsId: tables.limitSlots.filterId('', 'rate limit actions'),
    fault,
    corsFilterId: cors?.filterId,
  };
  let inlineRoutes: RouteConfiguration | undefined;
  let routeName = '';
  if (hcm.routeSpecifier.case === 'rds') routeName = hcm.routeSpecifier.value.routeConfigName;
  else if (hcm.routeSpecifier.case === 'routeConfig') {
    routeName = `${chainName}|${hcm.routeSpecifier.value.name}`;
    inlineRoutes = { ...hcm.routeSpecifier.value, name: routeName };
  } else context.problem('route_specifier', 'is missing: give rds or route_config');
  const details = hcm.forwardClientCertDetails;
  const xfccNeeded = details === ForwardClientCert.APPEND_FORWARD || details === ForwardClientCert.SANITIZE_SET;
  const http = hcm.commonHttpProtocolOptions;
  const chain: HttpChain = {
    kind: 'http',
    listenerName,
    listenerRecord: internListenerOptions(core, listenerOptions, context.nowMs),
    routeConfigSlot: tables.routeConfigSlot(routeName),
    connectionRecordNeeded:
      xfccNeeded ||
      context.secure ||
      hcm.appendXForwardedPort ||
      listenerOptions.useRemoteAddress ||
      rbac !== null ||
      firstChecks.length > 0 ||
      limits.quotas.length > 0 ||
      limits.services.length > 0,
    xfccNeeded,
    localPortNeeded: hcm.appendXForwardedPort,
    principalNeeded: limits.quotas.length > 0 || rbac !== null || firstChecks.length > 0,
    firstChecks,
    tokens,
    rbac,
    rateLimited: !limits.empty,
    hasQuotas: limits.quotas.length > 0,
    limitServices: limits.services,
    codec: CODECS[hcm.codecType],
    websocket: compiled.options.allowWebsocket,
    connect: compiled.allowConnect,
    http2: compileHttp2Settings(hcm.http2ProtocolOptions, 'downstream', hcm.streamErrorOnInvalidHttpMessage),
    injectsFaults: fault !== undefined,
    cors: cors?.place ?? CORS_ABSENT,
    countsMessages,
    grpcWeb,
    idleTimeoutMs: http?.idleTimeout === undefined ? DEFAULT_IDLE_TIMEOUT_MS : durationMs(http.idleTimeout),
    streamIdleTimeoutMs:
      hcm.streamIdleTimeout === undefined ? DEFAULT_STREAM_IDLE_TIMEOUT_MS : durationMs(hcm.streamIdleTimeout),
    requestHeadersTimeoutMs: hcm.requestHeadersTimeout === undefined ? 0 : durationMs(hcm.requestHeadersTimeout),
    requestTimeoutMs: hcm.requestTimeout === undefined ? 0 : durationMs(hcm.requestTimeout),
    delayedCloseTimeoutMs:
      hcm.delayedCloseTimeout === undefined ? DEFAULT_DELAYED_CLOSE_MS : durationMs(hcm.delayedCloseTimeout),
    maxConnectionDurationMs: http?.maxConnectionDuration === undefined ? 0 : durationMs(http.maxConnectionDuration),
    maxRequestsPerConnection: http?.maxRequestsPerConnection ?? 0,
    retryBufferBytes: context.retryBufferBytes,
    inbound: context.inbound,
    peerFromRequest: listenerOptions.peerFromRequest,
    peerFromResponse: listenerOptions.peerFromResponse,
    metricScope: filters.stats === undefined ? 0 : context.scopes.scopeOf(context.inbound, filters.stats),
    accessLog: hcm.accessLog.length === 0 ? undefined : compileAccessLog(hcm, options, context),
    draining: false,
  };
  return { chain, inlineRoutes };
}

function compileAccessLog(
  hcm: HttpConnectionManager,
  options: DataPlaneOptions,
  context: ConnectionManagerContext,
): HttpChain['accessLog'] {
  try {
    return options.createAccessLogSink?.(hcm.accessLog, context.listenerName);
  } catch (error) {
    context.problem('access_log', (error as Error).message);
    return undefined;
  }
}

interface FilterSettings {
  readonly filters: MeshFilters;
  readonly suppressEnvoyHeaders: boolean;
  readonly firstChecks: readonly FirstCheck[];
  readonly tokens: JwtFilter | null;
  readonly rbac: ChainRbac | null;
  readonly limits: LimitFilters;
  readonly fault: Fault | undefined;
  readonly cors: { readonly filterId: number; readonly place: number } | undefined;
  readonly countsMessages: boolean;
  readonly grpcWeb: boolean;
}

const TOKEN_ORDER = 'the filter for tokens must come before those for limits, faults and CORS';
const ASKING_ORDER = 'filters that ask authorizers must come before those for tokens, limits, faults and CORS';
const RBAC_ORDER = 'RBAC filters must come before those for limits and faults';
const CORS_ORDER = 'the CORS filter must come before every rate limit and fault filter, or after all of them';

function readFilters(
  { httpFilters, statPrefix }: HttpConnectionManager,
  context: ConnectionManagerContext,
): FilterSettings {
  let tokens: JwtFilter | null = null;
  let cors: FilterSettings['cors'];
  const beforeCors: RbacFilter[] = [];
  const afterCors: RbacFilter[] = [];
  const firstChecks: FirstCheck[] = [];
  /** Access rules that stand before what may have to wait are decided before it. */
  const rulesFirst = (): void => {
    for (const rules of beforeCors.splice(0)) firstChecks.push({ kind: 'rules', filter: rules });
  };
  let countsMessages = false;
  let grpcWeb = false;
  let fault: Fault | undefined;
  const limits = new LimitFilters({ ...context, quotaCluster: context.options.quotaCluster });
  const filters: MeshFilters = { metadataExchange: false, stats: undefined, told: new Set() };
  let suppressEnvoyHeaders = false;
  const present = httpFilters.filter((filter) => !filter.disabled);
  if (present.length === 0) context.problem('http_filters', 'is empty: the router is required');
  present.forEach((filter, index) => {
    const path = `http_filters[${httpFilters.indexOf(filter)}]`;
    const any = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined;
    const last = index === present.length - 1;
    if (any !== undefined && anyIs(any, RouterSchema)) {
      if (!last) context.problem(path, 'the router must be the last filter');
      suppressEnvoyHeaders = unpackAny(any, RouterSchema).suppressEnvoyHeaders;
      return;
    }
    if (last) context.problem(path, 'the last filter must be the router');
    if (any !== undefined && anyIs(any, JwtAuthenticationSchema)) {
      if (tokens !== null) context.problem(path, 'a chain can have one filter for tokens');
      if (!limits.empty || fault !== undefined || cors !== undefined) context.problem(path, TOKEN_ORDER);
      rulesFirst();
      tokens = readTokens(unpackAny(any, JwtAuthenticationSchema), `${path}.typed_config`, statPrefix, context);
      return;
    }
    if (any !== undefined && anyIs(any, ExtAuthzSchema)) {
      const late = tokens !== null || cors !== undefined || fault !== undefined;
      if (late || !limits.empty || limits.services.length > 0) context.problem(path, ASKING_ORDER);
      rulesFirst();
      const config = unpackAny(any, ExtAuthzSchema);
      const authorizer = compileHttpAuthorizer(config, `${path}.typed_config`, statPrefix, context);
      firstChecks.push({ kind: 'authorizer', authorizer });
      return;
    }
    if (any !== undefined && anyIs(any, RBACSchema)) {
      if (!limits.empty || limits.services.length > 0 || fault !== undefined) context.problem(path, RBAC_ORDER);
      const place = cors === undefined ? beforeCors : afterCors;
      place.push(compileHttpRbac(unpackAny(any, RBACSchema), `${path}.typed_config`, statPrefix, context));
      return;
    }
    const asking = limits.services.length;
    const place = {
      afterFaults: fault !== undefined,
      afterCors: cors !== undefined,
      tells: filters.told.has(filter.name),
    };
    if (limits.read(filter, path, place)) {
      // Whoever asks a service may come after it.
      if (cors?.place === CORS_LAST && limits.services.length === asking) context.problem(path, CORS_ORDER);
      return;
    }
    if (any !== undefined && anyIs(any, FaultSchema)) {
      if (fault !== undefined) context.problem(path, 'a chain can have one fault filter');
      if (cors?.place === CORS_LAST) context.problem(path, CORS_ORDER);
      fault = readFault(filter.name, unpackAny(any, FaultSchema), `${path}.typed_config`, context);
      return;
    }
    if (any !== undefined && anyIs(any, CorsSchema)) {
      if (cors !== undefined) context.problem(path, 'a chain can have one CORS filter');
      const place = limits.empty && limits.services.length === 0 && fault === undefined ? CORS_FIRST : CORS_LAST;
      cors = { filterId: context.tables.limitSlots.filterId(filter.name, 'cors'), place };
      return;
    }
    if (any !== undefined && anyIs(any, GrpcStatsSchema)) {
      countsMessages ||= unpackAny(any, GrpcStatsSchema).emitFilterState;
      return;
    }
    if (any !== undefined && anyIs(any, GrpcWebSchema)) {
      grpcWeb = true;
      return;
    }
    // Hosts are the cluster's matter.
    if (any !== undefined && anyIs(any, ForwardProxySchema)) return;
    const refused = readMeshFilter(filter, filters);
    if (refused !== '') context.problem(path, refused);
  });
  for (const name of filters.told) {
    if (!limits.names.has(name))
      context.problem('http_filters', `there is no quota filter ${name} whose limit to tell`);
  }
  const rbac = beforeCors.length + afterCors.length === 0 ? null : { beforeCors, afterCors };
  return { filters, suppressEnvoyHeaders, firstChecks, tokens, rbac, limits, fault, cors, countsMessages, grpcWeb };
}

function readTokens(
  config: JwtAuthentication,
  path: string,
  statPrefix: string,
  { tokenCounts, problem }: ConnectionManagerContext,
): JwtFilter {
  return compileJwtFilter(config, {
    counts: tokenCounts(statPrefix),
    problem: (place, message) => problem(`${path}.${place}`, message),
  });
}

function readFault(
  name: string,
  config: HTTPFault,
  path: string,
  { tables, listenerName, problem }: ConnectionManagerContext,
): Fault {
  const problems = new ProblemList('Listener', listenerName);
  const record = compileFault(problems, path, config);
  for (const { path: place, message } of problems.problems) problem(place, message);
  return { filterId: tables.limitSlots.filterId(name, 'fault'), record };
}
