// The table compiler's owner: slots by name, two arenas, and the swap. See tables.ts for what it promises.
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { Core } from '../core.js';
import * as L from '../layout.js';
import { createSlotNames } from '../slot-names.js';
import * as T from '../table-layout.js';
import type { ClusterInput, CompileResult, EndpointDescription, TableInput, Tables } from '../tables.js';
import * as P from './balancing/priority-layout.js';
import { type EndpointAddress, writeCluster } from './cluster.js';
import { HASH64_RESULT } from './hashing/hash-layout.js';
import { createLimitSlots } from './limits/limit-slots.js';
import { createQuotaBranches } from './limits/quota-branches.js';
import { writeQuotaFilter } from './limits/quota-filter.js';
import { compileReplyHeaders, writeRateLimit } from './limits/rate-limit.js';
import { type Share, WHOLE } from './limits/share.js';
import { type CompileProblem, ProblemList } from './problems.js';
import { writeRouteConfiguration } from './route-configuration.js';
import { createRouteStatistics } from './statistics/route-statistics.js';

/** A table and what must be kept alive with it. */
interface CompiledRoutes {
  readonly source: RouteConfiguration;
  readonly slot: number;
  readonly bytes: Uint8Array;
  readonly clusterNames: ReadonlySet<string>;
  readonly policies: ReadonlySet<number>;
  /** Names of the token buckets of its rate limits. */
  readonly buckets: ReadonlySet<string>;
}

interface CompiledCluster {
  readonly source: Cluster;
  readonly assignment: ClusterLoadAssignment | undefined;
  readonly slot: number;
  readonly bytes: Uint8Array;
  readonly endpoints: readonly EndpointDescription[];
  /** Names of the endpoints' slots, in the same order. */
  readonly endpointNames: readonly string[];
}

interface CompiledResources {
  readonly routes: ReadonlyMap<string, CompiledRoutes>;
  readonly clusters: ReadonlyMap<string, CompiledCluster>;
}

/** Everything that one compile() made, waiting for activate(). */
interface Compilation extends CompiledResources {
  readonly arena: number;
  readonly bytes: number;
  readonly nowMs: number;
  readonly routeOffsets: ReadonlyMap<number, number>;
  readonly clusterOffsets: ReadonlyMap<number, number>;
}

/** Makes the tables of a core; one for each core. What limits a proxy is written as `share` of it. */
export function createTables(core: Core, share: Share = WHOLE): Tables {
  const { i32 } = core;
  const routeConfigs = createSlotNames(
    L.ROUTE_CONFIG_SLOT_COUNT,
    () => true,
    (slot) => {
      i32[(L.ROUTE_CONFIG_SLOTS + slot * 4) >> 2] = 0;
    },
  );
  const clusterState = (slot: number) => (L.CLUSTER_STATES + slot * L.CLUSTER_STATE_BYTES) >> 2;
  const clusters = createSlotNames(
    L.CLUSTER_SLOT_COUNT,
    (slot) => i32.subarray(clusterState(slot) + 1, clusterState(slot) + 5).every((used) => used === 0),
    (slot) => i32.fill(0, clusterState(slot), clusterState(slot) + L.CLUSTER_STATE_BYTES / 4),
  );
  const endpointState = (slot: number) => (L.ENDPOINT_STATES + slot * L.ENDPOINT_STATE_BYTES) >> 2;
  const endpoints = createSlotNames(
    L.ENDPOINT_SLOT_COUNT,
    (slot) => i32[endpointState(slot)] === 0,
    (slot) => i32.fill(0, endpointState(slot), endpointState(slot) + L.ENDPOINT_STATE_BYTES / 4),
  );
  const limitSlots = createLimitSlots(core);
  const routeStatistics = createRouteStatistics();
  const quotaBranches = createQuotaBranches();
  const descriptions: (EndpointDescription | undefined)[] = [];
  let arena = L.TABLE_ARENA_B;
  let active: Compilation | undefined;
  let waiting: Compilation | undefined;

  const hashes = new Map<string, number>();
  function hashName(name: string): number {
    let hash = hashes.get(name);
    if (hash === undefined) {
      if (hashes.size > 100_000) hashes.clear();
      const length = core.bytes.write(name, L.VALUE_SCRATCH, L.VALUE_SCRATCH_BYTES, 'utf8');
      hash = core.wasm.hashName(L.VALUE_SCRATCH, length);
      hashes.set(name, hash);
    }
    return hash;
  }

  function hash64(text: string, seed: number): { readonly high: number; readonly low: number } {
    const length = core.bytes.write(text, L.VALUE_SCRATCH, L.VALUE_SCRATCH_BYTES, 'utf8');
    core.wasm.hash64(L.VALUE_SCRATCH, length, seed);
    return { high: i32[(HASH64_RESULT + 4) >> 2]! >>> 0, low: i32[HASH64_RESULT >> 2]! >>> 0 };
  }

  function compileRoutes(config: RouteConfiguration, input: TableInput, all: CompileProblem[]): CompiledRoutes {
    const { nowMs } = input;
    const known = active?.routes.get(config.name);
    if (known?.source === config) return known;
    const problems = new ProblemList('RouteConfiguration', config.name);
    const slot = routeConfigs.slot(config.name, nowMs);
    if (slot < 0) problems.add('', `is one too many: at most ${L.ROUTE_CONFIG_SLOT_COUNT} are supported`);
    const clusterNames = new Set<string>();
    const policies = new Set<number>();
    const buckets = new Set<string>();
    const bytes = writeRouteConfiguration(
      {
        problems,
        hashName,
        limitSlots,
        routeStatistics,
        share,
        nowMs,
        bucketName: (name) => {
          const unique = `route ${input.lastingName?.(config.name) ?? config.name} ${name}`;
          buckets.add(unique);
          return unique;
        },
        clusterSlot: (name) => {
          clusterNames.add(name);
          const clusterSlot = clusters.slot(name, nowMs);
          if (clusterSlot < 0) problems.add('', `names more than ${L.CLUSTER_SLOT_COUNT} clusters with the others`);
          return clusterSlot;
        },
        internPolicy: (content) => {
          const offset = core.stable.intern('policy', content, nowMs);
          if (offset === 0) problems.add('', `has policies beyond the ${L.STABLE_REGION_BYTES} bytes kept for them`);
          policies.add(offset);
          return offset;
        },
      },
      config,
    );
    all.push(...problems.problems);
    return { source: config, slot, bytes, clusterNames, policies, buckets };
  }

  function compileCluster(input: ClusterInput, nowMs: number, all: CompileProblem[]): CompiledCluster {
    const { cluster } = input;
    const assignment = input.endpoints ?? cluster.loadAssignment;
    const known = active?.clusters.get(cluster.name);
    if (known?.source === cluster && known.assignment === assignment) return known;
    const problems = new ProblemList('Cluster', cluster.name);
    const slot = clusters.slot(cluster.name, nowMs);
    if (slot < 0) problems.add('', `is one too many: at most ${L.CLUSTER_SLOT_COUNT} are supported`);
    const described: EndpointDescription[] = [];
    const endpointNames: string[] = [];
    const endpointSlot = ({ address, port, lbEndpoint, group }: EndpointAddress) => {
      const name = `${cluster.name}|${address}:${port}`;
      endpointNames.push(name);
      const endpoint = endpoints.slot(name, nowMs);
      if (endpoint < 0)
        problems.add('load_assignment', `has endpoints beyond the ${L.ENDPOINT_SLOT_COUNT} supported in all`);
      described.push({
        slot: endpoint,
        clusterSlot: slot,
        clusterName: cluster.name,
        address,
        port,
        lbEndpoint,
        group,
      });
      return endpoint;
    };
    const bytes = writeCluster(problems, cluster, assignment, endpointSlot, hash64, share);
    all.push(...problems.problems);
    return { source: cluster, assignment, slot, bytes, endpoints: described, endpointNames };
  }

  function compile(input: TableInput): CompileResult {
    const { nowMs } = input;
    if (waiting !== undefined) discard(waiting, nowMs);
    waiting = undefined;
    const problems: CompileProblem[] = [];
    const compiledClusters = new Map<string, CompiledCluster>();
    for (const cluster of input.clusters) {
      if (compiledClusters.has(cluster.cluster.name)) {
        problems.push({
          resourceType: 'Cluster',
          resourceName: cluster.cluster.name,
          path: 'name',
          message: 'stands twice',
        });
      }
      compiledClusters.set(cluster.cluster.name, compileCluster(cluster, nowMs, problems));
    }
    const compiledRoutes = new Map<string, CompiledRoutes>();
    for (const config of input.routeConfigurations) {
      if (compiledRoutes.has(config.name)) {
        problems.push({
          resourceType: 'RouteConfiguration',
          resourceName: config.name,
          path: 'name',
          message: 'stands twice',
        });
      }
      const routes = compileRoutes(config, input, problems);
      compiledRoutes.set(config.name, routes);
      if (config.validateClusters === true) checkClusters(routes, compiledClusters, problems);
    }
    const needed = [...compiledRoutes.values(), ...compiledClusters.values()].reduce(
      (sum, table) => sum + table.bytes.length,
      64,
    );
    if (needed > L.TABLE_ARENA_BYTES) {
      problems.push({
        resourceType: 'Snapshot',
        resourceName: 'all',
        path: '',
        message: `needs ${needed} bytes of tables; there are ${L.TABLE_ARENA_BYTES}. Narrow the scope (Sidecar egress hosts)`,
      });
    }
    if (problems.length > 0) {
      discard({ routes: compiledRoutes, clusters: compiledClusters }, nowMs);
      return { ok: false, problems };
    }

    let end = arena + 64;
    const place = (bytes: Uint8Array) => {
      const at = end;
      core.bytes.set(bytes, at);
      end += bytes.length;
      return at;
    };
    const routeOffsets = new Map<number, number>();
    for (const routes of compiledRoutes.values()) routeOffsets.set(routes.slot, place(routes.bytes));
    const clusterOffsets = new Map<number, number>();
    for (const cluster of compiledClusters.values()) clusterOffsets.set(cluster.slot, place(cluster.bytes));
    waiting = {
      arena,
      bytes: needed,
      nowMs,
      routes: compiledRoutes,
      clusters: compiledClusters,
      routeOffsets,
      clusterOffsets,
    };
    return { ok: true, bytes: needed, problems: [] };
  }

  /** What was compiled is not used: its slots and records rest, or many refusals would leave none. */
  function discard(refused: CompiledResources, nowMs: number): void {
    const { routes = new Map(), clusters: kept = new Map() } = active ?? {};
    retireWhatIsGone(refused, { routes, clusters: kept }, nowMs);
  }

  /**
   * Lets slots and records rest that the next tables do not name, but for those of route configurations, to which listeners
   * refer. Only what differs is looked at, or a swap would stall.
   */
  function retireWhatIsGone(before: CompiledResources | undefined, next: CompiledResources, nowMs: number): void {
    const policies = new Set<number>();
    for (const name of namedClusters(before)) clusters.retire(name, nowMs);
    for (const name of namedClusters(next)) clusters.slot(name, nowMs);
    for (const routes of next.routes.values()) for (const policy of routes.policies) policies.add(policy);
    for (const routes of before?.routes.values() ?? [])
      for (const name of routes.buckets) limitSlots.retireBucket(name, nowMs);
    for (const routes of next.routes.values()) for (const name of routes.buckets) limitSlots.bucket(name, nowMs);
    core.stable.retain('policy', policies, nowMs);
    for (const [name, cluster] of before?.clusters ?? []) {
      if (next.clusters.get(name) === cluster) continue;
      for (const endpoint of cluster.endpointNames) endpoints.retire(endpoint, nowMs);
    }
    for (const [name, cluster] of next.clusters) {
      const earlier = before?.clusters.get(name);
      if (earlier === cluster) continue;
      // Endpoints belong to one cluster: only those of one that was there before can have been sent to rest above.
      if (earlier !== undefined) for (const endpoint of cluster.endpointNames) endpoints.slot(endpoint, nowMs);
      for (const endpoint of cluster.endpoints) descriptions[endpoint.slot] = endpoint;
    }
  }

  function activate(): void {
    if (waiting === undefined)
      throw new Error('tables: there is nothing to activate; compile() must have succeeded first');
    const next = waiting;
    waiting = undefined;
    for (const slot of active?.routeOffsets.keys() ?? []) i32[(L.ROUTE_CONFIG_SLOTS + slot * 4) >> 2] = 0;
    for (const slot of active?.clusterOffsets.keys() ?? []) i32[clusterState(slot)] = 0;
    for (const [slot, offset] of next.routeOffsets) i32[(L.ROUTE_CONFIG_SLOTS + slot * 4) >> 2] = offset;
    for (const [slot, offset] of next.clusterOffsets) i32[clusterState(slot)] = offset;
    core.wasm.setGeneration(core.wasm.generation() + 1);
    for (const name of active?.routes.keys() ?? []) if (!next.routes.has(name)) routeConfigs.retire(name, next.nowMs);
    retireWhatIsGone(active, next, next.nowMs);
    active = next;
    arena = next.arena === L.TABLE_ARENA_A ? L.TABLE_ARENA_B : L.TABLE_ARENA_A;
  }

  function addEndpoint(clusterSlot: number, address: string, port: number, lbEndpoint: LbEndpoint, nowMs: number) {
    const clusterName = clusters.name(clusterSlot) ?? '';
    const slot = endpoints.slot(requestedName(clusterName, address, port), nowMs);
    if (slot < 0) return undefined;
    const description = { slot, clusterSlot, clusterName, address, port, lbEndpoint };
    descriptions[slot] = description;
    return description;
  }

  const limits = { slots: limitSlots, share, hashName };
  return {
    compile,
    activate,
    addEndpoint,
    removeEndpoint: ({ clusterName, address, port }, nowMs) =>
      endpoints.retire(requestedName(clusterName, address, port), nowMs),
    routeConfigSlot: (name) => routeConfigs.slot(name, active?.nowMs ?? 0),
    clusterSlot: (name) => clusters.slot(name, active?.nowMs ?? 0),
    clusterName: (slot) => clusters.name(slot),
    limitSlots,
    routeStatistics,
    rateLimit(config, path, bucketName, problems) {
      const context = { ...limits, problems, nowMs: active?.nowMs ?? 0 };
      return writeRateLimit(context, path, config, bucketName, 'listener');
    },
    refusalHeaders: (headers, path, problems) => compileReplyHeaders({ problems, hashName }, path, headers),
    quotaBranches,
    quota: (name, config, path, problems, tells = false) =>
      writeQuotaFilter({ ...limits, problems, branches: quotaBranches }, path, name, config, tells),
    endpoint: (slot) => descriptions[slot],
    endpointsOf: (clusterSlot) => active?.clusters.get(clusters.name(clusterSlot) ?? '')?.endpoints ?? [],
    get bytes() {
      return active?.bytes ?? 0;
    },
  };
}

/** Unlike the name of any endpoint that tables have, since these are retired with their tables. */
function requestedName(clusterName: string, address: string, port: number): string {
  return `requested|${clusterName}|${address}:${port}`;
}

/** Clusters that exist, and those that routes name. */
function* namedClusters(compilation: CompiledResources | undefined): Generator<string> {
  if (compilation === undefined) return;
  yield* compilation.clusters.keys();
  for (const routes of compilation.routes.values()) yield* routes.clusterNames;
}

function checkClusters(
  routes: CompiledRoutes,
  clusters: ReadonlyMap<string, CompiledCluster>,
  problems: CompileProblem[],
): void {
  for (const name of routes.clusterNames) {
    if (clusters.has(name)) continue;
    problems.push({
      resourceType: 'RouteConfiguration',
      resourceName: routes.source.name,
      path: 'virtual_hosts',
      message: `names cluster "${name}", which does not exist (validate_clusters)`,
    });
  }
}

/** Offset of a cluster's state, for readers of CLUSTER_STATE_*. */
export function clusterStateOffset(slot: number): number {
  return L.CLUSTER_STATES + slot * L.CLUSTER_STATE_BYTES;
}

/** Offset of an endpoint's state, for readers and writers of ENDPOINT_STATE_*. */
export function endpointStateOffset(slot: number): number {
  return L.ENDPOINT_STATES + slot * L.ENDPOINT_STATE_BYTES;
}

/** Overflows of a cluster's circuit breakers so far, by LIMIT_*. */
export function overflowsOf(core: Core, clusterSlot: number): readonly number[] {
  const at = (clusterStateOffset(clusterSlot) + T.CLUSTER_STATE_OVERFLOWS) >> 2;
  return Array.from(core.i32.subarray(at, at + 4));
}

/** Whether outlier detection keeps an endpoint from being picked. */
export function setEjected(core: Core, clusterSlot: number, endpointSlot: number, ejected: boolean): void {
  setUnusable(core, clusterSlot, endpointSlot, T.UNUSABLE_EJECTED, ejected ? T.UNUSABLE_EJECTED : 0);
}

/** Sets the UNUSABLE_* bits of `mask` to `bits`; the shares of its cluster's priorities and localities follow. */
export function setUnusable(core: Core, clusterSlot: number, endpointSlot: number, mask: number, bits: number): void {
  const { i32 } = core;
  const at = (endpointStateOffset(endpointSlot) + T.ENDPOINT_STATE_EJECTED) >> 2;
  const unusable = (i32[at]! & ~mask) | bits;
  if (i32[at] === unusable) return;
  i32[at] = unusable;
  i32[(clusterStateOffset(clusterSlot) + P.CLUSTER_STATE_HEALTH_CHANGES) >> 2]!++;
}
