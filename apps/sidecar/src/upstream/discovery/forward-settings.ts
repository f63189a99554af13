// Discovery: the settings of a cluster that goes where each request says (Envoy's dynamic forward proxy).

import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type Cluster,
  Cluster_DnsLookupFamily as Family,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterConfigSchema } from '@lateen/xds-proto/envoy/extensions/clusters/dynamic_forward_proxy/v3/cluster_pb.js';
import type { DnsCacheConfig } from '@lateen/xds-proto/envoy/extensions/common/dynamic_forward_proxy/v3/dns_cache_pb.js';
import { durationMs } from '../upstream-cluster.js';
import { FAMILIES } from './dns-settings.js';
import type { WantedFamilies } from './name-resolver.js';

/** Envoy's defaults. */
const DEFAULT_REFRESH_MS = 60_000;
const DEFAULT_HOST_TTL_MS = 300_000;
const DEFAULT_MAX_HOSTS = 1024;

export interface ForwardSettings extends WantedFamilies {
  /** How long an answer without a time to live is used. */
  readonly refreshMs: number;
  /** How long it is remembered that a host could not be resolved: at first, doubling up to at most. */
  readonly failureMs: number;
  readonly maxFailureMs: number;
  /** A host that is not called for so long is forgotten. */
  readonly hostTtlMs: number;
  readonly maxHosts: number;
  readonly typedDnsResolverConfig: DnsCacheConfig['typedDnsResolverConfig'];
}

/** Undefined for a cluster of another type. */
export function readForwardSettings({ clusterDiscoveryType }: Cluster): ForwardSettings | undefined {
  if (clusterDiscoveryType.case !== 'clusterType') return undefined;
  const { typedConfig } = clusterDiscoveryType.value;
  if (typedConfig === undefined || !anyIs(typedConfig, ClusterConfigSchema)) return undefined;
  const { clusterImplementationSpecifier: specifier } = unpackAny(typedConfig, ClusterConfigSchema);
  if (specifier.case !== 'dnsCacheConfig') return undefined;
  const { dnsLookupFamily: family, dnsRefreshRate, hostTtl, maxHosts, typedDnsResolverConfig } = specifier.value;
  const refreshMs = dnsRefreshRate === undefined ? DEFAULT_REFRESH_MS : durationMs(dnsRefreshRate);
  const failure = specifier.value.dnsFailureRefreshRate;
  const failureMs = failure?.baseInterval === undefined ? refreshMs : durationMs(failure.baseInterval);
  return {
    families: FAMILIES[family],
    allFamilies: family === Family.ALL,
    refreshMs,
    failureMs,
    // Envoy: ten times the base where only that is given.
    maxFailureMs:
      failure?.maxInterval !== undefined
        ? durationMs(failure.maxInterval)
        : failure === undefined
          ? failureMs
          : failureMs * 10,
    hostTtlMs: hostTtl === undefined ? DEFAULT_HOST_TTL_MS : durationMs(hostTtl),
    maxHosts: maxHosts ?? DEFAULT_MAX_HOSTS,
    typedDnsResolverConfig,
  };
}
