// Health checks: those of one cluster: who is asked, who may get requests, and what is told of it.

import {
  CLUSTER_STATE_TOTAL,
  clusterStateOffset,
  setUnusable,
  UNUSABLE_FAILING,
  UNUSABLE_UNCHECKED,
} from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { Endpoint } from '../endpoint.js';
import type { UpstreamTransport } from '../upstream-transport.js';
import { type CheckJudge, CheckSession, isUnchecked } from './check-session.js';
import { type CheckResult, EndpointHealth, type Transition } from './endpoint-health.js';
import type { HealthSettings } from './health-settings.js';

/** Numbers of one cluster, under the names of Envoy's statistics. */
export class HealthCounts {
  attempt = 0;
  success = 0;
  failure = 0;
  networkFailure = 0;
  /** Gauge. */
  healthy = 0;
}

/** First checks that begin in the same tick of the clock, where there is no jitter. */
const FIRST_CHECKS_A_TICK = 50;

/** One for each cluster with health checks; it lives on while its settings stay the same. */
export class HealthChecker implements CheckJudge {
  readonly counts = new HealthCounts();
  private readonly sessions = new Map<number, CheckSession>();
  private begunInTurn = 0;

  constructor(
    private readonly path: DataPath,
    private readonly clusterSlot: number,
    private readonly clusterName: string,
    readonly settings: HealthSettings,
    /** The cluster is new: nobody has been asked, and nobody is called before. */
    private warming: boolean,
    /** How checks reach an endpoint. */
    public transportOf: (endpoint: Endpoint) => UpstreamTransport,
    private readonly onHealthy: (endpoint: Endpoint) => void,
  ) {}

  get isWarming(): boolean {
    return this.warming;
  }

  /** What checks have found of the endpoint in this slot; undefined where it is not asked. */
  failing(slot: number): boolean | undefined {
    return this.sessions.get(slot)?.health.failing;
  }

  /**
   * The cluster has these endpoints now: new ones are asked, those that are gone are not any more.
   * @param wasFailing what was known of an endpoint before it was checked in this way; undefined: nothing
   */
  update(endpoints: readonly Endpoint[], wasFailing: (endpoint: Endpoint) => boolean | undefined): void {
    const checked = new Map(endpoints.filter((each) => !isUnchecked(each)).map((each) => [each.slot, each]));
    for (const [slot, session] of this.sessions) {
      if (checked.get(slot) !== session.endpoint) this.forget(slot, session);
    }
    this.begunInTurn = 0;
    for (const endpoint of checked.values())
      if (!this.sessions.has(endpoint.slot)) this.begin(endpoint, wasFailing(endpoint));
    this.endWarming();
  }

  /** Nobody is asked any more; another checker goes on with what was found of the endpoints in the slots that are kept. */
  close(kept: ReadonlySet<number> = new Set()): void {
    for (const [slot, session] of [...this.sessions]) {
      if (kept.has(slot)) session.stop();
      else this.forget(slot, session);
    }
  }

  onCheckBegun(): void {
    this.counts.attempt++;
  }

  onCheckEnded(session: CheckSession, result: CheckResult): number {
    const { counts, path } = this;
    const { health, endpoint } = session;
    if (result.ok) counts.success++;
    else {
      counts.failure++;
      if (result.kind !== 'active') counts.networkFailure++;
    }
    const first = !health.isChecked;
    const wasFailing = health.failing;
    const transition = health.add(result);
    if (health.failing !== wasFailing) counts.healthy += health.failing ? -1 : 1;
    // While the cluster warms, who fails does not count as an endpoint: else it might start a panic.
    if (!health.failing || !this.warming) health.uncounted = false;
    this.mark(session);
    if (wasFailing && !health.failing) this.onHealthy(endpoint);
    if (first) this.endWarming();
    if (result.ok && !health.failing) endpoint.outlier?.passedCheck();
    this.log(session, result, transition, first);
    return health.nextCheckInMs(result, transition, this.hasTraffic(path), Math.random);
  }

  /** As Envoy, which asks at another interval as long as nobody calls. */
  private hasTraffic({ core }: DataPath): boolean {
    return core.i32[(clusterStateOffset(this.clusterSlot) + CLUSTER_STATE_TOTAL) >> 2] !== 0;
  }

  private begin(endpoint: Endpoint, known: boolean | undefined): void {
    const { settings } = this;
    const uncounted = known === undefined && (this.warming || settings.newAreUncounted);
    const health = new EndpointHealth(settings, known ?? true, uncounted);
    const session = new CheckSession(this.path, endpoint, health, settings, this, (each) => this.transportOf(each));
    this.sessions.set(endpoint.slot, session);
    endpoint.health = health;
    if (!health.failing) this.counts.healthy++;
    this.mark(session);
    const spreadMs = Math.floor(this.begunInTurn++ / FIRST_CHECKS_A_TICK) * this.path.wheel.tickMs;
    session.start(spreadMs + Math.random() * settings.initialJitterMs);
  }

  private mark({ endpoint, health }: CheckSession): void {
    const bits = (health.failing ? UNUSABLE_FAILING : 0) | (health.uncounted ? UNUSABLE_UNCHECKED : 0);
    setUnusable(this.path.core, this.clusterSlot, endpoint.slot, UNUSABLE_FAILING | UNUSABLE_UNCHECKED, bits);
  }

  private endWarming(): void {
    if (!this.warming) return;
    for (const { health } of this.sessions.values()) if (!health.isChecked) return;
    this.warming = false;
    for (const session of this.sessions.values()) {
      session.health.uncounted = false;
      this.mark(session);
    }
  }

  private forget(slot: number, session: CheckSession): void {
    session.stop();
    this.sessions.delete(slot);
    session.endpoint.health = null;
    if (!session.health.failing) this.counts.healthy--;
    setUnusable(this.path.core, this.clusterSlot, slot, UNUSABLE_FAILING | UNUSABLE_UNCHECKED, 0);
  }

  private log({ endpoint, health }: CheckSession, result: CheckResult, transition: Transition, first: boolean): void {
    const { path, settings, clusterName, counts } = this;
    const fields = {
      cluster: clusterName,
      endpoint: endpoint.addressText,
      first_check: first,
      healthy_endpoints: counts.healthy,
      endpoints: this.sessions.size,
    };
    if (!result.ok) {
      const event = { ...fields, reason: result.reason, failure: result.kind };
      if (health.failing && (transition === 'changed' || first)) {
        path.log('warn', 'an endpoint is unhealthy: it fails its health check', event);
      } else if (settings.logFailures) path.log('warn', 'a health check failed', event);
    } else if (transition === 'changed' && !first) {
      path.log('info', 'an endpoint is healthy again: it passes its health check', fields);
    } else if (settings.logSuccesses) path.log('info', 'a health check succeeded', fields);
  }
}
