// Build: the network filters of TCP listeners: metadata exchange, authorization, statistics, TCP proxy.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { TcpProxySchema } from '@lateen/xds-proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import type { ProxyView } from '../../proxy-view.js';
import { buildTcpAuthorization } from '../authorization/authorization-filters.js';
import { buildTcpExternalAuthorization } from '../authorization/external-authorization.js';
import { serverNameForwardFilter } from '../clusters/forward-hosts.js';
import { durationOfText } from '../durations.js';
import type { TcpDestinations } from '../routes/tcp-destinations.js';
import { buildAccessLogs } from './access-log.js';
import { type ListenerClass, tcpMetadataExchange, tcpStats } from './mesh-filters.js';

/** The filters in Istio's order. A stock Envoy gets none of `istio.*`: it would refuse them. */
export function buildTcpFilters(view: ProxyView, listenerClass: ListenerClass, to: TcpDestinations): Filter[] {
  const { scope, understandsIstioFilters } = view;
  const mode = listenerClass === 'sidecar-inbound' ? 'SERVER' : 'CLIENT';
  const overrides = scope.metrics[mode];
  const filters: Filter[] = [];
  if (understandsIstioFilters && listenerClass === 'sidecar-inbound') filters.push(tcpMetadataExchange());
  if (listenerClass !== 'sidecar-outbound') {
    filters.push(...buildTcpExternalAuthorization(scope), ...buildTcpAuthorization(scope));
  }
  if (understandsIstioFilters && overrides !== undefined) filters.push(tcpStats(listenerClass, overrides));
  if (to.forwardPort !== undefined) filters.push(serverNameForwardFilter(view.snapshot.meshConfig, to.forwardPort));
  const proxy = create(TcpProxySchema, {
    statPrefix: to.statPrefix,
    clusterSpecifier: clusterSpecifier(to),
    idleTimeout: durationOfText(to.idleTimeout),
    maxDownstreamConnectionDuration: durationOfText(to.maxDuration),
    hashPolicy: to.hashesSource ? [{ policySpecifier: { case: 'sourceIp', value: {} } }] : [],
    ...(to.tunnel === undefined ? {} : { tunnelingConfig: to.tunnel }),
    accessLog: buildAccessLogs(scope, scope.accessLogs[mode], 'connection', understandsIstioFilters),
  });
  filters.push(
    create(FilterSchema, {
      name: 'envoy.filters.network.tcp_proxy',
      configType: { case: 'typedConfig', value: packAny(TcpProxySchema, proxy) },
    }),
  );
  return filters;
}

function clusterSpecifier({ clusters }: TcpDestinations) {
  const [only, second] = clusters;
  if (only !== undefined && second === undefined) return { case: 'cluster' as const, value: only.name };
  return {
    case: 'weightedClusters' as const,
    value: { clusters: clusters.map(({ name, weight }) => ({ name, weight })) },
  };
}
