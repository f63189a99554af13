// Original destination: the settings of a cluster whose connections go on to where they were opened to (type ORIGINAL_DST).

import { type Cluster, Cluster_DiscoveryType } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { durationMs } from '../upstream-cluster.js';

/** Envoy's defaults. */
const DEFAULT_CLEANUP_MS = 5_000;
const DEFAULT_HEADER = 'x-envoy-original-dst-host';

export interface OriginalSettings {
  /** Lower case; a request may name another destination by it. Undefined: none may. */
  readonly header: string | undefined;
  /** In the place of the destination's own. */
  readonly port: number | undefined;
  /** How often destinations are forgotten that nobody has used since. */
  readonly cleanupMs: number;
}

/** Undefined for a cluster of another type. */
export function readOriginalSettings(cluster: Cluster): OriginalSettings | undefined {
  const { clusterDiscoveryType: type, lbConfig, cleanupInterval } = cluster;
  if (type.case !== 'type' || type.value !== Cluster_DiscoveryType.ORIGINAL_DST) return undefined;
  const config = lbConfig.case === 'originalDstLbConfig' ? lbConfig.value : undefined;
  return {
    header: config?.useHttpHeader ? (config.httpHeaderName || DEFAULT_HEADER).toLowerCase() : undefined,
    port: config?.upstreamPortOverride,
    cleanupMs: cleanupInterval === undefined ? DEFAULT_CLEANUP_MS : durationMs(cleanupInterval),
  };
}
