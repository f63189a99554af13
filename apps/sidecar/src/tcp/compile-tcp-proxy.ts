// TCP: compiles the network filters of a chain that ends in a TCP proxy to a TcpChain; what is not supported is named.

import type { JsonObject } from '@bufbuild/protobuf';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { Filter } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ExtAuthzSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/ext_authz/v3/ext_authz_pb.js';
import { RBACSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/rbac/v3/rbac_pb.js';
import { FilterConfigSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.js';
import {
  type TcpProxy,
  TcpProxySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js';
import type { DataPlaneOptions } from '../data-plane.js';
import { METADATA_EXCHANGE, readStruct, STATS } from '../downstream/mesh-filters.js';
import { type AuthorizerContext, compileConnectionAuthorizer } from '../external-authorization/compile-authorizer.js';
import type { ConnectionStep } from '../external-authorization/connection-check.js';
import type { MetricScopes } from '../observe/metric-scopes.js';
import { compileNetworkRbac, type RbacContext } from '../rbac/compile-rbac.js';
import { durationMs } from '../upstream/upstream-cluster.js';
import type { TcpChain, WeightedCluster } from './tcp-chain.js';
import { compileTunnelHeaders } from './tunnel-headers.js';

/** Envoy's default where `idle_timeout` is not set. */
const DEFAULT_IDLE_TIMEOUT_MS = 3_600_000;

export interface TcpProxyContext extends RbacContext, AuthorizerContext {
  readonly options: DataPlaneOptions;
  readonly scopes: MetricScopes;
  readonly listenerName: string;
  readonly inbound: boolean;
  /** `path` is that of the filter chain's field, for example `filters[0].cluster`. */
  problem(path: string, message: string): void;
}

/** Whether a chain's last filter is a TCP proxy. */
export function endsInTcpProxy(filters: readonly Filter[]): boolean {
  const last = filters.at(-1)?.configType;
  return last?.case === 'typedConfig' && anyIs(last.value, TcpProxySchema);
}

/** Problems go to the context; the result is only to be used where there were none. */
export function compileTcpProxy(filters: readonly Filter[], context: TcpProxyContext): TcpChain | undefined {
  let exchangeProtocol = '';
  let stats: JsonObject | undefined;
  let forwardPort = 0;
  const checks: ConnectionStep[] = [];
  filters.slice(0, -1).forEach((filter, index) => {
    const any = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined;
    if (any !== undefined && anyIs(any, RBACSchema)) {
      const rules = compileNetworkRbac(unpackAny(any, RBACSchema), `filters[${index}].typed_config`, context);
      checks.push({ kind: 'rules', filter: rules });
      return;
    }
    if (any !== undefined && anyIs(any, ExtAuthzSchema)) {
      const config = unpackAny(any, ExtAuthzSchema);
      const authorizer = compileConnectionAuthorizer(config, `filters[${index}].typed_config`, context);
      checks.push({ kind: 'authorizer', authorizer });
      return;
    }
    if (any !== undefined && anyIs(any, FilterConfigSchema)) {
      forwardPort = unpackAny(any, FilterConfigSchema).portSpecifier.value ?? 0;
      return;
    }
    const read = readStruct(filter);
    if (typeof read === 'string') context.problem(`filters[${index}]`, read);
    else if (read.type === METADATA_EXCHANGE.tcp) exchangeProtocol = String(read.value.protocol ?? '');
    else if (read.type === STATS) stats = read.value;
    else context.problem(`filters[${index}]`, `filter ${filter.name} (${read.type}) is not supported`);
  });
  const last = filters.at(-1)?.configType;
  if (last?.case !== 'typedConfig') return undefined;
  const at = `filters[${filters.length - 1}]`;
  const proxy = unpackAny(last.value, TcpProxySchema);
  const clusters = weightedClusters(proxy);
  const totalWeight = clusters.reduce((sum, { weight }) => sum + weight, 0);
  if (totalWeight === 0) context.problem(at, 'needs `cluster` or `weighted_clusters` with weights above 0');
  return {
    kind: 'tcp',
    listenerName: context.listenerName,
    checks,
    clusters,
    totalWeight,
    idleTimeoutMs: proxy.idleTimeout === undefined ? DEFAULT_IDLE_TIMEOUT_MS : durationMs(proxy.idleTimeout),
    maxDurationMs:
      proxy.maxDownstreamConnectionDuration === undefined ? 0 : durationMs(proxy.maxDownstreamConnectionDuration),
    maxConnectAttempts: proxy.maxConnectAttempts ?? 1,
    hashesSource: proxy.hashPolicy.length > 0,
    forwardPort,
    tunnel: compileTunnel(proxy),
    inbound: context.inbound,
    exchangeProtocol,
    metricScope: stats === undefined ? 0 : context.scopes.scopeOf(context.inbound, stats),
    accessLog: compileAccessLog(proxy, context, at),
    draining: false,
  };
}

function compileTunnel({ tunnelingConfig: tunnel }: TcpProxy): TcpChain['tunnel'] {
  if (tunnel === undefined) return undefined;
  return {
    target: tunnel.hostname,
    postPath: tunnel.usePost ? tunnel.postPath || '/' : undefined,
    headers: compileTunnelHeaders(tunnel.headersToAdd),
  };
}

function weightedClusters({ clusterSpecifier }: TcpProxy): WeightedCluster[] {
  if (clusterSpecifier.case === 'cluster') return [{ name: clusterSpecifier.value, weight: 1 }];
  if (clusterSpecifier.case !== 'weightedClusters') return [];
  return clusterSpecifier.value.clusters.map(({ name, weight }) => ({ name, weight }));
}

function compileAccessLog(proxy: TcpProxy, context: TcpProxyContext, at: string): TcpChain['accessLog'] {
  if (proxy.accessLog.length === 0) return undefined;
  try {
    return context.options.createAccessLogSink?.(proxy.accessLog, context.listenerName);
  } catch (error) {
    context.problem(`${at}.access_log`, (error as Error).message);
    return undefined;
  }
}
