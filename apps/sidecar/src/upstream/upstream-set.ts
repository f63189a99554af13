// Upstream: keeps clusters and endpoints in step with the tables; what is unchanged keeps its connections.

import { isDeepStrictEqual } from 'node:util';
import type { DataPath } from '../transport/data-path.js';
import { Endpoint } from './endpoint.js';
import { ClusterChecks } from './health/cluster-checks.js';
import type { HealthCounts } from './health/health-checker.js';
import { type Ejection, type OutlierCounts, OutlierDetector } from './outliers/outlier-detector.js';
import type { HostFinder } from './requested/requested-endpoints.js';
import type { TransportChooser } from './transport-chooser.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import { WarmUp } from './warm-up.js';

export interface CompiledCluster {
  readonly cluster: UpstreamCluster;
  readonly transports: TransportChooser;
  /** Of a cluster that leaves it to requests where they go. */
  readonly forwardHosts?: HostFinder | undefined;
}

export class UpstreamSet {
  private active: CompiledCluster[] = [];
  /** Endpoints that are no longer configured and still serve requests. */
  private readonly leaving = new Set<Endpoint>();
  /** By cluster name, of those with outlier detection. */
  private readonly detectors = new Map<string, OutlierDetector>();
  /** By cluster name, of those whose new endpoints warm up. */
  private readonly warmUps = new Map<string, WarmUp>();
  private readonly checks: ClusterChecks;

  constructor(private readonly path: DataPath) {
    // As in Envoy, who is well again warms up again.
    this.checks = new ClusterChecks(path, (endpoint) => {
      endpoint.joinedMs = path.clock.nowMs;
      this.warmUps.get(endpoint.cluster.name)?.onTimer();
    });
  }

  /** After the tables were activated: new endpoints get pools, those that are gone finish what they serve. */
  apply(clusters: readonly CompiledCluster[]): void {
    const { path } = this;
    path.clock.tick();
    const seen = new Set<Endpoint>();
    const before = this.endpointsByCluster();
    for (const compiled of clusters) {
      path.clusters[compiled.cluster.slot] = compiled.cluster;
      path.forwardHosts[compiled.cluster.slot] = compiled.forwardHosts;
      const detector = this.keepDetector(compiled.cluster);
      const present: Endpoint[] = [];
      for (const description of path.tables.endpointsOf(compiled.cluster.slot)) {
        const transport = compiled.transports.choose(description.lbEndpoint);
        let endpoint = path.endpoints[description.slot];
        const { address, port, slot } = description;
        const known = endpoint !== undefined && endpoint.address === address && endpoint.port === port;
        if (!known || endpoint === undefined || endpoint.cluster.name !== compiled.cluster.name) {
          if (endpoint !== undefined) this.leave(endpoint);
          endpoint = new Endpoint(path, slot, address, port, compiled.cluster, transport);
          path.endpoints[slot] = endpoint;
        }
        endpoint.update(compiled.cluster, transport, description.lbEndpoint, description.group);
        endpoint.outlier = detector?.monitor(slot, endpoint.addressText) ?? null;
        present.push(endpoint);
        seen.add(endpoint);
      }
      detector?.retain(new Set(present.map(({ slot }) => slot)));
      const { name } = compiled.cluster;
      this.checks.update(compiled.cluster, compiled.transports, present, before.get(name));
      this.keepWarmUp(compiled.cluster)?.follow(present);
    }
    this.keepRequested(clusters, seen);
    for (const endpoint of path.endpoints) if (endpoint?.live && !seen.has(endpoint)) this.leave(endpoint);
    for (const endpoint of this.leaving)
      if (seen.has(endpoint) || endpoint.connectionCount === 0) this.leaving.delete(endpoint);
    this.active = [...clusters];
    this.closeObservers(new Set(clusters.map(({ cluster }) => cluster.name)));
  }

  /** The clusters of the present configuration. */
  get clusters(): readonly CompiledCluster[] {
    return this.active;
  }

  outliersOf({ name }: UpstreamCluster): OutlierCounts | undefined {
    return this.detectors.get(name)?.counts;
  }

  takeEjection(ejection: Ejection): void {
    this.detectors.get(ejection.cluster)?.take(ejection);
  }

  healthOf({ name }: UpstreamCluster): HealthCounts | undefined {
    return this.checks.countsOf(name);
  }

  /** New clusters whose first round of health checks is not over. */
  get warming(): readonly string[] {
    return this.checks.warming;
  }

  endpointsOf(cluster: UpstreamCluster): Endpoint[] {
    const { tables, endpoints } = this.path;
    if (cluster.forwards !== undefined || cluster.original !== undefined) {
      return endpoints.filter((each) => each?.live && each.requestedAtMs > 0 && each.cluster === cluster) as Endpoint[];
    }
    return tables
      .endpointsOf(cluster.slot)
      .map(({ slot }) => endpoints[slot])
      .filter((endpoint) => endpoint !== undefined);
  }

  closeAll(): void {
    this.closeObservers(new Set());
    for (const endpoint of this.path.endpoints) endpoint?.closeAll();
    for (const endpoint of this.leaving) endpoint.closeAll();
  }

  /** The endpoints of the clusters that were there before, by name of the cluster. */
  private endpointsByCluster(): ReadonlyMap<string, ReadonlySet<Endpoint>> {
    const byCluster = new Map<string, Set<Endpoint>>(this.active.map(({ cluster }) => [cluster.name, new Set()]));
    for (const endpoint of this.path.endpoints) {
      if (endpoint?.live) byCluster.get(endpoint.cluster.name)?.add(endpoint);
    }
    return byCluster;
  }

  /** Endpoints that requests asked for are in no table; they stay with their cluster. */
  private keepRequested(clusters: readonly CompiledCluster[], seen: Set<Endpoint>): void {
    const forwarding = new Map(
      clusters.flatMap((each) => (each.forwardHosts ? [[each.cluster.name, each] as const] : [])),
    );
    for (const endpoint of this.path.endpoints) {
      if (endpoint?.live !== true || endpoint.requestedAtMs === 0 || endpoint.config === undefined) continue;
      const compiled = forwarding.get(endpoint.cluster.name);
      if (compiled === undefined) continue;
      endpoint.update(compiled.cluster, compiled.transports.choose(endpoint.config), endpoint.config);
      seen.add(endpoint);
    }
  }

  /** The cluster's detector: the one that was there where its settings are the same. */
  private keepDetector({ name, slot, outliers }: UpstreamCluster): OutlierDetector | undefined {
    const known = this.detectors.get(name);
    if (known !== undefined && isDeepStrictEqual(known.settings, outliers)) return known;
    known?.close();
    this.detectors.delete(name);
    if (outliers === undefined) return undefined;
    const detector = new OutlierDetector(this.path, slot, name, outliers);
    this.detectors.set(name, detector);
    return detector;
  }

  private keepWarmUp({ name, slot, warmUp: settings }: UpstreamCluster): WarmUp | undefined {
    const known = this.warmUps.get(name);
    if (known !== undefined && isDeepStrictEqual(known.settings, settings)) return known;
    known?.close();
    this.warmUps.delete(name);
    if (settings === undefined) return undefined;
    const warmUp = new WarmUp(this.path, slot, settings);
    this.warmUps.set(name, warmUp);
    return warmUp;
  }

  private closeObservers(kept: ReadonlySet<string>): void {
    for (const observers of [this.detectors, this.warmUps]) {
      for (const [name, observer] of observers) {
        if (kept.has(name)) continue;
        observer.close();
        observers.delete(name);
      }
    }
    this.checks.retain(kept);
  }

  private leave(endpoint: Endpoint): void {
    endpoint.outlier = null;
    endpoint.live = false;
    endpoint.retireIdle();
    this.leaving.add(endpoint);
    if (endpoint.requestedAtMs === 0) return;
    const { address, port, cluster } = endpoint;
    this.path.tables.removeEndpoint({ clusterName: cluster.name, address, port }, Date.now());
  }
}
