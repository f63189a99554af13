// Resource validation: outlier detection, health checks and the panic threshold of a cluster.

import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { OutlierDetection } from '@lateen/xds-proto/envoy/config/cluster/v3/outlier_detection_pb.js';
import type { HeaderValueOption } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { RequestMethod } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { HealthCheck, HealthCheck_Payload } from '@lateen/xds-proto/envoy/config/core/v3/health_check_pb.js';
import type { Int64Range } from '@lateen/xds-proto/envoy/type/v3/range_pb.js';
import { checkDuration, checkHeaderName, type ProblemCollector } from './field-checks.js';

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

/** @param original the endpoints of the cluster are those that requests name */
export function checkHealthChecks({ healthChecks }: Cluster, original: boolean, out: ProblemCollector): void {
  const [config, second] = healthChecks;
  if (config === undefined) return;
  if (second !== undefined) out.add('health_checks[1]', 'is one too many: a cluster has one health check');
  if (original) out.add('health_checks', 'endpoints that requests name cannot be asked before; leave them out');
  const at = 'health_checks[0]';
  checkTimes(config, at, out);
  const { healthChecker } = config;
  if (healthChecker.case === undefined) {
    out.add(at, 'says no check; use http_health_check, grpc_health_check or tcp_health_check');
  } else if (healthChecker.case === 'httpHealthCheck') {
    const { path, method, expectedStatuses, retriableStatuses, requestHeadersToAdd, requestHeadersToRemove } =
      healthChecker.value;
    const http = `${at}.http_health_check`;
    if (!/^[!-~]+$/.test(path)) out.add(`${http}.path`, path === '' ? 'is required' : 'holds what no path may hold');
    if (method === RequestMethod.CONNECT) out.add(`${http}.method`, 'CONNECT is no way to ask');
    checkStatuses(expectedStatuses, `${http}.expected_statuses`, out);
    checkStatuses(retriableStatuses, `${http}.retriable_statuses`, out);
    for (const [index, payload] of healthChecker.value.receive.entries()) {
      checkPayload(payload, `${http}.receive[${index}]`, out);
    }
    checkHost(healthChecker.value.host, `${http}.host`, out);
    checkHeaders(requestHeadersToAdd, requestHeadersToRemove, http, 'request_headers_to_add', out);
  } else if (healthChecker.case === 'grpcHealthCheck') {
    const grpc = `${at}.grpc_health_check`;
    checkHost(healthChecker.value.authority, `${grpc}.authority`, out);
    checkHeaders(healthChecker.value.initialMetadata, [], grpc, 'initial_metadata', out);
  } else if (healthChecker.case === 'tcpHealthCheck') {
    const { send, receive } = healthChecker.value;
    if (send !== undefined) checkPayload(send, `${at}.tcp_health_check.send`, out);
    for (const [index, payload] of receive.entries()) {
      checkPayload(payload, `${at}.tcp_health_check.receive[${index}]`, out);
    }
  }
}

/** What must be more than nothing, as Envoy has it. */
function checkTimes(config: HealthCheck, at: string, out: ProblemCollector): void {
  const { timeout, interval, unhealthyThreshold, healthyThreshold } = config;
  if (timeout === undefined) out.add(`${at}.timeout`, 'is required');
  if (interval === undefined) out.add(`${at}.interval`, 'is required');
  if (!unhealthyThreshold) out.add(`${at}.unhealthy_threshold`, 'is required, and at least 1');
  if (!healthyThreshold) out.add(`${at}.healthy_threshold`, 'is required, and at least 1');
  checkDuration(timeout, `${at}.timeout`, out, 1);
  checkDuration(interval, `${at}.interval`, out, 1);
  checkDuration(config.noTrafficInterval, `${at}.no_traffic_interval`, out, 1);
  checkDuration(config.noTrafficHealthyInterval, `${at}.no_traffic_healthy_interval`, out, 1);
  checkDuration(config.unhealthyInterval, `${at}.unhealthy_interval`, out, 1);
  checkDuration(config.unhealthyEdgeInterval, `${at}.unhealthy_edge_interval`, out, 1);
  checkDuration(config.healthyEdgeInterval, `${at}.healthy_edge_interval`, out, 1);
  checkDuration(config.initialJitter, `${at}.initial_jitter`, out);
  checkDuration(config.intervalJitter, `${at}.interval_jitter`, out);
}

function checkStatuses(ranges: readonly Int64Range[], at: string, out: ProblemCollector): void {
  ranges.forEach(({ start, end }, index) => {
    if (start >= end || start < 100n || end > 600n) {
      out.add(`${at}[${index}]`, `from ${start} to below ${end} are no statuses; they are from 100 to below 600`);
    }
  });
}

function checkHost(host: string, at: string, out: ProblemCollector): void {
  if (!/^[!-~]*$/.test(host)) out.add(at, 'holds what no host may hold');
}

/** Names that a check writes itself. */
const OWN = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'content-type', 'te', 'upgrade']);

/** Added at `at.field`; removed at `at.request_headers_to_remove`. */
function checkHeaders(
  added: readonly HeaderValueOption[],
  removed: readonly string[],
  at: string,
  field: string,
  out: ProblemCollector,
): void {
  for (const [index, { header }] of added.entries()) {
    const headerAt = `${at}.${field}[${index}].header`;
    const name = header?.key ?? '';
    checkHeaderName(name, `${headerAt}.key`, out);
    if (OWN.has(name.toLowerCase()) || name.startsWith(':'))
      out.add(`${headerAt}.key`, 'is written by the check itself');
    const value = header?.value || Buffer.from(header?.rawValue ?? []).toString('latin1');
    if (!/^[\t -~\u0080-\uffff]*$/.test(value))
      out.add(`${headerAt}.value`, 'holds a character that no header may hold');
    if (value.replaceAll('%%', '').includes('%')) {
      out.add(`${headerAt}.value`, 'variables (%…%) are not supported in health checks; %% is a percent sign');
    }
  }
  for (const [index, name] of removed.entries()) {
    checkHeaderName(name, `${at}.request_headers_to_remove[${index}]`, out);
  }
}

function checkPayload({ payload }: HealthCheck_Payload, at: string, out: ProblemCollector): void {
  if (payload.case === 'text' && /^(?:[0-9A-Fa-f]{2})+$/.test(payload.value)) return;
  if (payload.case === 'binary') return;
  out.add(payload.case === 'text' ? `${at}.text` : at, 'must be bytes in hexadecimal digits, two for each');
}
