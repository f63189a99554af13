// Resource validation: a listener's values, and those of its HTTP connection managers.

import { isIP } from 'node:net';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { AccessLog } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { ExtAuthzSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/ext_authz/v3/ext_authz_pb.js';
import { RBACSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/rbac/v3/rbac_pb.js';
import { RouterSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/router/v3/router_pb.js';
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { FilterConfigSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.js';
import {
  type TcpProxy,
  type TcpProxy_TunnelingConfig,
  TcpProxySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import { RawBufferSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import { DownstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { ACCESS_LOGGERS, checkLogger } from '../../observe/access-logs.js';
import { tunnelHeaderProblem } from '../../tcp/tunnel-headers.js';
import {
  checkConfigSource,
  checkDuration,
  checkIpAddress,
  checkUnique,
  type ProblemCollector,
} from './field-checks.js';
import { checkHttp2Options } from './validate-http2.js';
import { validateRouteConfiguration } from './validate-route.js';
import { checkCommonTlsContext } from './validate-tls.js';

/** Network filters that serve a connection. */
const TERMINAL = [HttpConnectionManagerSchema, TcpProxySchema];

export function validateListener(listener: Listener, out: ProblemCollector): void {
  if (listener.name === '') out.add('name', 'is required');
  // Port 0 lets the system choose, which tests and local runs use.
  checkIpAddress(listener.address, 'address', out, 0);
  listener.additionalAddresses.forEach(({ address }, index) => {
    checkIpAddress(address, `additional_addresses[${index}].address`, out, 0);
  });
  checkDuration(listener.listenerFiltersTimeout, 'listener_filters_timeout', out);
  const chains = listener.filterChains.map((chain, index) => ({ chain, path: `filter_chains[${index}]` }));
  const { defaultFilterChain } = listener;
  if (defaultFilterChain !== undefined) chains.push({ chain: defaultFilterChain, path: 'default_filter_chain' });
  if (chains.length === 0) out.add('filter_chains', 'at least one filter chain is required');
  for (const { chain, path } of chains) checkFilterChain(chain, path, out);
  checkUnique(
    listener.filterChains.map(matchKey),
    (index) => `filter_chains[${index}].filter_chain_match`,
    'the same match',
    out,
  );
}

/** Two chains with the same criteria could not be told apart. */
function matchKey({ filterChainMatch: match }: FilterChain): string {
  if (match === undefined) return '{}';
  const names = [...match.serverNames].sort();
  const ranges = match.prefixRanges.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen ?? 0}`).sort();
  return JSON.stringify([
    match.destinationPort,
    ranges,
    match.transportProtocol,
    [...match.applicationProtocols].sort(),
    names,
  ]);
}

function checkFilterChain(chain: FilterChain, path: string, out: ProblemCollector): void {
  checkTerminalFilter(chain, path, out);
  chain.filterChainMatch?.serverNames.forEach((name, index) => {
    const at = `${path}.filter_chain_match.server_names[${index}]`;
    if (name === '' || name === '*') out.add(at, 'leave server_names out to match any name');
    else if (name.indexOf('*') > 0 || (name.startsWith('*') && !name.startsWith('*.'))) {
      out.add(at, 'a wildcard is only allowed as the first label (`*.example.com`)');
    }
  });
  const protocol = chain.filterChainMatch?.transportProtocol ?? '';
  if (!['', 'tls', 'raw_buffer'].includes(protocol)) {
    out.add(
      `${path}.filter_chain_match.transport_protocol`,
      `${JSON.stringify(protocol)} is neither tls nor raw_buffer`,
    );
  }
  const socket = chain.transportSocket?.configType;
  if (socket?.case === 'typedConfig') {
    const at = `${path}.transport_socket.typed_config`;
    if (anyIs(socket.value, DownstreamTlsContextSchema)) {
      const context = unpackAny(socket.value, DownstreamTlsContextSchema);
      const required = context.requireClientCertificate ?? false;
      checkCommonTlsContext(context.commonTlsContext, `${at}.common_tls_context`, out, {
        certificateRequired: true,
        validationRequired: required,
      });
    } else if (!anyIs(socket.value, RawBufferSchema)) {
      out.add(at, 'a listener takes a DownstreamTlsContext or a RawBuffer');
    }
  } else if (chain.transportSocket !== undefined) {
    out.add(`${path}.transport_socket.typed_config`, 'is required');
  }
  chain.filters.forEach((filter, index) => {
    const at = `${path}.filters[${index}].typed_config`;
    if (filter.configType.case !== 'typedConfig') {
      out.add(at, 'is required');
      return;
    }
    if (anyIs(filter.configType.value, FilterConfigSchema)) {
      const { portSpecifier } = unpackAny(filter.configType.value, FilterConfigSchema);
      const { value = 0 } = portSpecifier;
      if (value < 1 || value > 65_535) out.add(`${at}.port_value`, `${value} is not a port; expected 1 to 65535`);
      return;
    }
    if (anyIs(filter.configType.value, TcpProxySchema)) {
      checkTcpProxy(unpackAny(filter.configType.value, TcpProxySchema), at, out);
      return;
    }
    if (!anyIs(filter.configType.value, HttpConnectionManagerSchema)) return; // a filter of the mesh, or not supported
    checkHttpConnectionManager(unpackAny(filter.configType.value, HttpConnectionManagerSchema), at, out);
  });
}

/** The last filter serves the connection; before a TCP proxy the mesh's own filters may stand. */
function checkTerminalFilter({ filters }: FilterChain, path: string, out: ProblemCollector): void {
  const isTerminal = filters.map(
    ({ configType }) => configType.case === 'typedConfig' && TERMINAL.some((schema) => anyIs(configType.value, schema)),
  );
  if (isTerminal.at(-1) !== true || isTerminal.indexOf(true) < filters.length - 1) {
    out.add(
      `${path}.filters`,
      'the last network filter, and only it, must be the HTTP connection manager or the TCP proxy',
    );
    return;
  }
  const last = filters.at(-1)?.configType;
  if (filters.length > 1 && last?.case === 'typedConfig' && anyIs(last.value, HttpConnectionManagerSchema)) {
    out.add(`${path}.filters[0]`, 'no network filter is supported in front of the HTTP connection manager');
  }
}

/** What can stand in the head of a CONNECT as it is. */
function isTunnelTarget(text: string): boolean {
  return /^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}$/.test(text);
}

function checkTcpProxy(proxy: TcpProxy, path: string, out: ProblemCollector): void {
  const { clusterSpecifier } = proxy;
  if (clusterSpecifier.case === undefined) out.add(path, 'needs `cluster` or `weighted_clusters`');
  else if (clusterSpecifier.case === 'cluster') {
    if (clusterSpecifier.value === '') out.add(`${path}.cluster`, 'must not be empty');
  } else {
    const { clusters } = clusterSpecifier.value;
    const at = `${path}.weighted_clusters`;
    if (clusters.length === 0) out.add(`${at}.clusters`, 'must not be empty');
    clusters.forEach(({ name, weight }, index) => {
      if (name === '') out.add(`${at}.clusters[${index}].name`, 'is required');
      if (weight === 0) out.add(`${at}.clusters[${index}].weight`, 'must be at least 1');
    });
  }
  const { tunnelingConfig: tunnel } = proxy;
  if (tunnel !== undefined && !isTunnelTarget(tunnel.hostname)) {
    out.add(`${path}.tunneling_config.hostname`, 'must be HOST:PORT; operators (`%…%`) are not supported');
  }
  if (tunnel !== undefined) checkTunnel(tunnel, `${path}.tunneling_config`, out);
  if (proxy.statPrefix === '') out.add(`${path}.stat_prefix`, 'is required');
  if (proxy.maxConnectAttempts === 0) out.add(`${path}.max_connect_attempts`, 'must be at least 1');
  checkDuration(proxy.idleTimeout, `${path}.idle_timeout`, out);
  checkDuration(proxy.maxDownstreamConnectionDuration, `${path}.max_downstream_connection_duration`, out, 1);
  checkAccessLogs(proxy.accessLog, path, out);
}

function checkTunnel(tunnel: TcpProxy_TunnelingConfig, path: string, out: ProblemCollector): void {
  const { postPath } = tunnel;
  if (postPath !== '' && !tunnel.usePost) out.add(`${path}.post_path`, 'is for use_post alone');
  if (postPath !== '' && !/^\/[!-"$-~]*$/.test(postPath)) out.add(`${path}.post_path`, 'must be a path');
  tunnel.headersToAdd.forEach((option, index) => {
    const problem = tunnelHeaderProblem(option);
    if (problem !== '') out.add(`${path}.headers_to_add[${index}].header`, problem);
  });
}

function checkAccessLogs(accessLogs: readonly AccessLog[], path: string, out: ProblemCollector): void {
  accessLogs.forEach((log, index) => {
    const { configType } = log;
    const at = `${path}.access_log[${index}].typed_config`;
    if (configType.case !== 'typedConfig') {
      out.add(at, 'is required');
      return;
    }
    // Another type was reported as not supported.
    if (!ACCESS_LOGGERS.some((schema) => anyIs(configType.value, schema))) return;
    try {
      checkLogger(log, configType.value);
    } catch (error) {
      out.add(at, (error as Error).message);
    }
  });
}

function checkHttpConnectionManager(hcm: HttpConnectionManager, path: string, out: ProblemCollector): void {
  const { routeSpecifier, commonHttpProtocolOptions: common } = hcm;
  checkHttp2Options(hcm.http2ProtocolOptions, `${path}.http2_protocol_options`, out);
  if (routeSpecifier.case === 'rds') {
    if (routeSpecifier.value.routeConfigName === '') out.add(`${path}.rds.route_config_name`, 'is required');
    checkConfigSource(routeSpecifier.value.configSource, `${path}.rds.config_source`, out);
  } else if (routeSpecifier.case === 'routeConfig') {
    validateRouteConfiguration(routeSpecifier.value, out, { path: `${path}.route_config`, nameRequired: false });
  } else if (routeSpecifier.case === undefined) {
    out.add(path, 'needs `rds` or `route_config`');
  }
  checkDuration(hcm.streamIdleTimeout, `${path}.stream_idle_timeout`, out);
  checkDuration(hcm.requestTimeout, `${path}.request_timeout`, out);
  checkDuration(hcm.requestHeadersTimeout, `${path}.request_headers_timeout`, out);
  checkDuration(hcm.delayedCloseTimeout, `${path}.delayed_close_timeout`, out);
  checkDuration(common?.maxConnectionDuration, `${path}.common_http_protocol_options.max_connection_duration`, out, 1);
  checkDuration(hcm.drainTimeout, `${path}.drain_timeout`, out);
  checkDuration(common?.idleTimeout, `${path}.common_http_protocol_options.idle_timeout`, out);
  checkAccessLogs(hcm.accessLog, path, out);
  checkHttpFilters(hcm, path, out);
}

function checkHttpFilters(hcm: HttpConnectionManager, path: string, out: ProblemCollector): void {
  const isRouter = hcm.httpFilters.map(
    ({ configType }) => configType.case === 'typedConfig' && anyIs(configType.value, RouterSchema),
  );
  hcm.httpFilters.forEach((filter, index) => {
    const at = `${path}.http_filters[${index}]`;
    if (filter.name === '') out.add(`${at}.name`, 'is required');
    if (filter.configType.case === undefined) {
      out.add(at, `HTTP filter ${JSON.stringify(filter.name)} has no typed_config`);
    }
    if (isRouter[index] && index < hcm.httpFilters.length - 1) out.add(at, 'the router must be the last HTTP filter');
    if (filter.disabled && isRouter[index]) out.add(`${at}.disabled`, 'the router cannot be disabled');
  });
  if (!isRouter.includes(true)) out.add(`${path}.http_filters`, 'the last HTTP filter must be the router');
  // Istio gives all filters of access rules one name, and all that ask authorizers; nothing asks for one of them by it.
  const named = [...hcm.httpFilters.entries()].filter(
    ([, { configType }]) =>
      configType.case !== 'typedConfig' ||
      !(anyIs(configType.value, RBACSchema) || anyIs(configType.value, ExtAuthzSchema)),
  );
  checkUnique(
    named.map(([, { name }]) => name),
    (index) => `${path}.http_filters[${named[index]?.[0]}].name`,
    'the name',
    out,
  );
}

/** True for an address that only this host reaches. */
export function isLoopbackAddress(address: string): boolean {
  if (isIP(address) === 4) return address.startsWith('127.');
  return address === '::1' || /^::ffff:127\./i.test(address);
}
