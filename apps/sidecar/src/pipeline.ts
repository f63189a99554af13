// Wires the data path in the order in which bytes meet it; read this first.
//
//   downstream/socket-listener.ts      a bound address: accepted handles become sockets that read into WASM memory
//   listener-filters/interception.ts   where a redirected connection was opened to, and which listener that one is for
//   downstream/listener-runtime.ts     a listener: is it TLS, or HTTP (listener-filters), which filter chain (filter-chain-match.ts)
//   downstream/downstream-tls.ts       handshake and peer check, where the chain has TLS
//   downstream/downstream-connection.ts  frames requests, one at a time (parsing is the core's)
//   downstream/http2/server-connection.ts  the same for HTTP/2: a stream is a request (frames: codec/http2)
//   exchange/exchange.ts               one request: route, endpoint, retries, timeouts, local replies, response
//   upstream/endpoint.ts               one endpoint; connection-pool.ts: its connections and the queue for them
//   upstream/upstream-connection.ts    writes the request, frames the response; upstream/http2 where that is HTTP/2
//   upstream/upstream-tls.ts           handshake, session resumption and peer check toward endpoints
//   tcp/tcp-session.ts                 where the chain ends in a TCP proxy: two sockets joined, instead of all of the above
//   exchange/request-metrics.ts        counts what has ended; metric-labels.ts names it at scrape
//
// Configuration goes the same way, all or nothing: compile everything, bind what is new, then swap in one turn of the
// event loop, so that no request sees half of it.

import { randomBytes } from 'node:crypto';
import {
  type Core,
  createCore,
  createTables,
  EMBEDDER_SCRATCH,
  type RateLimitCounts,
  type RouteCounts,
} from '@lateen/filters-wasm';
import { createTokenCounts, type JwtCounts, TokenVerifier } from '@lateen/jwt';
import { TYPE_URL } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type ClusterView,
  type ConfigProblem,
  ConfigRejected,
  type DataPlane,
  type DataPlaneConfig,
  type DataPlaneOptions,
  type DataPlaneStats,
  type ListenerView,
  type PreparedConfig,
  type RequestMetricSeries,
  type TcpMetricSeries,
  type TlsSecret,
} from './data-plane.js';
import { type CompiledListener, compileListener, lastingName } from './downstream/compile-listener.js';
import { fromCompileProblem } from './downstream/compile-problems.js';
import { TICKET_SECRET_BYTES, TlsAcceptor } from './downstream/downstream-tls.js';
import { type BoundSockets, ListenerSet } from './downstream/listener-set.js';
import type { ClientHandle } from './downstream/socket-listener.js';
import { internWorkload, MetricReader } from './exchange/metric-labels.js';
import { ENDPOINT_WORKLOAD, ownPeerLines, ownWorkload } from './exchange/peer-metadata.js';
import {
  type AuthorizerCounts,
  AuthorizerLoad,
  AuthorizerStatistics,
} from './external-authorization/authorizer-counts.js';
import { type LimitServiceCounts, LimitServiceStatistics } from './limit-service/limit-counts.js';
import { MetricScopes } from './observe/metric-scopes.js';
import { QuotaBuckets } from './quota/quota-buckets.js';
import { type RbacCounts, RbacStatistics } from './rbac/rbac-counts.js';
import type { RuleSet } from './rbac/rbac-filter.js';
import { ownIntroduction } from './tcp/peer-exchange.js';
import { TcpMetrics } from './tcp/tcp-metrics.js';
import { TunnelMetrics } from './tcp/tunnel-metrics.js';
import { Clock } from './transport/clock.js';
import { createStats, type DataPath } from './transport/data-path.js';
import { OutSlots } from './transport/out-slots.js';
import { createSharedRead } from './transport/proxy-socket.js';
import { SecretStore } from './transport/secret-store.js';
import { SecurityPairs } from './transport/security-pairs.js';
import { TimerWheel } from './transport/timer-wheel.js';
import { callOnce } from './upstream/calls/call-once.js';
import { clusterViews } from './upstream/cluster-views.js';
import { endpointsOf } from './upstream/discovery/cluster-endpoints.js';
import type { Ejection } from './upstream/outliers/outlier-detector.js';
import { ForwardHosts } from './upstream/requested/forward-hosts.js';
import { OriginalHosts } from './upstream/requested/original-hosts.js';
import { type HostFinder, RequestedEndpoints } from './upstream/requested/requested-endpoints.js';
import { compileTransport, createTransportChooser, type TransportChooser } from './upstream/transport-chooser.js';
import { createUpstreamCluster, type UpstreamCluster } from './upstream/upstream-cluster.js';
import { type CompiledCluster, UpstreamSet } from './upstream/upstream-set.js';
import { createPlainTransport, type UpstreamTransport } from './upstream/upstream-transport.js';

/** Idle connections are closed this long after a drain began; requests that come before are still served. */
const DRAIN_IDLE_MS = 2000;
const DATE_INTERVAL_MS = 1000;

/** Creates the data path: loads the WASM core and waits for a first `apply`. */
export async function createDataPlane(options: DataPlaneOptions): Promise<DataPlane> {
  return new Pipeline(createCore(), options);
}

class Pipeline implements DataPlane {
  readonly path: DataPath;
  readonly secrets = new SecretStore();
  readonly pairs = new SecurityPairs();
  private readonly scopes = new MetricScopes();
  private readonly listenerSet: ListenerSet;
  private readonly upstreams: UpstreamSet;
  readonly plain: UpstreamTransport;
  private readonly metrics: MetricReader;
  private readonly tcpMetrics: TcpMetrics;
  private readonly peerLines: readonly (readonly [string, string])[];
  private readonly tokenCounts = new Map<string, JwtCounts>();
  private readonly rbacCounts = new RbacStatistics();
  private readonly authorizerCounts = new AuthorizerStatistics();
  private readonly clock: NodeJS.Timeout;
  /** What was compiled for a cluster message, so that unchanged clusters keep their transports and sessions. */
  private compiledClusters = new Map<Cluster, CompiledCluster>();

  constructor(
    private readonly core: Core,
    private readonly options: DataPlaneOptions,
  ) {
    const log = options.log ?? (() => {});
    const tables = createTables(core, options.share);
    const self = ownWorkload(options.node);
    this.tcpMetrics = new TcpMetrics(this.scopes, this.pairs, self);
    this.path = {
      core,
      tables,
      quotas: new QuotaBuckets(core, tables.quotaBranches),
      limitServices: new LimitServiceStatistics(),
      authorizers: new AuthorizerLoad(),
      ownCluster: options.node.cluster,
      tokens: new TokenVerifier(),
      slots: new OutSlots(core.headSlots),
      sharedRead: createSharedRead(core.bytes),
      wheel: new TimerWheel(),
      clock: new Clock(),
      stats: createStats(),
      log,
      onEjected: options.onEjected,
      ticketSecret: options.ticketSecret ?? randomBytes(TICKET_SECRET_BYTES),
      connectionLimits: options.connectionLimits ?? { total: Number.POSITIVE_INFINITY, ofListener: new Map() },
      endpoints: [],
      clusters: [],
      readBufferBusy: false,
      forwardHosts: [],
      clusterCounts: [],
      mirrorMemory: { waitingBytes: 0 },
      tunnels: new TunnelMetrics({
        metrics: this.tcpMetrics,
        clusterAt: (slot) => this.path.clusters[slot],
        isOwn: (address, port) => this.listenerSet.leadsOut(address, port),
      }),
      leaving: false,
      draining: false,
    };
    const tcp = { metrics: this.tcpMetrics, introduction: ownIntroduction(options.node) };
    this.listenerSet = new ListenerSet(this.path, tcp, options.openSocket, options.giveAway);
    this.upstreams = new UpstreamSet(this.path);
    this.plain = createPlainTransport(this.path);
    this.peerLines = ownPeerLines(options.node);
    this.metrics = new MetricReader(this.path, this.scopes, this.pairs, self);
    this.clock = setInterval(() => core.setDate(Date.now()), DATE_INTERVAL_MS);
    this.clock.unref();
  }

  get stats(): Readonly<DataPlaneStats> {
    this.path.stats.ringUsedBytes = this.path.slots.usedBytes;
    return this.path.stats;
  }

  async apply(config: DataPlaneConfig): Promise<void> {
    (await this.prepare(config)).commit();
  }

  updateSecrets(secrets: ReadonlyMap<string, TlsSecret>): void {
    this.secrets.replace(secrets);
  }

  async drain(graceMs: number, lastCalls?: () => Promise<void>): Promise<void> {
    this.drainListeners();
    const startMs = performance.now();
    const idleMs = Math.min(graceMs / 2, DRAIN_IDLE_MS);
    while (this.listenerSet.connections().length > 0 && performance.now() - startMs < graceMs) {
      if (performance.now() - startMs >= idleMs)
        for (const connection of this.listenerSet.connections()) connection.drain();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.listenerSet.closeAll();
    // Connections that were cut are over when their sockets say so.
    await new Promise((resolve) => setImmediate(resolve));
    await lastCalls?.();
    await this.close();
  }

  readonly call: DataPlane['call'] = (target, message) => callOnce(this.path, target, message);

  askToLeave(): void {
    this.path.leaving = true;
  }

  drainListeners(): void {
    this.path.leaving = true;
    this.path.draining = true;
    this.listenerSet.stopAccepting();
  }

  async close(): Promise<void> {
    clearInterval(this.clock);
    this.listenerSet.closeAll();
    this.upstreams.closeAll();
    this.path.wheel.close();
  }

  listeners(): ListenerView[] {
    return this.listenerSet.views();
  }

  clusters(): ClusterView[] {
    return clusterViews(this.path, this.upstreams);
  }

  takeConnection(key: string, connection: ClientHandle): boolean {
    return this.listenerSet.receive(key, connection);
  }

  takeEjection(ejection: Ejection): void {
    this.upstreams.takeEjection(ejection);
  }

  warmingClusters(): readonly string[] {
    return this.upstreams.warming;
  }

  metricSeries(): IterableIterator<RequestMetricSeries> {
    return this.metrics.series();
  }

  rateLimits(): readonly RateLimitCounts[] {
    return this.path.tables.limitSlots.counts();
  }

  tokenChecks(): readonly JwtCounts[] {
    return [...this.tokenCounts.values()];
  }

  rbac(): readonly RbacCounts[] {
    return this.rbacCounts.all();
  }

  authorizers(): readonly AuthorizerCounts[] {
    return this.authorizerCounts.all();
  }

  routeCounts(): readonly RouteCounts[] {
    return this.path.tables.routeStatistics.counts.filter((counts) => counts !== undefined);
  }

  limitServices(): readonly LimitServiceCounts[] {
    return this.path.limitServices.all(this.path);
  }

  get quotas(): QuotaBuckets {
    return this.path.quotas;
  }

  tcpMetricSeries(): IterableIterator<TcpMetricSeries> {
    return this.tcpMetrics.series();
  }

  /** The steps of a configuration, in order. Before the commit nothing that is in use has changed. */
  async prepare(config: DataPlaneConfig): Promise<PreparedConfig> {
    const problems: ConfigProblem[] = [];
    const previousSecrets = this.secrets.current;
    try {
      this.secrets.replace(config.secrets);
      const compiledClusters = new Map<Cluster, CompiledCluster>();
      for (const cluster of config.clusters) compiledClusters.set(cluster, this.compileCluster(cluster, problems));
      const compiledRules = new Map<string, RuleSet>();
      const listeners = config.listeners.map((listener) => this.compileListener(listener, compiledRules, problems));
      const tables = this.path.tables.compile({
        routeConfigurations: [
          ...config.routes.values(),
          ...listeners.flatMap(({ inlineRoutes }) => inlineRoutes),
          ...this.listenerSet.retainedRoutes(listeners),
        ],
        clusters: config.clusters.map((cluster) => ({
          cluster,
          endpoints: endpointsOf(cluster, config),
        })),
        lastingName,
        nowMs: Date.now(),
      });
      problems.push(...tables.problems.map((problem) => fromCompileProblem(problem, listeners)));
      if (problems.length > 0) throw new ConfigRejected(problems);
      const bound = await this.listenerSet.bind(listeners);
      return {
        sockets: bound.shared,
        commit: () => this.commit(compiledClusters, listeners, bound, previousSecrets),
        abandon: () => {
          for (const socket of bound.fresh) socket.close();
          this.forget(previousSecrets);
        },
      };
    } catch (error) {
      this.forget(previousSecrets);
      throw error;
    }
  }

  private commit(
    compiledClusters: Map<Cluster, CompiledCluster>,
    listeners: readonly CompiledListener[],
    bound: BoundSockets,
    previousSecrets: ReadonlyMap<string, TlsSecret>,
  ): void {
    try {
      this.path.tables.activate();
      this.compiledClusters = compiledClusters;
      this.upstreams.apply([...compiledClusters.values()]);
      this.internWorkloads();
      this.listenerSet.activate(listeners, bound);
      // Records of chains that drain are kept for an hour anyway, and the chains only for seconds.
      this.core.stable.retain('listener', this.listenerSet.listenerRecords(), Date.now());
    } catch (error) {
      this.forget(previousSecrets);
      throw error;
    }
    this.core.rbac.retain(this.listenerSet.rulesInUse(), Date.now());
    this.path.stats.configApplied++;
  }

  /** A configuration is not put in effect: what was compiled for it goes. */
  private forget(previousSecrets: ReadonlyMap<string, TlsSecret>): void {
    this.secrets.replace(previousSecrets);
    this.core.rbac.retain(this.listenerSet.rulesInUse(), Date.now());
    this.path.stats.configRejected++;
  }

  private compileListener(
    listener: DataPlaneConfig['listeners'][number],
    compiledRules: Map<string, RuleSet>,
    problems: ConfigProblem[],
  ): CompiledListener {
    return compileListener(listener, {
      core: this.core,
      tables: this.path.tables,
      options: this.options,
      scopes: this.scopes,
      peerLines: this.peerLines,
      nowMs: Date.now(),
      rbacCounts: this.rbacCounts,
      authorizerCounts: this.authorizerCounts,
      compiledRules,
      tokenCounts: (statPrefix) => this.tokenCountsOf(statPrefix),
      problem: (path, message) =>
        problems.push({ resourceType: TYPE_URL.listener, resourceName: listener.name, path, message }),
      compileTls: (context, details, problem) =>
        new TlsAcceptor(context, this.path, this.secrets, this.pairs, details, listener.name, problem),
      known: (key) => this.listenerSet.knownChain(key),
    });
  }

  private tokenCountsOf(statPrefix: string): JwtCounts {
    const counts = this.tokenCounts.get(statPrefix) ?? createTokenCounts(statPrefix);
    this.tokenCounts.set(statPrefix, counts);
    return counts;
  }

  private compileCluster(config: Cluster, problems: ConfigProblem[]): CompiledCluster {
    const known = this.compiledClusters.get(config);
    if (known !== undefined) return known;
    const cluster = createUpstreamCluster(config, this.path.tables.clusterSlot(config.name));
    const compileSocket = (socket: TransportSocket, at: string): UpstreamTransport => {
      const problem = (path: string, message: string): void => {
        problems.push({ resourceType: TYPE_URL.cluster, resourceName: config.name, path: `${at}.${path}`, message });
      };
      return compileTransport(socket, this, problem);
    };
    const transports = createTransportChooser(config, this.plain, compileSocket);
    return { cluster, transports, forwardHosts: this.hostFinder(cluster, transports) };
  }

  /** Of a cluster that leaves it to requests where they go. */
  private hostFinder(cluster: UpstreamCluster, transports: TransportChooser): HostFinder | undefined {
    if (cluster.forwards === undefined && cluster.original === undefined) return undefined;
    const endpoints = new RequestedEndpoints(this.path, cluster, (endpoint) => transports.choose(endpoint));
    if (cluster.original !== undefined) return new OriginalHosts(this.path, cluster, endpoints);
    return new ForwardHosts(this.path, cluster, endpoints, (...at) => this.listenerSet.leadsOut(...at));
  }

  /** Endpoints say of themselves which workload they are, for peers that send no metadata. */
  private internWorkloads(): void {
    for (const endpoint of this.path.endpoints) {
      const workload = endpoint?.config?.metadata?.filterMetadata.istio?.workload;
      if (endpoint === undefined || typeof workload !== 'string' || endpoint.workloadPeer !== 0) continue;
      endpoint.workloadPeer = internWorkload(this.core, EMBEDDER_SCRATCH, ENDPOINT_WORKLOAD + workload);
    }
  }
}
