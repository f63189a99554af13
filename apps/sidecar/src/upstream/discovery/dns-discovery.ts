// Discovery: the endpoints of STRICT_DNS and LOGICAL_DNS clusters. Follows the clusters that the store has.

import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TypedExtensionConfig } from '@lateen/xds-proto/envoy/config/core/v3/extension_pb.js';
import type { ClusterLoadAssignment } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { DnsCluster } from './dns-cluster.js';
import { createNameResolver, readDnsSettings } from './dns-settings.js';
import type { NameResolver } from './name-resolver.js';

export interface DnsDiscoveryOptions {
  /** `typed_dns_resolver_config` of the bootstrap file. */
  readonly resolverConfig?: TypedExtensionConfig | undefined;
  readonly createResolver?: (cluster: Cluster, ofBootstrap: TypedExtensionConfig | undefined) => NameResolver;
  /** Called when the endpoints of a cluster changed, or are known for the first time. */
  readonly onChange: () => void;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

export class DnsDiscovery {
  readonly #clusters = new Map<Cluster, DnsCluster>();
  /** Waiters for a first answer. */
  readonly #waiting = new Set<() => void>();

  constructor(private readonly options: DnsDiscoveryOptions) {}

  /** Resolves the names of these clusters from now on, and no others. */
  follow(clusters: Iterable<Cluster>): void {
    const wanted = new Set(clusters);
    const known = new Map<string, DnsCluster>();
    for (const [cluster, followed] of this.#clusters) known.set(cluster.name, followed);
    for (const cluster of wanted) {
      if (this.#clusters.has(cluster)) continue;
      const settings = readDnsSettings(cluster);
      if (settings === undefined) continue;
      const { createResolver = createNameResolver, resolverConfig, log } = this.options;
      const followed = new DnsCluster({
        cluster,
        settings,
        resolver: createResolver(cluster, resolverConfig),
        known: known.get(cluster.name)?.known ?? new Map(),
        onChange: () => this.#changed(),
        log,
      });
      this.#clusters.set(cluster, followed);
      followed.start();
    }
    for (const [cluster, followed] of this.#clusters) {
      if (wanted.has(cluster)) continue;
      followed.close();
      this.#clusters.delete(cluster);
    }
  }

  /** False while a cluster waits for the first answer to its names. */
  isReady(cluster: Cluster): boolean {
    const followed = this.#clusters.get(cluster);
    return followed === undefined || followed.tried || readDnsSettings(cluster)?.waitForFirst === false;
  }

  /** The endpoints of the moment: the same object as long as they stay the same. Undefined for other clusters. */
  assignmentOf(cluster: Cluster): ClusterLoadAssignment | undefined {
    return this.#clusters.get(cluster)?.assignment;
  }

  /** Resolves when each of these clusters is ready, or to the names of those that are not after this time. */
  async whenReady(clusters: readonly Cluster[], limitMs: number): Promise<string[]> {
    const unready = () => clusters.filter((cluster) => !this.isReady(cluster)).map(({ name }) => name);
    const deadlineMs = Date.now() + limitMs;
    while (unready().length > 0 && Date.now() < deadlineMs) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, deadlineMs - Date.now());
        const waiting = this.#waiting;
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
    return unready();
  }

  close(): void {
    for (const followed of this.#clusters.values()) followed.close();
    this.#clusters.clear();
    for (const wake of [...this.#waiting]) wake();
  }

  #changed(): void {
    for (const wake of [...this.#waiting]) wake();
    this.options.onChange();
  }
}
