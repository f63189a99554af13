// Upstream: a cluster's outlier detection as it is acted on; absent values are Envoy's defaults.

import type { Duration } from '@bufbuild/protobuf/wkt';
import type { OutlierDetection } from '@lateen/xds-proto/envoy/config/cluster/v3/outlier_detection_pb.js';

/** Errors in a row of one kind; 0 = not looked at. */
export interface ConsecutiveLimit {
  readonly limit: number;
  /** Ejections in percent of the times that the limit was reached. */
  readonly enforcedPercent: number;
}

/** Kinds of errors that are counted, by the words of Envoy's statistics. */
export const OUTLIER_KINDS = [
  'consecutive_5xx',
  'consecutive_gateway_failure',
  'consecutive_local_origin_failure',
] as const;
export type OutlierKind = (typeof OUTLIER_KINDS)[number];

export interface OutlierSettings {
  readonly limits: Readonly<Record<OutlierKind, ConsecutiveLimit>>;
  /** Errors of connecting are counted apart from answers. */
  readonly splitLocalOrigin: boolean;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionMs: number;
  readonly maxJitterMs: number;
  readonly maxEjectionPercent: number;
  readonly alwaysEjectOne: boolean;
  /** A health check that succeeds ends an ejection. */
  readonly checksTakeBack: boolean;
}

const DEFAULT_CONSECUTIVE = 5;
const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_BASE_EJECTION_MS = 30_000;
const DEFAULT_MAX_EJECTION_MS = 300_000;
const DEFAULT_MAX_EJECTION_PERCENT = 10;

function ms(duration: Duration | undefined, absentMs: number): number {
  return duration === undefined ? absentMs : Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
}

/** Undefined where the cluster detects nothing. */
export function outlierSettings(config: OutlierDetection | undefined): OutlierSettings | undefined {
  if (config === undefined) return undefined;
  const baseEjectionMs = ms(config.baseEjectionTime, DEFAULT_BASE_EJECTION_MS);
  return {
    limits: {
      consecutive_5xx: {
        limit: config.consecutive5xx ?? DEFAULT_CONSECUTIVE,
        enforcedPercent: config.enforcingConsecutive5xx ?? 100,
      },
      consecutive_gateway_failure: {
        limit: config.consecutiveGatewayFailure ?? DEFAULT_CONSECUTIVE,
        enforcedPercent: config.enforcingConsecutiveGatewayFailure ?? 0,
      },
      consecutive_local_origin_failure: {
        limit: config.consecutiveLocalOriginFailure ?? DEFAULT_CONSECUTIVE,
        enforcedPercent: config.enforcingConsecutiveLocalOriginFailure ?? 100,
      },
    },
    splitLocalOrigin: config.splitExternalLocalOriginErrors,
    intervalMs: ms(config.interval, DEFAULT_INTERVAL_MS),
    baseEjectionMs,
    maxEjectionMs: Math.max(ms(config.maxEjectionTime, DEFAULT_MAX_EJECTION_MS), baseEjectionMs),
    maxJitterMs: ms(config.maxEjectionTimeJitter, 0),
    maxEjectionPercent: Math.min(config.maxEjectionPercent ?? DEFAULT_MAX_EJECTION_PERCENT, 100),
    alwaysEjectOne: config.alwaysEjectOneHost ?? false,
    checksTakeBack: config.successfulActiveHealthCheckUnejectHost ?? true,
  };
}
