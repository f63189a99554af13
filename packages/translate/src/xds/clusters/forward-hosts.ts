// Build: clusters that go to the host that each request names (Envoy's dynamic forward proxy), and their HTTP filter.

import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  type Cluster,
  Cluster_CustomClusterTypeSchema,
  Cluster_DnsLookupFamily,
  Cluster_LbPolicy,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { type Filter, FilterSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { ClusterConfigSchema } from '@lateen/xds-proto/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.js';
import {
  type DnsCacheConfig,
  DnsCacheConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache_pb.js';
import { FilterConfigSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/dynamic_forward_proxy/v3/dynamic_forward_proxy_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { FilterConfigSchema as ServerNameForwardSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3/sni_dynamic_forward_proxy_pb.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import { durationOfMs, durationOfText } from '../durations.js';

/** Istio's default of MeshConfig `dnsRefreshRate`. */
const DNS_REFRESH_MS = 60_000;

/** How often names are resolved where their records have no time to live. */
export function dnsRefreshRate({ dnsRefreshRate: rate }: MeshConfig) {
  return durationOfText(rate) ?? durationOfMs(DNS_REFRESH_MS);
}

/**
 * Envoy has one cache for all clusters and filters that name it, and refuses other settings under the same name for as
 * long as anything still uses it: so the name says the settings.
 */
function dnsCache(meshConfig: MeshConfig): DnsCacheConfig {
  const rate = dnsRefreshRate(meshConfig);
  const rateMs = Number(rate.seconds) * 1000 + rate.nanos / 1e6;
  return create(DnsCacheConfigSchema, {
    name: `forward_hosts_${rateMs}ms`,
    dnsLookupFamily: Cluster_DnsLookupFamily.V4_ONLY,
    dnsRefreshRate: rate,
  });
}

/** The fields that make a cluster go where each request says. */
export function forwardDiscovery(meshConfig: MeshConfig): Pick<Cluster, 'clusterDiscoveryType' | 'lbPolicy'> {
  const config = create(ClusterConfigSchema, {
    clusterImplementationSpecifier: { case: 'dnsCacheConfig', value: dnsCache(meshConfig) },
    // Else Envoy wants settings of TLS, which these calls have not.
    allowInsecureClusterOptions: true,
  });
  const value = create(Cluster_CustomClusterTypeSchema, {
    name: 'envoy.clusters.dynamic_forward_proxy',
    typedConfig: packAny(ClusterConfigSchema, config),
  });
  return { clusterDiscoveryType: { case: 'clusterType', value }, lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED };
}

/** Lets requests wait for DNS; does nothing for those of other clusters. */
export function forwardFilter(meshConfig: MeshConfig): HttpFilter {
  const config = create(FilterConfigSchema, {
    implementationSpecifier: { case: 'dnsCacheConfig', value: dnsCache(meshConfig) },
  });
  return create(HttpFilterSchema, {
    name: 'envoy.filters.http.dynamic_forward_proxy',
    configType: { case: 'typedConfig', value: packAny(FilterConfigSchema, config) },
  });
}

/** Lets connections wait for DNS, whose host is the one that their ClientHello names. */
export function serverNameForwardFilter(meshConfig: MeshConfig, port: number): Filter {
  const config = create(ServerNameForwardSchema, {
    dnsCacheConfig: dnsCache(meshConfig),
    portSpecifier: { case: 'portValue', value: port },
  });
  return create(FilterSchema, {
    name: 'envoy.filters.network.sni_dynamic_forward_proxy',
    configType: { case: 'typedConfig', value: packAny(ServerNameForwardSchema, config) },
  });
}

/** A wildcard that nobody resolved: only the request knows the host. */
export function goesWhereRequestsSay({ hostname, resolution }: MeshService, intercepted: boolean): boolean {
  return resolution === 'FORWARD' || (resolution === 'PASSTHROUGH' && !intercepted && hostname.startsWith('*'));
}

/** Whether calls without interception may go where they say. */
export function forwardsHosts({ destinations }: ClientScope): boolean {
  return destinations.some((service) => goesWhereRequestsSay(service, false));
}
