// Build: a DestinationRule's outlier detection as fields of a cluster.

import { create } from '@bufbuild/protobuf';
import type { OutlierDetection as IstioOutlierDetection } from '@lateen/istio-config';
import {
  type OutlierDetection,
  OutlierDetectionSchema,
} from '@lateen/xds-proto/envoy/config/cluster/v3/outlier_detection_pb.js';
import { durationOfText } from '../durations.js';

/** Endpoints are never compared by their success; errors in a row eject only where they are set, as in Istio. */
export function outlierDetectionOf(outliers: IstioOutlierDetection | undefined): OutlierDetection | undefined {
  if (outliers === undefined) return undefined;
  const { consecutive5xxErrors, consecutiveGatewayErrors, consecutiveLocalOriginFailures, maxEjectionPercent } =
    outliers;
  const split = outliers.splitExternalLocalOriginErrors === true;
  return create(OutlierDetectionSchema, {
    enforcingSuccessRate: 0,
    consecutive5xx: consecutive5xxErrors,
    enforcingConsecutive5xx: enforced(consecutive5xxErrors),
    consecutiveGatewayFailure: consecutiveGatewayErrors,
    enforcingConsecutiveGatewayFailure: enforced(consecutiveGatewayErrors),
    interval: durationOfText(outliers.interval),
    baseEjectionTime: durationOfText(outliers.baseEjectionTime),
    maxEjectionPercent: maxEjectionPercent || undefined,
    ...(split
      ? {
          splitExternalLocalOriginErrors: true,
          enforcingLocalOriginSuccessRate: 0,
          consecutiveLocalOriginFailure: consecutiveLocalOriginFailures || undefined,
          enforcingConsecutiveLocalOriginFailure: consecutiveLocalOriginFailures ? 100 : undefined,
        }
      : {}),
  });
}

/** Undefined leaves Envoy's default. */
function enforced(errors: number | undefined): number | undefined {
  return errors === undefined ? undefined : errors > 0 ? 100 : 0;
}

/** Below this share of healthy endpoints all are used: never, unless the rule says so (Envoy's own default is 50 %). */
export function panicThresholdOf(outliers: IstioOutlierDetection | undefined): { readonly value: number } | undefined {
  return outliers === undefined ? undefined : { value: outliers.minHealthPercent ?? 0 };
}
