// Workload health: probes the application again and again, and tells each change of how it is.

import type { ReadinessProbe } from './readiness-probe.js';

export interface HealthLoop {
  stop(): void;
}

/**
 * Starts to probe. As in Istio nothing is told before one of the thresholds is reached for the first time.
 *
 * @param onChange told undefined where the application has become well, else what is wrong with it
 */
export function startHealthLoop(
  { action, initialDelayMs, timeoutMs, periodMs, successThreshold, failureThreshold }: ReadinessProbe,
  onChange: (fault: string | undefined) => void,
): HealthLoop {
  let stopped = false;
  let isHealthy: boolean | undefined;
  let successes = 0;
  let failures = 0;
  const round = async () => {
    const startedMs = Date.now();
    // Loaded when a workload is probed, which pods never are.
    const { probeOnce } = await import('./probe-once.js');
    const fault = await probeOnce(action, timeoutMs);
    if (stopped) return;
    successes = fault === undefined ? successes + 1 : 0;
    failures = fault === undefined ? 0 : failures + 1;
    if (isHealthy !== true && successes >= successThreshold) {
      isHealthy = true;
      onChange(undefined);
    } else if (isHealthy !== false && failures >= failureThreshold) {
      isHealthy = false;
      onChange(fault);
    }
    timer = setTimeout(round, Math.max(0, startedMs + periodMs - Date.now()));
  };
  let timer = setTimeout(round, initialDelayMs);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
