// A cluster's endpoints, balancing policy and circuit breakers as one table.

import {
  CircuitBreakers_ThresholdsSchema,
  CircuitBreakersSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/circuit_breaker_pb.js';
import {
  type Cluster,
  Cluster_CommonLbConfigSchema,
  Cluster_DiscoveryType as DiscoveryType,
} from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RoutingPriority } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { HealthStatus } from '@lateen/xds-proto/envoy/config/core/v3/health_check_pb.js';
import {
  type Endpoint,
  type LbEndpoint,
  LbEndpointSchema,
  type LocalityLbEndpoints,
  LocalityLbEndpointsSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import * as T from '../table-layout.js';
import { readLoadBalancing } from './balancing/load-balancing.js';
import { isLocalityWeighted, writePriorities } from './balancing/priorities.js';
import * as P from './balancing/priority-layout.js';
import { BlobWriter } from './blob-writer.js';
import { type Hash64, writeChoicesByHash } from './hashing/consistent-hashing.js';
import { CLUSTER_RETRY_BUDGET, RETRY_BUDGET_SET } from './limits/budget-layout.js';
import { partOf, type Share } from './limits/share.js';
import type { ProblemList } from './problems.js';
import { hasOtherFields, join, refuseOtherFields } from './supported-fields.js';

/** Envoy's defaults, in the order of LIMIT_*. */
const DEFAULT_LIMITS = [1024, 1024, 1024, 3] as const;

/** An endpoint that can be dialled. */
export interface EndpointAddress {
  readonly address: string;
  readonly port: number;
  readonly lbEndpoint: LbEndpoint;
  readonly weight: number;
  readonly priority: number;
  /** The endpoints that it stands among. */
  readonly group: LocalityLbEndpoints;
  /** Place of its locality in the assignment, and that one's weight (0 where it has none). */
  readonly locality: number;
  readonly localityWeight: number;
}

/** The table's bytes. `endpointSlot` gives each endpoint its stable slot; circuit breakers are this process's part of them. */
export function writeCluster(
  problems: ProblemList,
  cluster: Cluster,
  assignment: ClusterLoadAssignment | undefined,
  endpointSlot: (endpoint: EndpointAddress) => number,
  hash64: Hash64,
  share: Share,
): Uint8Array {
  checkCommonLb(problems, cluster);
  const { clusterDiscoveryType: discovery } = cluster;
  // A custom type goes where each request says: its endpoints are added one by one, and never picked.
  const originalDestination =
    discovery.case === 'clusterType' || (discovery.case === 'type' && discovery.value === DiscoveryType.ORIGINAL_DST);
  const balancing = originalDestination
    ? { policy: T.LB_ORIGINAL_DESTINATION, choices: 2 }
    : readLoadBalancing(problems, cluster);
  const endpoints = originalDestination || assignment === undefined ? [] : readEndpoints(problems, assignment);
  endpoints.sort((a, b) => a.priority - b.priority || a.locality - b.locality);

  const blob = new BlobWriter();
  blob.reserve(T.CLUSTER_TABLE_BYTES);
  const external = originalDestination || cluster.metadata?.filterMetadata.istio?.external === true;
  const equal = endpoints.every((endpoint) => endpoint.weight === endpoints[0]!.weight);
  blob.int(T.CLUSTER_POLICY, balancing.policy);
  blob.int(T.CLUSTER_CHOICES, balancing.choices);
  blob.int(T.CLUSTER_FLAGS, (equal ? T.CLUSTER_FLAG_EQUAL_WEIGHTS : 0) | (external ? T.CLUSTER_FLAG_EXTERNAL : 0));
  blob.int(T.CLUSTER_ENDPOINT_COUNT, endpoints.length);
  const list = blob.reserve(endpoints.length * T.CLUSTER_ENDPOINT_BYTES);
  blob.int(T.CLUSTER_ENDPOINTS, list);
  const slots: number[] = [];
  let weightSum = 0;
  endpoints.forEach((endpoint, index) => {
    weightSum = endpoints[index - 1]?.priority === endpoint.priority ? weightSum + endpoint.weight : endpoint.weight;
    const at = list + index * T.CLUSTER_ENDPOINT_BYTES;
    const slot = endpointSlot(endpoint);
    slots.push(slot);
    blob.int(at, slot);
    blob.int(at + 4, endpoint.weight);
    blob.int(at + 8, endpoint.priority);
    if (weightSum > 0x7fffffff) problems.add('load_assignment', 'has weights that add up to more than 2^31 - 1');
    blob.int(at + 12, weightSum | 0);
  });
  const priorities = writePriorities(blob, endpoints, isLocalityWeighted(cluster));
  blob.int(P.CLUSTER_PANIC_THRESHOLD, Math.round((cluster.commonLbConfig?.healthyPanicThreshold?.value ?? 50) * 100));
  blob.int(P.CLUSTER_OVERPROVISIONING, assignment?.policy?.overprovisioningFactor ?? 140);
  if (balancing.hashing !== undefined) {
    const hosts = endpoints.map((endpoint, index) => ({ endpoint, slot: slots[index]! }));
    writeChoicesByHash(blob, balancing.hashing, priorities, hosts, isLocalityWeighted(cluster), hash64);
  }
  readLimits(problems, cluster).forEach((limit, index) => {
    blob.int(T.CLUSTER_LIMITS + index * 4, partOf(limit, share));
  });
  blob.int(CLUSTER_RETRY_BUDGET, readRetryBudget(problems, cluster, share));
  return blob.finish();
}

/** What would mean zone-aware routing or other hash functions is refused. */
function checkCommonLb(problems: ProblemList, cluster: Cluster): void {
  const config = cluster.commonLbConfig;
  if (config === undefined) return;
  refuseOtherFields(
    problems,
    'common_lb_config',
    Cluster_CommonLbConfigSchema,
    config,
    'healthy_panic_threshold locality_weighted_lb_config update_merge_window ignore_new_hosts_until_first_hc',
  );
}

function readLimits(problems: ProblemList, cluster: Cluster): readonly number[] {
  const breakers = cluster.circuitBreakers;
  if (breakers === undefined) return DEFAULT_LIMITS;
  refuseOtherFields(problems, 'circuit_breakers', CircuitBreakersSchema, breakers, 'thresholds');
  let limits: readonly number[] = DEFAULT_LIMITS;
  breakers.thresholds.forEach((threshold, index) => {
    refuseOtherFields(
      problems,
      `circuit_breakers.thresholds[${index}]`,
      CircuitBreakers_ThresholdsSchema,
      threshold,
      'priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining',
    );
    // Routes of high priority are refused, so thresholds for them never apply.
    if (threshold.priority !== RoutingPriority.DEFAULT) return;
    const given = [threshold.maxConnections, threshold.maxPendingRequests, threshold.maxRequests, threshold.maxRetries];
    limits = given.map((value, kind) => Math.min(value ?? DEFAULT_LIMITS[kind]!, 0x7fffffff));
  });
  return limits;
}

/** Envoy's defaults, in percent and in retries. */
const DEFAULT_BUDGET_PERCENT = 20;
const DEFAULT_MIN_RETRIES = 3;

/** In the form of CLUSTER_RETRY_BUDGET; 0 where the limit of retries counts. */
function readRetryBudget(problems: ProblemList, { circuitBreakers }: Cluster, share: Share): number {
  const index = circuitBreakers?.thresholds.findIndex(({ priority }) => priority === RoutingPriority.DEFAULT) ?? -1;
  const budget = circuitBreakers?.thresholds[index]?.retryBudget;
  if (budget === undefined) return 0;
  const path = `circuit_breakers.thresholds[${index}].retry_budget`;
  const percent = budget.budgetPercent?.value ?? DEFAULT_BUDGET_PERCENT;
  if (!(percent >= 0 && percent <= 100)) problems.add(`${path}.budget_percent`, 'must be from 0 to 100');
  const least = Math.min(partOf(budget.minRetryConcurrency ?? DEFAULT_MIN_RETRIES, share), 0xffff);
  return RETRY_BUDGET_SET | (Math.round(percent * 100) << 16) | least;
}

const LB_ENDPOINT_FIELDS = 'endpoint health_status metadata load_balancing_weight';

/** Healthy endpoints in order of appearance. */
function readEndpoints(problems: ProblemList, assignment: ClusterLoadAssignment): EndpointAddress[] {
  const path = 'load_assignment';
  refuseOtherFields(problems, path, ClusterLoadAssignmentSchema, assignment, 'cluster_name endpoints policy');
  if ((assignment.policy?.dropOverloads.length ?? 0) > 0)
    problems.add(`${path}.policy.drop_overloads`, 'is not supported');
  const endpoints: EndpointAddress[] = [];
  assignment.endpoints.forEach((locality, index) => {
    const where = `${path}.endpoints[${index}]`;
    refuseOtherFields(
      problems,
      where,
      LocalityLbEndpointsSchema,
      locality,
      'locality metadata lb_endpoints load_balancing_weight priority',
    );
    locality.lbEndpoints.forEach((lbEndpoint, place) => {
      const endpoint = readEndpoint(problems, where, place, lbEndpoint, locality, index);
      if (endpoint !== undefined) endpoints.push(endpoint);
    });
  });
  return endpoints;
}

function readEndpoint(
  problems: ProblemList,
  groupPath: string,
  index: number,
  lbEndpoint: LbEndpoint,
  group: LocalityLbEndpoints,
  locality: number,
): EndpointAddress | undefined {
  const { hostIdentifier, healthStatus, loadBalancingWeight: weight = 1 } = lbEndpoint;
  const place = hostIdentifier.case === 'endpoint' ? placeOf(hostIdentifier.value) : undefined;
  // There are ten thousands of them: the path is only made for those that something is wrong with.
  if (place === undefined || weight < 1 || hasOtherFields(LbEndpointSchema, lbEndpoint, LB_ENDPOINT_FIELDS)) {
    const path = join(groupPath, `lb_endpoints[${index}]`);
    refuseOtherFields(problems, path, LbEndpointSchema, lbEndpoint, LB_ENDPOINT_FIELDS);
    if (weight < 1) problems.add(join(path, 'load_balancing_weight'), 'must be at least 1');
    if (place === undefined)
      problems.add(join(path, 'endpoint.address'), 'must be a socket_address with port_value, or a pipe');
    return undefined;
  }
  const usable =
    healthStatus === HealthStatus.UNKNOWN ||
    healthStatus === HealthStatus.HEALTHY ||
    healthStatus === HealthStatus.DEGRADED;
  if (!usable) return undefined;
  return {
    address: place.address,
    port: place.port,
    lbEndpoint,
    weight,
    priority: group.priority,
    group,
    locality,
    localityWeight: group.loadBalancingWeight ?? 0,
  };
}

/** Where an endpoint is dialled; undefined where nobody could. */
function placeOf({ address }: Endpoint): { readonly address: string; readonly port: number } | undefined {
  const { address: kind } = address ?? {};
  if (kind?.case === 'pipe') return { address: kind.value.path, port: 0 };
  if (kind?.case !== 'socketAddress' || kind.value.portSpecifier.case !== 'portValue') return undefined;
  return { address: kind.value.address, port: kind.value.portSpecifier.value };
}
