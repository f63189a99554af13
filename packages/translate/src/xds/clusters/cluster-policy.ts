// Build: a DestinationRule's traffic policy as fields of a cluster.

import { create } from '@bufbuild/protobuf';
import type { ConnectionPoolSettings, LoadBalancerSettings, MeshConfig, TrafficPolicy } from '@lateen/istio-config';
import {
  type CircuitBreakers,
  CircuitBreakersSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/circuit_breaker_pb.js';
import {
  type Cluster,
  Cluster_LbPolicy,
  Cluster_LeastRequestLbConfigSchema,
  Cluster_MaglevLbConfigSchema,
  Cluster_RingHashLbConfigSchema,
  Cluster_RoundRobinLbConfigSchema,
  type Cluster_SlowStartConfig,
  Cluster_SlowStartConfigSchema,
  type UpstreamConnectionOptions,
  UpstreamConnectionOptionsSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { durationOfText } from '../durations.js';

type ConsistentHash = NonNullable<NonNullable<TrafficPolicy['loadBalancer']>['consistentHash']>;

/** Istio's defaults: no limit, so that a burst of retries while pods change does not trip the breaker. */
const NO_LIMIT = 4_294_967_295;

/** Of the requests under way, and in any case. */
const DEFAULT_BUDGET_PERCENT = 20;
const DEFAULT_MIN_RETRIES = 3;

function limit(value: number | undefined): number {
  return value !== undefined && value > 0 ? value : NO_LIMIT;
}

/** Circuit breakers; a setting that is absent or 0 means no limit, as in Istio. */
export function circuitBreakersOf({ connectionPool: pool, retryBudget }: TrafficPolicy): CircuitBreakers {
  return create(CircuitBreakersSchema, {
    thresholds: [
      {
        maxConnections: limit(pool?.tcp?.maxConnections),
        maxPendingRequests: limit(pool?.http?.http1MaxPendingRequests),
        maxRequests: limit(pool?.http?.http2MaxRequests),
        maxRetries: limit(pool?.http?.maxRetries),
        retryBudget: retryBudget && {
          budgetPercent: { value: retryBudget.percent ?? DEFAULT_BUDGET_PERCENT },
          minRetryConcurrency: retryBudget.minRetryConcurrency ?? DEFAULT_MIN_RETRIES,
        },
        trackRemaining: true,
      },
    ],
  });
}

/** The load balancing policy and its settings; what is not set, or cannot be done, is LEAST_REQUEST. */
export function loadBalancingOf({ loadBalancer }: TrafficPolicy): Pick<Cluster, 'lbPolicy' | 'lbConfig'> {
  if (loadBalancer?.consistentHash !== undefined) return hashingOf(loadBalancer.consistentHash);
  const slowStartConfig = slowStartOf(loadBalancer);
  switch (loadBalancer?.simple) {
    case 'ROUND_ROBIN':
      return { lbPolicy: Cluster_LbPolicy.ROUND_ROBIN, lbConfig: roundRobin(slowStartConfig) };
    case 'RANDOM':
    // Where a call was going is an address that stands for the whole service, and any of its endpoints answers there.
    case 'PASSTHROUGH':
      return { lbPolicy: Cluster_LbPolicy.RANDOM, lbConfig: { case: undefined } };
    default:
      return { lbPolicy: Cluster_LbPolicy.LEAST_REQUEST, lbConfig: leastRequest(slowStartConfig) };
  }
}

function roundRobin(slowStartConfig: Cluster_SlowStartConfig | undefined): Cluster['lbConfig'] {
  if (slowStartConfig === undefined) return { case: undefined };
  return { case: 'roundRobinLbConfig', value: create(Cluster_RoundRobinLbConfigSchema, { slowStartConfig }) };
}

function leastRequest(slowStartConfig: Cluster_SlowStartConfig | undefined): Cluster['lbConfig'] {
  if (slowStartConfig === undefined) return { case: undefined };
  return { case: 'leastRequestLbConfig', value: create(Cluster_LeastRequestLbConfigSchema, { slowStartConfig }) };
}

/** Envoy's runtime knows no such key, and asks for one. */
const NO_RUNTIME_KEY = 'lateen.not-set';
/** Istio's defaults: the share grows evenly, from a tenth. */
const DEFAULT_AGGRESSION = 1;
const DEFAULT_MINIMUM_PERCENT = 10;

/** How new endpoints get their share; of the old form only the duration is said, and the rest is Envoy's defaults. */
function slowStartOf(loadBalancer: LoadBalancerSettings | undefined): Cluster_SlowStartConfig | undefined {
  const { warmup, warmupDurationSecs } = loadBalancer ?? {};
  if (warmup === undefined) {
    const slowStartWindow = durationOfText(warmupDurationSecs);
    return slowStartWindow && create(Cluster_SlowStartConfigSchema, { slowStartWindow });
  }
  const { duration, aggression = DEFAULT_AGGRESSION, minimumPercent = DEFAULT_MINIMUM_PERCENT } = warmup;
  return create(Cluster_SlowStartConfigSchema, {
    slowStartWindow: durationOfText(duration),
    aggression: { defaultValue: aggression, runtimeKey: NO_RUNTIME_KEY },
    minWeightPercent: { value: minimumPercent },
  });
}

/** A ring unless Maglev is asked for; sizes that are absent or 0 are Envoy's defaults, as in Istio. */
function hashingOf(hash: ConsistentHash): Pick<Cluster, 'lbPolicy' | 'lbConfig'> {
  if (hash.maglev !== undefined) {
    const tableSize = hash.maglev.tableSize ? BigInt(hash.maglev.tableSize) : undefined;
    const value = create(Cluster_MaglevLbConfigSchema, { tableSize });
    return { lbPolicy: Cluster_LbPolicy.MAGLEV, lbConfig: { case: 'maglevLbConfig', value } };
  }
  const size = hash.ringHash?.minimumRingSize || hash.minimumRingSize;
  const value = create(Cluster_RingHashLbConfigSchema, { minimumRingSize: size ? BigInt(size) : undefined });
  return { lbPolicy: Cluster_LbPolicy.RING_HASH, lbConfig: { case: 'ringHashLbConfig', value } };
}

/** Keep-alive probes of TCP: the rule's, each setting over the mesh's; undefined where none are asked for. */
export function connectionOptionsOf(
  pool: ConnectionPoolSettings | undefined,
  { tcpKeepalive }: MeshConfig,
): UpstreamConnectionOptions | undefined {
  if (pool?.tcp?.tcpKeepalive === undefined && tcpKeepalive === undefined) return undefined;
  const keepalive = { ...tcpKeepalive, ...pool?.tcp?.tcpKeepalive };
  const seconds = (text: string | undefined) => {
    const duration = durationOfText(text);
    return duration === undefined ? undefined : Math.max(1, Number(duration.seconds));
  };
  return create(UpstreamConnectionOptionsSchema, {
    tcpKeepalive: {
      keepaliveProbes: keepalive.probes || undefined,
      keepaliveTime: seconds(keepalive.time),
      keepaliveInterval: seconds(keepalive.interval),
    },
  });
}
