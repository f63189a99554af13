// Health checks: what checks have found of one endpoint, and when it is asked again. Envoy's rules; no clock, no socket.

import type { HealthSettings } from './health-settings.js';

export type CheckResult =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** `active`: it has answered, and is not well; `network`: it has not answered; `timeout`: not in time. */
      readonly kind: 'active' | 'network' | 'timeout';
      /** An answer that counts for the threshold, as no answer does; any other is enough alone. */
      readonly retriable: boolean;
      readonly reason: string;
    };

/** `pending`: counted, and not enough yet. */
export type Transition = 'unchanged' | 'changed' | 'pending';

export class EndpointHealth {
  /** Its last failure was that it did not answer in time. */
  timedOut = false;
  private checked = false;
  private successes = 0;
  private failures = 0;

  /**
   * @param failing what is known before the first check
   * @param uncounted until the first check is over it does not count as an endpoint
   */
  constructor(
    private readonly settings: HealthSettings,
    public failing: boolean,
    public uncounted: boolean,
  ) {}

  /** Its first check is over. */
  get isChecked(): boolean {
    return this.checked;
  }

  /** Takes in what a check has found. */
  add(result: CheckResult): Transition {
    const first = !this.checked;
    this.checked = true;
    return result.ok ? this.succeed(first) : this.fail(result, first);
  }

  private succeed(first: boolean): Transition {
    this.failures = 0;
    this.timedOut = false;
    if (!this.failing) return first && this.uncounted ? 'changed' : 'unchanged';
    if (!first && ++this.successes < this.settings.healthyThreshold) return 'pending';
    this.failing = false;
    this.successes = 0;
    return 'changed';
  }

  private fail({ kind, retriable }: CheckResult & { ok: false }, first: boolean): Transition {
    this.successes = 0;
    this.timedOut = kind === 'timeout';
    if (this.failing) return first && this.uncounted ? 'changed' : 'unchanged';
    const counts = kind !== 'active' || retriable;
    if (counts && ++this.failures < this.settings.unhealthyThreshold) return 'pending';
    this.failing = true;
    this.failures = 0;
    return 'changed';
  }

  /** @param random from 0 to below 1 */
  nextCheckInMs(result: CheckResult, transition: Transition, hasTraffic: boolean, random: () => number): number {
    const { settings } = this;
    const baseMs = hasTraffic
      ? this.intervalMs(result.ok, transition)
      : result.ok && transition !== 'pending'
        ? settings.noTrafficHealthyMs
        : settings.noTrafficMs;
    const jitterMs = Math.floor((baseMs * settings.intervalJitterPercent) / 100);
    return baseMs + random() * jitterMs + random() * settings.intervalJitterMs;
  }

  private intervalMs(ok: boolean, transition: Transition): number {
    const { intervalMs, healthyEdgeMs, unhealthyMs, unhealthyEdgeMs } = this.settings;
    if (ok) return transition === 'pending' ? healthyEdgeMs : intervalMs;
    return transition === 'pending' ? unhealthyEdgeMs : unhealthyMs;
  }
}
