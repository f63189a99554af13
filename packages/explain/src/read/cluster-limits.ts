// Read: what bounds the use of a cluster: circuit breakers, outlier detection, the time for connecting.

import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { ExplainedCluster } from '../explanation.js';
import { durationMs } from './route-policy.js';

export type ClusterLimits = Pick<ExplainedCluster, 'circuitBreaker' | 'outlierDetection' | 'connectTimeoutMs'>;

/** Pilot writes what has no bound as the largest number. */
const UNBOUNDED = 0xff_ff_ff_ff;
/** What Envoy does where nothing is said. */
const DEFAULTS = { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 1024, maxRetries: 3 };

/** Of no cluster at all: nothing is bounded. */
export function clusterLimits(cluster: Cluster | undefined): ClusterLimits {
  const thresholds = cluster?.circuitBreakers?.thresholds[0];
  const bound = (name: keyof typeof DEFAULTS) => {
    const value = cluster === undefined ? UNBOUNDED : (thresholds?.[name] ?? DEFAULTS[name]);
    return value === UNBOUNDED ? null : value;
  };
  const outliers = cluster?.outlierDetection;
  return {
    circuitBreaker: {
      maxConnections: bound('maxConnections'),
      maxPendingRequests: bound('maxPendingRequests'),
      maxRequests: bound('maxRequests'),
      maxRetries: thresholds?.retryBudget === undefined ? bound('maxRetries') : null,
    },
    outlierDetection:
      outliers === undefined
        ? null
        : {
            consecutive5xxErrors: enforcedCount(outliers.consecutive5xx, outliers.enforcingConsecutive5xx),
            consecutiveGatewayErrors: enforcedCount(
              outliers.consecutiveGatewayFailure,
              outliers.enforcingConsecutiveGatewayFailure,
            ),
            intervalMs: durationMs(outliers.interval) ?? null,
            baseEjectionTimeMs: durationMs(outliers.baseEjectionTime) ?? null,
            maxEjectionPercent: outliers.maxEjectionPercent ?? null,
          },
    connectTimeoutMs: durationMs(cluster?.connectTimeout) ?? null,
  };
}

function enforcedCount(count: number | undefined, enforced: number | undefined): number | null {
  return enforced === 0 || count === undefined ? null : count;
}
