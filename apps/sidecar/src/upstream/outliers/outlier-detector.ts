// Upstream: ejects endpoints of one cluster that fail, and takes them back after their time (Envoy's rules).

import { setEjected } from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import { type OutlierJudge, OutlierMonitor } from './outlier-monitor.js';
import type { OutlierKind, OutlierSettings } from './outlier-settings.js';

/** Numbers of one cluster, under the names of Envoy's statistics. */
export class OutlierCounts {
  /** Gauge. */
  ejectionsActive = 0;
  ejectionsEnforcedTotal = 0;
  /** Not ejected, since too many were. */
  ejectionsOverflow = 0;
  readonly detected: Record<OutlierKind, number> = noneOfEach();
  readonly enforced: Record<OutlierKind, number> = noneOfEach();
}

/** An endpoint that is ejected, as the processes of a proxy tell each other. */
export interface Ejection {
  readonly cluster: string;
  /** As `Endpoint.addressText`. */
  readonly endpoint: string;
  readonly forMs: number;
}

function noneOfEach(): Record<OutlierKind, number> {
  return { consecutive_5xx: 0, consecutive_gateway_failure: 0, consecutive_local_origin_failure: 0 };
}

/** One for each cluster with outlier detection; it lives on while its settings stay the same. */
export class OutlierDetector implements OutlierJudge, TimerOwner {
  readonly counts = new OutlierCounts();
  private readonly monitors = new Map<number, OutlierMonitor>();
  private readonly sweep = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly clusterSlot: number,
    private readonly clusterName: string,
    readonly settings: OutlierSettings,
  ) {}

  /** What is known of the endpoint in this slot; new where nothing is. */
  monitor(slot: number, addressText: string): OutlierMonitor {
    let monitor = this.monitors.get(slot);
    if (monitor === undefined || monitor.addressText !== addressText) {
      if (monitor !== undefined) this.forget(slot);
      monitor = new OutlierMonitor(slot, addressText, this.settings, this);
      this.monitors.set(slot, monitor);
    }
    return monitor;
  }

  /** Keeps those of the present endpoints only: their number decides how many may be ejected. */
  retain(slots: ReadonlySet<number>): void {
    for (const slot of this.monitors.keys()) if (!slots.has(slot)) this.forget(slot);
  }

  /** Nothing is detected any more. */
  close(): void {
    this.path.wheel.cancel(this.sweep);
    for (const slot of [...this.monitors.keys()]) this.forget(slot);
  }

  onLimit(monitor: OutlierMonitor, kind: OutlierKind): void {
    if (this.monitors.get(monitor.slot) !== monitor || monitor.ejected) return;
    this.counts.detected[kind]++;
    const { limits, maxEjectionPercent, alwaysEjectOne } = this.settings;
    const active = this.counts.ejectionsActive;
    const allowed = (100 * (active + 1)) / this.monitors.size <= maxEjectionPercent || (alwaysEjectOne && active === 0);
    if (!allowed) {
      this.counts.ejectionsOverflow++;
      if (limits[kind].enforcedPercent > 0) this.logOverflow(monitor, kind);
    } else if (Math.random() * 100 < limits[kind].enforcedPercent) this.eject(monitor, kind);
    monitor.reset(kind);
  }

  onPassedCheck(monitor: OutlierMonitor): void {
    if (this.monitors.get(monitor.slot) === monitor) this.takeBack(monitor);
  }

  onTimer(): void {
    this.path.clock.tick();
    const { nowMs } = this.path.clock;
    for (const monitor of this.monitors.values()) {
      if (!monitor.ejected) {
        if (monitor.growth > 0) monitor.growth--;
      } else if (nowMs - monitor.ejectedAtMs >= monitor.ejectedForMs) this.takeBack(monitor);
    }
    this.scheduleSweep();
  }

  private logOverflow({ addressText }: OutlierMonitor, kind: OutlierKind): void {
    this.path.log('warn', 'an endpoint fails, and stays in use since otherwise too many would be ejected', {
      cluster: this.clusterName,
      endpoint: addressText,
      reason: kind,
      endpoints: this.monitors.size,
      ejections_active: this.counts.ejectionsActive,
      max_ejection_percent: this.settings.maxEjectionPercent,
    });
  }

  /** Another process of the proxy has ejected an endpoint: so does this one, for the same time. */
  take({ endpoint, forMs }: Ejection): void {
    this.path.clock.tick();
    for (const monitor of this.monitors.values()) {
      if (monitor.addressText !== endpoint || monitor.ejected) continue;
      this.keepOut(monitor);
      monitor.ejectedForMs = forMs;
    }
  }

  private eject(monitor: OutlierMonitor, kind: OutlierKind): void {
    const { counts, path, settings } = this;
    const { baseEjectionMs, maxEjectionMs } = settings;
    counts.ejectionsEnforcedTotal++;
    counts.enforced[kind]++;
    this.keepOut(monitor);
    const jitterMs = Math.random() * settings.maxJitterMs;
    monitor.ejectedForMs = Math.min(baseEjectionMs * monitor.growth, maxEjectionMs) + jitterMs;
    path.onEjected?.({ cluster: this.clusterName, endpoint: monitor.addressText, forMs: monitor.ejectedForMs });
    path.log('warn', 'ejected an endpoint', {
      cluster: this.clusterName,
      endpoint: monitor.addressText,
      reason: kind,
      ejected_for_ms: Math.round(monitor.ejectedForMs),
      ejections_active: counts.ejectionsActive,
    });
  }

  private keepOut(monitor: OutlierMonitor): void {
    const { path } = this;
    const { baseEjectionMs, maxEjectionMs } = this.settings;
    this.counts.ejectionsActive++;
    monitor.ejected = true;
    monitor.ejectedAtMs = path.clock.nowMs;
    if (monitor.growth * baseEjectionMs < maxEjectionMs + baseEjectionMs) monitor.growth++;
    setEjected(path.core, this.clusterSlot, monitor.slot, true);
    this.scheduleSweep();
  }

  private takeBack(monitor: OutlierMonitor): void {
    const { counts, path } = this;
    counts.ejectionsActive--;
    monitor.ejected = false;
    monitor.reset();
    setEjected(path.core, this.clusterSlot, monitor.slot, false);
    path.log('info', 'took an endpoint back', {
      cluster: this.clusterName,
      endpoint: monitor.addressText,
      ejected_ms: Math.round(path.clock.nowMs - monitor.ejectedAtMs),
      ejections_active: counts.ejectionsActive,
    });
  }

  private forget(slot: number): void {
    const monitor = this.monitors.get(slot);
    this.monitors.delete(slot);
    if (!monitor?.ejected) return;
    monitor.ejected = false;
    this.counts.ejectionsActive--;
    setEjected(this.path.core, this.clusterSlot, slot, false);
  }

  /** As long as there is something to take back or to forget. */
  private scheduleSweep(): void {
    if (this.sweep.armed) return;
    for (const { ejected, growth } of this.monitors.values()) {
      if (!ejected && growth === 0) continue;
      this.path.wheel.schedule(this.sweep, this.settings.intervalMs);
      return;
    }
  }
}
