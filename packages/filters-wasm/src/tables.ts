// Compiles decoded Envoy resources to tables in the inactive arena and swaps them in between two requests.
// Names become stable slots here: a slot means the same cluster, endpoint or route configuration before and after a swap.
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { HeaderValueOption } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type {
  LbEndpoint,
  LocalityLbEndpoints,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { LocalRateLimit } from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import type { RateLimitQuotaFilterConfig } from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import type { LimitSlots } from './compile/limits/limit-slots.js';
import type { QuotaBranches } from './compile/limits/quota-branches.js';
import type { CompileProblem, ProblemList } from './compile/problems.js';
import type { RouteStatistics } from './compile/statistics/route-statistics.js';

export interface ClusterInput {
  readonly cluster: Cluster;
  /** From EDS or DNS; absent means the cluster's own load_assignment. */
  readonly endpoints?: ClusterLoadAssignment | undefined;
}

export interface TableInput {
  /** Every route configuration in use, RDS and inline ones; inline ones need a unique name. */
  readonly routeConfigurations: readonly RouteConfiguration[];
  readonly clusters: readonly ClusterInput[];
  /** What a route configuration is called from one compilation to the next, where its name is not that. */
  readonly lastingName?: (name: string) => string;
  readonly nowMs: number;
}

/** Tables written to the inactive arena, or why not. Nothing that is in use has changed. */
export type CompileResult =
  | { readonly ok: true; readonly bytes: number; readonly problems: readonly [] }
  | { readonly ok: false; readonly problems: readonly CompileProblem[] };

/** What an endpoint slot stands for. The message is the one that was compiled last. */
export interface EndpointDescription {
  readonly slot: number;
  readonly clusterSlot: number;
  readonly clusterName: string;
  /** IP address, or the path of a pipe with port 0. */
  readonly address: string;
  readonly port: number;
  readonly lbEndpoint: LbEndpoint;
  /** The endpoints of its locality and priority; undefined where it is in no table. */
  readonly group?: LocalityLbEndpoints;
}

export interface Tables {
  /**
   * Compiles all resources into the inactive arena. Resources whose message object is the one compiled last are copied, not
   * compiled again, so pass the same objects for what did not change.
   */
  compile(input: TableInput): CompileResult;
  /** Puts the last successful compile() in use. Must be called between two requests. */
  activate(): void;
  /** Slot of the name; made on first use, so that a listener may refer to a configuration that comes later. -1 = too many. */
  routeConfigSlot(name: string): number;
  clusterSlot(name: string): number;
  clusterName(slot: number): string | undefined;
  /**
   * Gives an endpoint outside of the tables a slot: of a cluster that goes where each request says, which pick() answers
   * with PICK_ORIGINAL_DESTINATION. The same endpoint has the same slot; undefined where all are taken.
   */
  addEndpoint(
    clusterSlot: number,
    address: string,
    port: number,
    lbEndpoint: LbEndpoint,
    nowMs: number,
  ): EndpointDescription | undefined;
  /** Lets the slot of such an endpoint rest. */
  removeEndpoint(endpoint: Pick<EndpointDescription, 'clusterName' | 'address' | 'port'>, nowMs: number): void;
  /** The endpoint of a slot that pick() returned; stays known for exchanges that outlive a swap. */
  endpoint(slot: number): EndpointDescription | undefined;
  /** Endpoints of a cluster in the present tables. */
  endpointsOf(clusterSlot: number): readonly EndpointDescription[];
  /** Names of filters, and the counters of rate limits. */
  readonly limitSlots: LimitSlots;
  /** Counters of routes that have a stat_prefix; whoever forwards requests adds to them. */
  readonly routeStatistics: RouteStatistics;
  /**
   * Record of a rate limit that a listener's filter has, for ListenerOptions.rateLimits; undefined where it limits nothing.
   * `bucketName` is what its tokens are kept under from one configuration to the next.
   */
  rateLimit(config: LocalRateLimit, path: string, bucketName: string, problems: ProblemList): Uint8Array | undefined;
  /** Policy record with the headers of the refusals of a filter that asks a service, for ListenerOptions.asks. */
  refusalHeaders(headers: readonly HeaderValueOption[], path: string, problems: ProblemList): Uint8Array;
  /** What the buckets of quota filters are called. */
  readonly quotaBranches: QuotaBranches;
  /** Record of a quota filter `name`, for ListenerOptions.quotas. `tells`: QUOTA_TOLD says what it leaves. */
  quota(
    name: string,
    config: RateLimitQuotaFilterConfig,
    path: string,
    problems: ProblemList,
    tells?: boolean,
  ): Uint8Array;
  /** Bytes of the arena in use. */
  readonly bytes: number;
}

export {
  clusterStateOffset,
  createTables,
  endpointStateOffset,
  overflowsOf,
  setEjected,
  setUnusable,
} from './compile/create-tables.js';
