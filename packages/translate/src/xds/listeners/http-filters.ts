// Build: the HTTP filters of a connection manager, in Istio's order.

import { create, type JsonObject } from '@bufbuild/protobuf';
import { type Any, BoolValueSchema } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import { CorsSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { HTTPFaultSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { FilterConfigSchema as GrpcStatsSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/grpc_stats/v3/config_pb.js';
import { GrpcWebSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/grpc_web/v3/grpc_web_pb.js';
import { RouterSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { introducesInMeshOnly, type ProxyHeaders } from '../../proxy-headers.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import { buildAuthorizationFilters } from '../authorization/authorization-filters.js';
import { buildExternalAuthorization } from '../authorization/external-authorization.js';
import { forwardFilter } from '../clusters/forward-hosts.js';
import { CORS_FILTER, FAULT_FILTER } from '../names.js';
import { buildLimitServiceFilter } from './limit-service-filter.js';
import { type ListenerClass, statsConfig, typedStruct } from './mesh-filters.js';
import { buildQuotaFilter, quotaFilterName } from './quota-filter.js';
import { buildTokenFilter } from './token-filter.js';

function meshFilter(name: string, value: Any): HttpFilter {
  return create(HttpFilterSchema, { name, configType: { case: 'typedConfig', value } });
}

/** Tells peers who they talk to by the `x-envoy-peer-metadata` headers, and learns it from them or from the endpoint. */
function metadataExchange(listenerClass: ListenerClass, inMeshOnly: boolean): HttpFilter {
  const discovery: JsonObject[] = [{ istio_headers: {} }, { workload_discovery: {} }];
  const value: JsonObject =
    listenerClass === 'sidecar-inbound'
      ? { downstream_discovery: discovery, downstream_propagation: [{ istio_headers: {} }] }
      : {
          upstream_discovery: discovery,
          upstream_propagation: [{ istio_headers: inMeshOnly ? { skip_external_clusters: true } : {} }],
        };
  return meshFilter('istio.metadata_exchange', typedStruct('io.istio.http.peer_metadata.Config', value));
}

/** Counts the messages of gRPC; `istio.stats` tells them. */
function grpcStats(): HttpFilter {
  const perMethodStatSpecifier = {
    case: 'statsForAllMethods' as const,
    value: create(BoolValueSchema, { value: false }),
  };
  const config = create(GrpcStatsSchema, { emitFilterState: true, perMethodStatSpecifier });
  return meshFilter('envoy.filters.http.grpc_stats', packAny(GrpcStatsSchema, config));
}

/** Makes gRPC of gRPC-Web, so that whatever follows sees calls of gRPC. */
function grpcWeb(): HttpFilter {
  return meshFilter('envoy.filters.http.grpc_web', packAny(GrpcWebSchema, create(GrpcWebSchema)));
}

/** What an HTTP connection manager does beside its listener class. */
export interface HttpAbilities {
  /** Requests may say themselves where they go. */
  readonly forwards?: boolean;
  /** The port is named `grpc-web`. */
  readonly grpcWeb?: boolean;
  /** Clients may ask for tunnels. */
  readonly connects?: boolean;
}

/** Do nothing by themselves: routes configure them. */
function routeFilters(): HttpFilter[] {
  return [
    meshFilter(FAULT_FILTER, packAny(HTTPFaultSchema, create(HTTPFaultSchema))),
    meshFilter(CORS_FILTER, packAny(CorsSchema, create(CorsSchema))),
  ];
}

/** Answers tell what these rules leave. It is the sidecar's own: other proxies pass over it, since it is optional. */
function toldLimits(rateLimits: ClientScope['rateLimits']): HttpFilter[] {
  const filters = rateLimits
    .filter(({ rule }) => rule.response?.headers === 'ALWAYS')
    .map(({ id }) => quotaFilterName(id));
  if (filters.length === 0) return [];
  const value = typedStruct('io.lateen.http.rate_limit_headers.Config', { filters });
  return [{ ...meshFilter('lateen.rate_limit_headers', value), isOptional: true }];
}

function router({ envoyDebugHeaders }: ProxyHeaders): HttpFilter {
  const config = create(RouterSchema, { suppressEnvoyHeaders: envoyDebugHeaders?.disabled === true });
  return create(HttpFilterSchema, {
    name: 'envoy.filters.http.router',
    configType: { case: 'typedConfig', value: packAny(RouterSchema, config) },
  });
}

/**
 * The filters of a listener class, in order. A stock Envoy gets none of `istio.*`: it would refuse them.
 */
export function buildHttpFilters(
  scope: ClientScope,
  listenerClass: ListenerClass,
  understandsIstioFilters: boolean,
  abilities: HttpAbilities,
  proxyHeaders: ProxyHeaders,
): HttpFilter[] {
  // Rules are for the side that calls, so an inbound listener has nothing to configure them with.
  const ofRoutes = listenerClass === 'sidecar-inbound' ? [] : routeFilters();
  const last = [...(abilities.forwards ? [forwardFilter(scope.snapshot.meshConfig)] : []), router(proxyHeaders)];
  // Who is called counts; a caller's own proxy does not limit what it sends.
  const { limitServices, snapshot } = scope;
  // Envoy's quota filter has a shadow mode in its configuration alone: it refuses all the same.
  const rateLimits = scope.rateLimits.filter(({ rule }) => understandsIstioFilters || rule.mode !== 'SHADOW');
  const limits =
    listenerClass === 'sidecar-outbound'
      ? []
      : [
          ...rateLimits.map((limit) => buildQuotaFilter(limit, snapshot.clusterDomain, understandsIstioFilters)),
          ...limitServices.map((service) => buildLimitServiceFilter(scope, service)),
        ];
  const web = abilities.grpcWeb ? [grpcWeb()] : [];
  // As in Istio before anything that is known of the caller by tokens.
  const external = listenerClass === 'sidecar-outbound' ? [] : buildExternalAuthorization(scope);
  // Before all that may decide by what a token claims. Only gateways choose routes by that, as in Istio.
  const tokens =
    listenerClass === 'sidecar-outbound' || scope.tokenRules.length === 0
      ? []
      : [buildTokenFilter(scope.tokenRules, listenerClass === 'gateway')];
  // Who may not call is charged to no limit.
  const authorization = listenerClass === 'sidecar-outbound' ? [] : buildAuthorizationFilters(scope);
  if (!understandsIstioFilters)
    return [...external, ...tokens, ...authorization, ...limits, ...web, ...ofRoutes, grpcStats(), ...last];
  const overrides = scope.metrics[listenerClass === 'sidecar-inbound' ? 'SERVER' : 'CLIENT'];
  return [
    metadataExchange(listenerClass, introducesInMeshOnly(proxyHeaders)),
    ...(listenerClass === 'sidecar-outbound' ? [] : toldLimits(rateLimits)),
    ...external,
    ...tokens,
    ...authorization,
    ...limits,
    ...web,
    ...ofRoutes,
    grpcStats(),
    ...(overrides === undefined ? [] : [meshFilter('istio.stats', statsConfig(listenerClass, overrides))]),
    ...last,
  ];
}
