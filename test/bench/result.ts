// Benchmark: what one proxy did in one scenario, as the JSON file holds it.

import type { Spread } from './measure/statistics.js';

export interface GoalOutcome {
  /** For example "CPU / nginx". */
  readonly what: string;
  readonly atMost: number;
  readonly actual: number;
  readonly met: boolean;
}

export interface BenchResult {
  readonly scenario: string;
  readonly title: string;
  readonly proxy: string;
  readonly cpuUsPerRequest?: Spread;
  /** Requests a second: at full speed, or in (f) of those offered. */
  readonly rps?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** What p50Ms and p99Ms were measured at. Latency at full speed says how deep the queue was, not how fast the proxy is. */
  readonly latencyAt?: string;
  readonly rssMiB: number;
  /** Its CPU over each peer's in the same round. */
  readonly cpuRatio?: Readonly<Record<string, Spread>>;
  /** (f): its p99 over each peer's in the same round. */
  readonly p99Ratio?: Readonly<Record<string, Spread>>;
  /** (f): memory of an idle connection, PSS. */
  readonly idleConnectionKiB?: Spread;
  readonly timeouts?: number;
  /** (h): PSS, and above a bare Node process. */
  readonly pssMiB?: Spread;
  readonly pssAboveNodeMiB?: Spread;
  /** (h): from the start of the process until it says that it is ready, and the CPU that it used until then. */
  readonly readyMs?: Spread;
  readonly readyCpuMs?: Spread;
  readonly tableCompileMs?: Spread;
  /** Requests in all measured slices at full speed: few of them mean a figure of little worth. */
  readonly requests?: number;
  readonly failures: number;
  readonly rounds: number;
  readonly goals: readonly GoalOutcome[];
}

/** Compares the middle value of the rounds with the goal. */
export function goalOutcome(what: string, atMost: number, actual: number): GoalOutcome {
  return { what, atMost, actual, met: actual <= atMost };
}
