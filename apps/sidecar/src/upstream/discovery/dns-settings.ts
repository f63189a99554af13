// Discovery: a cluster's DNS settings, with Envoy's defaults.

import type { Duration } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type Cluster,
  Cluster_DiscoveryType,
  Cluster_DnsLookupFamily as Family,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Address } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import type { TypedExtensionConfig } from '@lateen/xds-proto/envoy/config/core/v3/extension_pb.js';
import { CaresDnsResolverConfigSchema } from '@lateen/xds-proto/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver_pb.js';
import { GetAddrInfoDnsResolverConfigSchema } from '@lateen/xds-proto/envoy/extensions/network/dns_resolver/getaddrinfo/v3/getaddrinfo_dns_resolver_pb.js';
import { durationMs } from '../upstream-cluster.js';
import { DnsResolver, type NameResolver, SystemResolver } from './name-resolver.js';

const DEFAULT_REFRESH_MS = 5_000;

export interface DnsSettings {
  /** One address, which stays as long as the name has it (LOGICAL_DNS), or all of them (STRICT_DNS). */
  readonly logical: boolean;
  /** Families in the order in which they are tried; `all` takes both. */
  readonly families: readonly (4 | 6)[];
  readonly allFamilies: boolean;
  readonly refreshMs: number;
  readonly respectTtl: boolean;
  /** The wait after a failure grows from the first to the second. */
  readonly failureRefreshMs: { readonly base: number; readonly max: number };
  /** Whether listeners and routes wait for the first answer. */
  readonly waitForFirst: boolean;
}

/** By `dns_lookup_family`. */
export const FAMILIES: Readonly<Record<Family, readonly (4 | 6)[]>> = {
  [Family.AUTO]: [6, 4],
  [Family.V4_ONLY]: [4],
  [Family.V6_ONLY]: [6],
  [Family.V4_PREFERRED]: [4, 6],
  [Family.ALL]: [4, 6],
};

/** Undefined for a cluster of another type. */
export function readDnsSettings(cluster: Cluster): DnsSettings | undefined {
  const { clusterDiscoveryType: type } = cluster;
  if (type.case !== 'type') return undefined;
  if (type.value !== Cluster_DiscoveryType.STRICT_DNS && type.value !== Cluster_DiscoveryType.LOGICAL_DNS) {
    return undefined;
  }
  const refreshMs = msOr(cluster.dnsRefreshRate, DEFAULT_REFRESH_MS);
  const failure = cluster.dnsFailureRefreshRate;
  const base = msOr(failure?.baseInterval, refreshMs);
  return {
    logical: type.value === Cluster_DiscoveryType.LOGICAL_DNS,
    families: FAMILIES[cluster.dnsLookupFamily],
    allFamilies: cluster.dnsLookupFamily === Family.ALL,
    refreshMs,
    respectTtl: cluster.respectDnsTtl,
    // Envoy: ten times the base where only that is given.
    failureRefreshMs: { base, max: msOr(failure?.maxInterval, failure === undefined ? base : base * 10) },
    waitForFirst: cluster.waitForWarmOnInit ?? true,
  };
}

/**
 * The resolver that a cluster asks for, or else the bootstrap file's, or else DNS with the system's servers.
 * @param ofBootstrap `typed_dns_resolver_config` of the bootstrap file
 */
export function createNameResolver(
  { typedDnsResolverConfig }: Pick<Cluster, 'typedDnsResolverConfig'>,
  ofBootstrap: TypedExtensionConfig | undefined,
): NameResolver {
  const config = (typedDnsResolverConfig ?? ofBootstrap)?.typedConfig;
  if (config !== undefined && anyIs(config, GetAddrInfoDnsResolverConfigSchema)) return new SystemResolver();
  if (config === undefined || !anyIs(config, CaresDnsResolverConfigSchema)) {
    return new DnsResolver({ servers: [], exactNames: false });
  }
  const { resolvers, dnsResolverOptions } = unpackAny(config, CaresDnsResolverConfigSchema);
  return new DnsResolver({
    servers: resolvers.flatMap(serverOf),
    exactNames: dnsResolverOptions?.noDefaultSearchDomain ?? false,
  });
}

function serverOf({ address }: Address): string[] {
  if (address.case !== 'socketAddress') return [];
  const { address: host, portSpecifier } = address.value;
  const port = portSpecifier.case === 'portValue' ? portSpecifier.value : 53;
  return [host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`];
}

function msOr(duration: Duration | undefined, otherwise: number): number {
  return duration === undefined ? otherwise : durationMs(duration);
}
