// Resource validation: the values of clusters and of endpoint sets.

import { isIP } from 'node:net';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_LbPolicy,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { BindConfig } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { CaresDnsResolverConfigSchema } from '@lateen/xds-proto/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js';
import { ProxyProtocolUpstreamTransportSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
import { RawBufferSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { UpstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { HttpProtocolOptionsSchema } from '@lateen/xds-proto/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { readForwardSettings } from '../../upstream/discovery/forward-settings.js';
import {
  checkConfigSource,
  checkDuration,
  checkIpAddress,
  checkUnique,
  type ProblemCollector,
} from './field-checks.js';
import { checkHealthChecks, checkOutliers, checkPanic } from './validate-health.js';
import { checkHttp2Options } from './validate-http2.js';
import { checkCommonTlsContext } from './validate-tls.js';

const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
/** How Envoy numbers priorities. */
const MAX_PRIORITY = 128;
/** Of the endpoints of one priority; the hot path adds them in 31 bits. */
const MAX_TOTAL_WEIGHT = 2 ** 31 - 1;

export function validateCluster(cluster: Cluster, out: ProblemCollector): void {
  if (cluster.name === '') out.add('name', 'is required');
  checkDuration(cluster.connectTimeout, 'connect_timeout', out, 1);
  const type =
    cluster.clusterDiscoveryType.case === 'type' ? cluster.clusterDiscoveryType.value : Cluster_DiscoveryType.STATIC;
  if (type === Cluster_DiscoveryType.EDS) {
    if (cluster.edsClusterConfig === undefined) out.add('eds_cluster_config', 'is required for type EDS');
    else checkConfigSource(cluster.edsClusterConfig.edsConfig, 'eds_cluster_config.eds_config', out);
    if (cluster.loadAssignment !== undefined) out.add('load_assignment', 'is not used with type EDS; leave it out');
  } else if (cluster.edsClusterConfig !== undefined) {
    out.add('eds_cluster_config', 'is only used with type EDS');
  }
  const forwards = cluster.clusterDiscoveryType.case === 'clusterType';
  if (forwards && readForwardSettings(cluster) === undefined) {
    out.add('cluster_type.typed_config.dns_cache_config', 'is required');
  }
  const original = forwards || type === Cluster_DiscoveryType.ORIGINAL_DST;
  if (original !== (cluster.lbPolicy === Cluster_LbPolicy.CLUSTER_PROVIDED)) {
    out.add('lb_policy', 'CLUSTER_PROVIDED and type ORIGINAL_DST, or cluster_type, only go together');
  }
  const isDns = type === Cluster_DiscoveryType.STRICT_DNS || type === Cluster_DiscoveryType.LOGICAL_DNS;
  if (isDns) checkDns(cluster, type === Cluster_DiscoveryType.LOGICAL_DNS, out);
  if (type === Cluster_DiscoveryType.ORIGINAL_DST) checkDuration(cluster.cleanupInterval, 'cleanup_interval', out, 1);
  else if (cluster.lbConfig.case === 'originalDstLbConfig')
    out.add('original_dst_lb_config', 'is for type ORIGINAL_DST');
  const override =
    cluster.lbConfig.case === 'originalDstLbConfig' ? cluster.lbConfig.value.upstreamPortOverride : undefined;
  if (override !== undefined && override > 65_535) {
    out.add('original_dst_lb_config.upstream_port_override', `${override} is more than 65535`);
  }
  checkSourceAddresses(cluster.upstreamBindConfig, out);
  if (cluster.loadAssignment !== undefined) {
    if (original) out.add('load_assignment', 'is not used with this type of cluster; leave it out');
    validateLoadAssignment(cluster.loadAssignment, out, 'load_assignment', isDns);
  }
  checkDuration(cluster.commonHttpProtocolOptions?.idleTimeout, 'common_http_protocol_options.idle_timeout', out);
  checkDuration(
    cluster.commonHttpProtocolOptions?.maxConnectionDuration,
    'common_http_protocol_options.max_connection_duration',
    out,
    1,
  );
  checkOutliers(cluster.outlierDetection, out);
  checkPanic(cluster, out);
  checkHealthChecks(cluster, original, out);
  checkProtocols(cluster, out);
  checkTransportSocket(cluster.transportSocket, 'transport_socket', out);
  cluster.transportSocketMatches.forEach((match, index) => {
    const at = `transport_socket_matches[${index}]`;
    if (match.name === '') out.add(`${at}.name`, 'is required');
    if (match.transportSocket === undefined) out.add(`${at}.transport_socket`, 'is required');
    checkTransportSocket(match.transportSocket, `${at}.transport_socket`, out);
  });
  checkUnique(
    cluster.transportSocketMatches.map(({ name }) => name),
    (index) => `transport_socket_matches[${index}].name`,
    'the name',
    out,
  );
}

function checkSourceAddresses(config: BindConfig | undefined, out: ProblemCollector): void {
  if (config === undefined) return;
  if (config.sourceAddress === undefined) out.add('upstream_bind_config.source_address', 'is required');
  const all = [
    { address: config.sourceAddress, path: 'upstream_bind_config.source_address' },
    ...config.extraSourceAddresses.map(({ address }, index) => ({
      address,
      path: `upstream_bind_config.extra_source_addresses[${index}].address`,
    })),
  ];
  for (const { address, path } of all) {
    if (address === undefined) continue;
    if (isIP(address.address) === 0)
      out.add(`${path}.address`, `${JSON.stringify(address.address)} is not an IP address`);
    const port = address.portSpecifier.case === 'portValue' ? address.portSpecifier.value : 0;
    if (port !== 0) out.add(`${path}.port_value`, 'must be 0: the system chooses the port of each connection');
  }
}

function checkProtocols(cluster: Cluster, out: ProblemCollector): void {
  checkHttp2Options(cluster.http2ProtocolOptions, 'http2_protocol_options', out);
  const packed = cluster.typedExtensionProtocolOptions[HTTP_PROTOCOL_OPTIONS];
  if (packed === undefined || !anyIs(packed, HttpProtocolOptionsSchema)) return;
  const { upstreamProtocolOptions: kind } = unpackAny(packed, HttpProtocolOptionsSchema);
  const at = `typed_extension_protocol_options[${HTTP_PROTOCOL_OPTIONS}]`;
  if (kind.case === 'explicitHttpConfig') {
    const { protocolConfig } = kind.value;
    if (protocolConfig.case === undefined) out.add(`${at}.explicit_http_config`, 'needs a protocol');
    else if (protocolConfig.case === 'http2ProtocolOptions') {
      checkHttp2Options(protocolConfig.value, `${at}.explicit_http_config.http2_protocol_options`, out);
    }
  } else if (kind.case === 'useDownstreamProtocolConfig') {
    checkHttp2Options(
      kind.value.http2ProtocolOptions,
      `${at}.use_downstream_protocol_config.http2_protocol_options`,
      out,
    );
  } else if (kind.case === 'autoConfig') {
    checkHttp2Options(kind.value.http2ProtocolOptions, `${at}.auto_config.http2_protocol_options`, out);
    const sockets = [cluster.transportSocket, ...cluster.transportSocketMatches.map((match) => match.transportSocket)];
    if (!sockets.every(isTls)) out.add(`${at}.auto_config`, 'needs TLS transport sockets: ALPN chooses the protocol');
  } else out.add(at, 'needs explicit_http_config, use_downstream_protocol_config or auto_config');
}

function isTls(socket: TransportSocket | undefined): boolean {
  if (socket?.configType.case !== 'typedConfig') return false;
  const any = socket.configType.value;
  if (!anyIs(any, ProxyProtocolUpstreamTransportSchema)) return anyIs(any, UpstreamTlsContextSchema);
  return isTls(unpackAny(any, ProxyProtocolUpstreamTransportSchema).transportSocket);
}

function checkDns(cluster: Cluster, logical: boolean, out: ProblemCollector): void {
  checkDuration(cluster.dnsRefreshRate, 'dns_refresh_rate', out, 1);
  checkDuration(cluster.dnsFailureRefreshRate?.baseInterval, 'dns_failure_refresh_rate.base_interval', out, 1);
  checkDuration(cluster.dnsFailureRefreshRate?.maxInterval, 'dns_failure_refresh_rate.max_interval', out, 1);
  const endpoints = cluster.loadAssignment?.endpoints ?? [];
  if (cluster.loadAssignment === undefined) out.add('load_assignment', 'is required: it says which names to resolve');
  else if (logical && (endpoints.length !== 1 || endpoints[0]?.lbEndpoints.length !== 1)) {
    out.add('load_assignment', 'LOGICAL_DNS takes exactly one locality with one endpoint');
  }
  const resolver = cluster.typedDnsResolverConfig?.typedConfig;
  if (resolver === undefined || !anyIs(resolver, CaresDnsResolverConfigSchema)) return;
  const at = 'typed_dns_resolver_config.typed_config.resolvers';
  unpackAny(resolver, CaresDnsResolverConfigSchema).resolvers.forEach((address, index) => {
    checkIpAddress(address, `${at}[${index}]`, out, 1);
  });
}

function checkTransportSocket(socket: TransportSocket | undefined, path: string, out: ProblemCollector): void {
  if (socket === undefined) return;
  const at = `${path}.typed_config`;
  if (socket.configType.case !== 'typedConfig') {
    out.add(at, 'is required');
    return;
  }
  const any = socket.configType.value;
  if (anyIs(any, UpstreamTlsContextSchema)) {
    const context = unpackAny(any, UpstreamTlsContextSchema);
    checkCommonTlsContext(context.commonTlsContext, `${at}.common_tls_context`, out, {
      certificateRequired: false,
      validationRequired: false,
    });
  } else if (anyIs(any, ProxyProtocolUpstreamTransportSchema)) {
    const { transportSocket } = unpackAny(any, ProxyProtocolUpstreamTransportSchema);
    if (transportSocket === undefined) out.add(`${at}.transport_socket`, 'is required');
    checkTransportSocket(transportSocket, `${at}.transport_socket`, out);
  } else if (!anyIs(any, RawBufferSchema)) {
    out.add(
      at,
      'a cluster takes an UpstreamTlsContext, a RawBuffer, or one of them in a ProxyProtocolUpstreamTransport',
    );
  }
}

/**
 * @param path where the assignment stands; empty for an EDS resource
 * @param names whether endpoints may be names that are resolved
 */
export function validateLoadAssignment(
  assignment: ClusterLoadAssignment,
  out: ProblemCollector,
  path = '',
  names = false,
): void {
  const prefix = path === '' ? '' : `${path}.`;
  if (assignment.clusterName === '') out.add(`${prefix}cluster_name`, 'is required');
  const weights = new Map<number, number>();
  assignment.endpoints.forEach((locality, localityIndex) => {
    const at = `${prefix}endpoints[${localityIndex}]`;
    if (locality.priority > MAX_PRIORITY)
      out.add(`${at}.priority`, `${locality.priority} is more than ${MAX_PRIORITY}`);
    if (locality.loadBalancingWeight === 0) out.add(`${at}.load_balancing_weight`, 'must be at least 1');
    locality.lbEndpoints.forEach((endpoint, index) => {
      const endpointAt = `${at}.lb_endpoints[${index}]`;
      if (endpoint.loadBalancingWeight === 0) out.add(`${endpointAt}.load_balancing_weight`, 'must be at least 1');
      const total = (weights.get(locality.priority) ?? 0) + (endpoint.loadBalancingWeight ?? 1);
      weights.set(locality.priority, total);
      if (total > MAX_TOTAL_WEIGHT && total - (endpoint.loadBalancingWeight ?? 1) <= MAX_TOTAL_WEIGHT) {
        out.add(
          `${endpointAt}.load_balancing_weight`,
          `takes the weights of priority ${locality.priority} to ${total}; the sum may be ${MAX_TOTAL_WEIGHT} at most`,
        );
      }
      if (endpoint.hostIdentifier.case === 'endpoint') {
        checkIpAddress(endpoint.hostIdentifier.value.address, `${endpointAt}.endpoint.address`, out, 1, names, !names);
      } else if (endpoint.hostIdentifier.case === undefined) {
        out.add(`${endpointAt}.endpoint`, 'is required');
      }
    });
  });
}
