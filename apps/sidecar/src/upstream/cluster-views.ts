// Upstream: the admin API's view of clusters and endpoints.

import {
  CLUSTER_STATE_BYTES,
  CLUSTER_STATE_PENDING,
  CLUSTER_STATES,
  ENDPOINT_STATE_ACTIVE,
  ENDPOINT_STATE_BYTES,
  ENDPOINT_STATES,
} from '@lateen/filters-wasm';
import { HealthStatus } from '@lateen/xds-proto/envoy/config/core/v3/health_check_pb.js';
import type { ClusterView, EndpointView } from '../data-plane.js';
import { ClusterCounts, clusterCounts } from '../observe/cluster-counts.js';
import type { DataPath } from '../transport/data-path.js';
import type { Endpoint } from './endpoint.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import type { UpstreamSet } from './upstream-set.js';

/** Envoy's defaults where a cluster sets no thresholds. */
const DEFAULT_LIMIT = 1024;
const DEFAULT_MAX_RETRIES = 3;

/** What is true at the moment of the call. */
export function clusterViews(path: DataPath, upstreams: UpstreamSet): ClusterView[] {
  return upstreams.clusters.map(({ cluster }) => clusterView(path, upstreams, cluster));
}

function clusterView(path: DataPath, upstreams: UpstreamSet, cluster: UpstreamCluster): ClusterView {
  const [thresholds] = cluster.config.circuitBreakers?.thresholds ?? [];
  const state = CLUSTER_STATES + cluster.slot * CLUSTER_STATE_BYTES;
  return {
    name: cluster.name,
    statName: cluster.statName,
    maxConnections: thresholds?.maxConnections ?? DEFAULT_LIMIT,
    maxPendingRequests: thresholds?.maxPendingRequests ?? DEFAULT_LIMIT,
    maxRequests: thresholds?.maxRequests ?? DEFAULT_LIMIT,
    maxRetries: thresholds?.maxRetries ?? DEFAULT_MAX_RETRIES,
    outliers: upstreams.outliersOf(cluster),
    health: upstreams.healthOf(cluster),
    counts: clusterCounts(path, cluster.slot) ?? new ClusterCounts(cluster.name),
    rqPending: path.core.i32[(state + CLUSTER_STATE_PENDING) >> 2]!,
    endpoints: upstreams.endpointsOf(cluster).map((endpoint) => endpointView(path, endpoint)),
  };
}

function endpointView(path: DataPath, endpoint: Endpoint): EndpointView {
  const { stats, config } = endpoint;
  const health = config?.healthStatus ?? HealthStatus.UNKNOWN;
  const host = config?.hostIdentifier;
  return {
    address: endpoint.address,
    port: endpoint.port,
    hostname: host?.case === 'endpoint' ? host.value.hostname : '',
    healthy: health === HealthStatus.UNKNOWN || health === HealthStatus.HEALTHY || health === HealthStatus.DEGRADED,
    edsHealth: HealthStatus[health],
    ejected: endpoint.outlier?.ejected ?? false,
    failing: endpoint.health?.failing ?? false,
    unchecked: endpoint.health?.uncounted ?? false,
    checkTimedOut: endpoint.health?.timedOut ?? false,
    weight: config?.loadBalancingWeight ?? 1,
    locality: endpoint.locality,
    priority: endpoint.priority,
    ...(endpoint.requestedAtMs > 0 ? { requested: true } : {}),
    cxActive: endpoint.connectionCount,
    cxTotal: stats.cxTotal,
    cxConnectFail: stats.cxConnectFail,
    rqActive: path.core.i32[(ENDPOINT_STATES + endpoint.slot * ENDPOINT_STATE_BYTES + ENDPOINT_STATE_ACTIVE) >> 2]!,
    rqTotal: stats.rqTotal,
    rqSuccess: stats.rqSuccess,
    rqError: stats.rqError,
    rqTimeout: stats.rqTimeout,
  };
}
