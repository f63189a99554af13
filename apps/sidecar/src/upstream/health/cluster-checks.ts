// Health checks: the checkers of all clusters, from one configuration to the next.

import { isDeepStrictEqual } from 'node:util';
import type { DataPath } from '../../transport/data-path.js';
import type { Endpoint } from '../endpoint.js';
import type { TransportChooser } from '../transport-chooser.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import type { UpstreamTransport } from '../upstream-transport.js';
import { HealthChecker, type HealthCounts } from './health-checker.js';

export class ClusterChecks {
  private readonly checkers = new Map<string, HealthChecker>();

  /** @param onHealthy called when an endpoint passes its checks that did not before */
  constructor(
    private readonly path: DataPath,
    private readonly onHealthy: (endpoint: Endpoint) => void,
  ) {}

  /** A cluster as a new configuration has it; `before` are the endpoints that it had, undefined where there was no such cluster. */
  update(
    cluster: UpstreamCluster,
    transports: TransportChooser,
    endpoints: readonly Endpoint[],
    before: ReadonlySet<Endpoint> | undefined,
  ): void {
    const { name, health } = cluster;
    let checker = this.checkers.get(name);
    if (health === undefined) {
      checker?.close();
      this.checkers.delete(name);
      return;
    }
    const transportOf = (endpoint: Endpoint): UpstreamTransport =>
      health.transportCriteria === undefined ? endpoint.transport : transports.chooseBy(health.transportCriteria);
    if (checker !== undefined && isDeepStrictEqual(checker.settings, health)) {
      checker.transportOf = transportOf;
      checker.update(endpoints, () => undefined);
      return;
    }
    const previous = checker;
    previous?.close(new Set(endpoints.map(({ slot }) => slot)));
    checker = new HealthChecker(
      this.path,
      cluster.slot,
      name,
      health,
      before === undefined,
      transportOf,
      this.onHealthy,
    );
    this.checkers.set(name, checker);
    // Who was in use without being asked goes on until the first answer, as in Envoy, where the old cluster does.
    checker.update(endpoints, (endpoint) =>
      before?.has(endpoint) ? (previous?.failing(endpoint.slot) ?? false) : undefined,
    );
  }

  /** Clusters that are not there any more are not asked. */
  retain(names: ReadonlySet<string>): void {
    for (const [name, checker] of this.checkers) {
      if (names.has(name)) continue;
      checker.close();
      this.checkers.delete(name);
    }
  }

  countsOf(name: string): HealthCounts | undefined {
    return this.checkers.get(name)?.counts;
  }

  /** New clusters whose first round of checks is not over. */
  get warming(): readonly string[] {
    return [...this.checkers].flatMap(([name, checker]) => (checker.isWarming ? [name] : []));
  }
}
