// Resource validation: outlier detection and the panic threshold of a cluster.

import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetection } from '@lateen/xds-proto/envoy/config/cluster/v3/outlier_detection_pb.js';
import { checkDuration, type ProblemCollector } from './field-checks.js';

const PERCENTAGES = [
  ['max_ejection_percent', 'maxEjectionPercent'],
  ['enforcing_consecutive_5xx', 'enforcingConsecutive5xx'],
  ['enforcing_consecutive_gateway_failure', 'enforcingConsecutiveGatewayFailure'],
  ['enforcing_consecutive_local_origin_failure', 'enforcingConsecutiveLocalOriginFailure'],
] as const;

/** Envoy's ranges; what compares endpoints with each other must be off, as Istio turns it off. */
export function checkOutliers(outliers: OutlierDetection | undefined, out: ProblemCollector): void {
  if (outliers === undefined) return;
  const at = 'outlier_detection';
  checkDuration(outliers.interval, `${at}.interval`, out, 1);
  checkDuration(outliers.baseEjectionTime, `${at}.base_ejection_time`, out, 1);
  checkDuration(outliers.maxEjectionTime, `${at}.max_ejection_time`, out, 1);
  checkDuration(outliers.maxEjectionTimeJitter, `${at}.max_ejection_time_jitter`, out);
  for (const [name, field] of PERCENTAGES) {
    const percent = outliers[field] ?? 0;
    if (percent > 100) out.add(`${at}.${name}`, `${percent} is more than 100`);
  }
  if (outliers.enforcingSuccessRate !== 0) {
    out.add(
      `${at}.enforcing_success_rate`,
      'must be 0: ejection by success rate is not supported (its default is 100)',
    );
  }
  if (outliers.splitExternalLocalOriginErrors && outliers.enforcingLocalOriginSuccessRate !== 0) {
    out.add(
      `${at}.enforcing_local_origin_success_rate`,
      'must be 0: ejection by success rate is not supported (its default is 100)',
    );
  }
}

export function checkPanic({ commonLbConfig }: Cluster, out: ProblemCollector): void {
  const percent = commonLbConfig?.healthyPanicThreshold?.value ?? 0;
  if (!(percent >= 0 && percent <= 100)) {
    out.add('common_lb_config.healthy_panic_threshold', `${percent} is not a percentage`);
  }
}
