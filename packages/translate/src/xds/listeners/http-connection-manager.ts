// Build: the HTTP connection manager of a listener.

import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import {
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCertDetails,
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
  HttpConnectionManager_PathWithEscapedSlashesAction as PathWithEscapedSlashesAction,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { ProxyView } from '../../proxy-view.js';
import { durationOfMs } from '../durations.js';
import { buildAccessLog } from './access-log.js';
import { buildHttpFilters, type ListenerClass } from './http-filters.js';

/** Where a connection manager's routes come from. */
export type RouteSource = { readonly rds: string } | { readonly inline: RouteConfiguration };

/** MeshConfig pathNormalization; BASE unless set (CONTRACTS "Security rules"). */
function pathNormalization(meshConfig: MeshConfig) {
  switch (meshConfig.pathNormalization?.normalization) {
    case 'NONE':
      return { normalizePath: false };
    case 'MERGE_SLASHES':
      return { normalizePath: true, mergeSlashes: true };
    case 'DECODE_AND_MERGE_SLASHES':
      return {
        normalizePath: true,
        mergeSlashes: true,
        pathWithEscapedSlashesAction: PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD,
      };
    default:
      return { normalizePath: true, pathWithEscapedSlashesAction: PathWithEscapedSlashesAction.KEEP_UNCHANGED };
  }
}

/** What happens to `x-forwarded-client-cert`: sidecars append who called them, a gateway believes nobody. */
function clientCertificates(listenerClass: ListenerClass) {
  switch (listenerClass) {
    case 'sidecar-inbound':
      return {
        forwardClientCertDetails: ForwardClientCertDetails.APPEND_FORWARD,
        setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
      };
    case 'gateway':
      return {
        forwardClientCertDetails: ForwardClientCertDetails.SANITIZE_SET,
        setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
      };
    case 'sidecar-outbound':
      return {};
  }
}

function routeSpecifier(routes: RouteSource): HttpConnectionManager['routeSpecifier'] {
  if ('inline' in routes) return { case: 'routeConfig', value: routes.inline };
  const rds = create(HttpConnectionManagerSchema, {
    routeSpecifier: {
      case: 'rds',
      value: {
        routeConfigName: routes.rds,
        configSource: { resourceApiVersion: ApiVersion.V3, configSourceSpecifier: { case: 'ads', value: {} } },
      },
    },
  });
  return rds.routeSpecifier;
}

/**
 * Builds the connection manager as a network filter.
 *
 * @param address the listener's address and port, `IP_PORT`, for the name of its statistics
 */
export function buildHttpConnectionManager(
  view: ProxyView,
  listenerClass: ListenerClass,
  address: string,
  routes: RouteSource,
): Filter {
  const { meshConfig } = view.snapshot;
  const inbound = listenerClass === 'sidecar-inbound';
  const accessLogs = view.scope.accessLogs[inbound ? 'SERVER' : 'CLIENT'];
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: `${inbound ? 'inbound' : 'outbound'}_${address}`,
    routeSpecifier: routeSpecifier(routes),
    httpFilters: buildHttpFilters(view, listenerClass),
    accessLog: accessLogs.map(buildAccessLog),
    useRemoteAddress: listenerClass === 'gateway',
    xffNumTrustedHops:
      listenerClass === 'gateway' ? (meshConfig.defaultConfig?.gatewayTopology?.numTrustedProxies ?? 0) : 0,
    serverName: 'istio-envoy',
    generateRequestId: true,
    streamIdleTimeout: durationOfMs(0),
    ...pathNormalization(meshConfig),
    ...clientCertificates(listenerClass),
  });
  return create(FilterSchema, {
    name: 'envoy.filters.network.http_connection_manager',
    configType: { case: 'typedConfig', value: packAny(HttpConnectionManagerSchema, manager) },
  });
}
