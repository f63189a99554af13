// Warm-up of new endpoints (Envoy's slow start): its settings and its curve.
import type { Cluster_SlowStartConfig } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { SlowStartConfig } from '@lateen/xds-proto/envoy/extensions/load_balancing_policies/common/v3/common_pb.js';
import type { ProblemList } from '../problems.js';
import { WARMTH_WHOLE } from './warm-up-layout.js';

export interface WarmUpSettings {
  readonly windowMs: number;
  /** 1 = evenly; the higher, the steeper at the beginning. */
  readonly aggression: number;
  /** Of 1: what counts of a weight at the least. */
  readonly minimum: number;
}

const DEFAULT_MINIMUM_PERCENT = 10;

/** Undefined where new endpoints get their share at once. */
export function readSlowStart(
  problems: ProblemList,
  path: string,
  config: Cluster_SlowStartConfig | SlowStartConfig | undefined,
): WarmUpSettings | undefined {
  if (config === undefined) return undefined;
  const window = config.slowStartWindow;
  const windowMs = window === undefined ? 0 : Number(window.seconds) * 1000 + window.nanos / 1_000_000;
  const aggression = config.aggression?.defaultValue ?? 1;
  const minimum = (config.minWeightPercent?.value ?? DEFAULT_MINIMUM_PERCENT) / 100;
  if (windowMs < 0) problems.add(`${path}.slow_start_window`, 'must not be negative');
  if (!(aggression > 0)) problems.add(`${path}.aggression`, 'must be more than 0');
  if (!(minimum >= 0 && minimum <= 1)) problems.add(`${path}.min_weight_percent`, 'must be from 0 to 100');
  return windowMs > 0 ? { windowMs, aggression, minimum } : undefined;
}

/** What counts of the weight of an endpoint that joined so long ago, in thousandths; WARMTH_WHOLE once it is warm. */
export function warmthAt({ windowMs, aggression, minimum }: WarmUpSettings, ageMs: number): number {
  if (ageMs >= windowMs) return WARMTH_WHOLE;
  const time = Math.max(ageMs, 1) / windowMs;
  const factor = Math.max(aggression === 1 ? time : time ** (1 / aggression), minimum);
  return Math.min(Math.max(Math.round(factor * WARMTH_WHOLE), 1), WARMTH_WHOLE);
}
