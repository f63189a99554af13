// Metrics: the sidecar's own, under Envoy's names where Envoy has them, else under `lateen_`.

import type { RouteCounts } from '@lateen/filters-wasm';
import { shortTypeName } from '@lateen/xds-proto';
import type { SubscriptionStatus } from '@lateen/xds-stream';
import type { DataPlaneViews } from '../data-plane.js';
import type { AuthorizerCounts } from '../external-authorization/authorizer-counts.js';
import type { OwnIdentity } from '../identity/own-identity.js';
import type { LimitServiceCounts } from '../limit-service/limit-counts.js';
import type { RbacCounts } from '../rbac/rbac-counts.js';
import { PEER_FAULTS } from '../transport/peer-check.js';
import { OUTLIER_KINDS } from '../upstream/outliers/outlier-settings.js';
import type { Seen, SeenWorkers } from '../workers/observation.js';
import { clustersByStatName, sumOf, writeClusters } from './cluster-metrics.js';
import { formatLabels, type MetricType, type PrometheusText } from './prometheus-text.js';

export interface SidecarMetricSources extends Seen {
  readonly identity: OwnIdentity | undefined;
  /** Undefined without a control plane. */
  readonly ads: { readonly connected: boolean; readonly statuses: readonly SubscriptionStatus[] } | undefined;
  readonly startedMs: number;
}

export function writeSidecarMetrics(out: PrometheusText, sources: SidecarMetricSources): void {
  const one = (name: string, type: MetricType, help: string, value: number, labels = '') => {
    out.metric(name, type, help);
    out.sample(name, labels, value);
  };
  const { dataPlane, ads, identity } = sources;
  const { stats } = dataPlane;
  one('envoy_server_uptime', 'gauge', 'Seconds since the start.', Math.floor((Date.now() - sources.startedMs) / 1000));
  one('process_resident_memory_bytes', 'gauge', 'Resident memory.', sources.usage.residentBytes);
  one('process_cpu_seconds_total', 'counter', 'CPU time.', sources.usage.cpuSeconds);
  one('envoy_listener_downstream_cx_total', 'counter', 'Connections accepted.', stats.downstreamCxTotal);
  one('envoy_listener_downstream_cx_active', 'gauge', 'Open downstream connections.', stats.downstreamCxActive);
  one(
    'envoy_listener_downstream_cx_overflow',
    'counter',
    'Connections closed since a limit was reached.',
    stats.downstreamCxOverflow,
  );
  one(
    'lateen_listener_loops_total',
    'counter',
    'Connections reset since they were opened to an intercepting listener itself.',
    stats.downstreamCxLoops,
  );
  one('envoy_listener_ssl_handshake', 'counter', 'TLS handshakes completed.', stats.downstreamCxTlsTotal);
  one('envoy_listener_ssl_connection_error', 'counter', 'TLS handshakes that failed.', stats.downstreamCxTlsErrors);
  for (const fault of PEER_FAULTS) {
    const name = `envoy_listener_ssl_fail_verify_${fault}`;
    one(name, 'counter', 'Clients refused for their certificate.', stats.downstreamCxTlsRefused[fault]);
  }
  one(
    'lateen_listener_unrecognized_total',
    'counter',
    'Connections closed while their first bytes were looked at.',
    stats.downstreamCxUnrecognized,
  );
  one(
    'envoy_listener_no_filter_chain_match',
    'counter',
    'Connections that no filter chain took.',
    stats.downstreamCxNoFilterChain,
  );
  one('envoy_tcp_downstream_cx_total', 'counter', 'Connections that a TCP proxy took.', stats.tcpCxTotal);
  one('envoy_tcp_downstream_cx_no_route', 'counter', 'Of these without a cluster.', stats.tcpCxNoRoute);
  one('envoy_tcp_downstream_cx_rx_bytes_total', 'counter', 'Bytes from their clients.', stats.tcpCxReceivedBytes);
  one('envoy_tcp_downstream_cx_tx_bytes_total', 'counter', 'Bytes to their clients.', stats.tcpCxSentBytes);
  one('envoy_tcp_downstream_cx_active', 'gauge', 'Open connections of TCP proxies.', stats.tcpCxActive);
  one('envoy_http_downstream_rq_total', 'counter', 'Requests received.', stats.downstreamRqTotal);
  one('envoy_http_downstream_rq_active', 'gauge', 'Requests in flight.', stats.downstreamRqActive);
  out.metric('envoy_http_downstream_rq_xx', 'counter', 'Responses by class.');
  const classes = [
    stats.downstreamRq1xx,
    stats.downstreamRq2xx,
    stats.downstreamRq3xx,
    stats.downstreamRq4xx,
    stats.downstreamRq5xx,
  ];
  classes.forEach((count, index) => {
    out.sample('envoy_http_downstream_rq_xx', `envoy_response_code_class="${index + 1}"`, count);
  });
  out.metric('lateen_responses_by_flag_total', 'counter', 'Exchanges by response flag.');
  for (const [flag, count] of Object.entries(stats.rqByFlag)) {
    out.sample('lateen_responses_by_flag_total', formatLabels([['response_flags', flag]]), count);
  }
  one('envoy_http2_rx_reset', 'counter', 'Streams that peers have reset.', stats.http2ResetsReceived);
  one('envoy_http2_tx_reset', 'counter', 'Streams that were reset toward peers.', stats.http2ResetsSent);
  one(
    'lateen_http2_connection_errors_total',
    'counter',
    'HTTP/2 connections ended by an error of their peer.',
    stats.http2ConnectionErrors,
  );
  out.metric('lateen_http2_floods_total', 'counter', 'HTTP/2 connections ended by a limit against floods.');
  for (const [limit, count] of Object.entries(stats.http2Floods)) {
    out.sample('lateen_http2_floods_total', formatLabels([['limit', limit]]), count);
  }
  one('lateen_output_ring_used_bytes', 'gauge', 'Bytes in use of the output ring.', stats.ringUsedBytes);
  one('lateen_config_applied_total', 'counter', 'Configurations put in effect.', stats.configApplied);
  one('lateen_config_rejected_total', 'counter', 'Configurations that the data path refused.', stats.configRejected);
  writeRateLimits(out, dataPlane);
  writeLimitServices(out, dataPlane);
  writeTokenChecks(out, dataPlane);
  writeRbac(out, dataPlane);
  writeAuthorizers(out, dataPlane);
  writeRoutes(out, dataPlane);
  writeClusters(out, dataPlane);
  writeOutliers(out, dataPlane);
  writeHealthChecks(out, dataPlane);
  out.metric('lateen_access_log_lines_dropped_total', 'counter', 'Access log lines lost for lack of room.');
  for (const [path, dropped] of sources.lostLines.dropped) {
    out.sample('lateen_access_log_lines_dropped_total', formatLabels([['path', path]]), dropped);
  }
  out.metric('lateen_audit_records_dropped_total', 'counter', 'Requests that are in no audit log for lack of room.');
  for (const [path, dropped] of sources.lostLines.auditDropped) {
    out.sample('lateen_audit_records_dropped_total', formatLabels([['path', path]]), dropped);
  }
  if (sources.workers !== undefined) writeWorkers(out, sources.workers);
  if (ads !== undefined) writeControlPlane(out, ads);
  if (identity?.current !== undefined) {
    const seconds = (identity.current.notAfter.getTime() - Date.now()) / 1000;
    one('lateen_certificate_expiry_seconds', 'gauge', 'Seconds until the own certificate ends.', Math.round(seconds));
    one('lateen_certificate_renewals_total', 'counter', 'Certificates received.', identity.status.renewals);
  }
}

/** Of a proxy of several processes; the first one's number is 0. */
function writeWorkers(out: PrometheusText, { processes, restarts }: SeenWorkers): void {
  out.metric('lateen_worker_connections_total', 'counter', 'Connections accepted, by process.');
  for (const { index, connectionsTotal } of processes) {
    out.sample('lateen_worker_connections_total', `worker="${index}"`, connectionsTotal);
  }
  out.metric('lateen_worker_connections_active', 'gauge', 'Open downstream connections, by process.');
  for (const { index, connectionsActive } of processes) {
    out.sample('lateen_worker_connections_active', `worker="${index}"`, connectionsActive);
  }
  out.metric('lateen_worker_restarts_total', 'counter', 'Workers that ended and were replaced.');
  out.sample('lateen_worker_restarts_total', '', restarts);
}

function writeControlPlane(out: PrometheusText, ads: NonNullable<SidecarMetricSources['ads']>): void {
  out.metric('envoy_control_plane_connected_state', 'gauge', 'Whether the control plane is connected.');
  out.sample('envoy_control_plane_connected_state', '', ads.connected ? 1 : 0);
  for (const [name, help, read] of [
    ['lateen_xds_update_success_total', 'Responses accepted.', ({ accepted }: SubscriptionStatus) => accepted],
    ['lateen_xds_update_rejected_total', 'Responses refused.', ({ rejected }: SubscriptionStatus) => rejected],
  ] as const) {
    out.metric(name, 'counter', help);
    for (const status of ads.statuses) out.sample(name, `type="${shortTypeName(status.typeUrl)}"`, read(status));
  }
}

/** Under the names and the label that Envoy gives them. */
function writeRateLimits(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const counts = dataPlane.rateLimits();
  if (counts.length === 0) return;
  const METRICS = [
    ['enabled', 'Requests that a local rate limit looked at.', (one) => one.enabled],
    ['enforced', 'Requests that a local rate limit refused.', (one) => one.enforced],
    ['ok', 'Requests that had a token.', (one) => one.ok],
    ['rate_limited', 'Requests without a token.', (one) => one.rateLimited],
  ] as const satisfies readonly (readonly [string, string, (one: (typeof counts)[number]) => number])[];
  for (const [name, help, read] of METRICS) {
    const metric = `envoy_http_local_rate_limit_${name}`;
    out.metric(metric, 'counter', help);
    for (const one of counts)
      out.sample(metric, formatLabels([['envoy_local_http_ratelimit_prefix', one.statPrefix]]), read(one));
  }
}

/** Under Envoy's names; those of filters with a `stat_prefix` have it in theirs. */
function writeLimitServices(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const METRICS = [
    ['ok', 'Requests that a rate limit service let through.', ({ ok }) => ok],
    ['over_limit', 'Requests that it refused.', ({ overLimit }) => overLimit],
    ['error', 'Requests about which it gave no answer.', ({ error }) => error],
    ['failure_mode_allowed', 'Of these let through.', ({ failureModeAllowed }) => failureModeAllowed],
  ] as const satisfies readonly (readonly [string, string, (one: LimitServiceCounts) => number])[];
  const all = dataPlane.limitServices();
  for (const prefix of new Set(all.map(({ statPrefix }) => statPrefix))) {
    const counts = all.filter(({ statPrefix }) => statPrefix === prefix);
    const infix = prefix === '' ? '' : `${prefix.replace(/[^a-zA-Z0-9_]/g, '_')}_`;
    for (const [name, help, read] of METRICS) {
      const metric = `envoy_cluster_ratelimit_${infix}${name}`;
      out.metric(metric, 'counter', help);
      for (const one of counts) out.sample(metric, formatLabels([['cluster_name', one.cluster]]), read(one));
    }
  }
}

/** Under the names and the label that Envoy gives them. */
function writeTokenChecks(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const counts = dataPlane.tokenChecks();
  if (counts.length === 0) return;
  const METRICS = [
    ['allowed', 'Requests that the filter for tokens let through.', (one) => one.allowed],
    ['denied', 'Requests that the filter for tokens refused.', (one) => one.denied],
    ['cors_preflight_bypassed', 'Preflights, which carry no tokens.', (one) => one.corsPreflightBypassed],
    ['jwt_cache_hit', 'Tokens that were remembered as good.', (one) => one.cacheHits],
    ['jwt_cache_miss', 'Tokens whose signature was checked.', (one) => one.cacheMisses],
  ] as const satisfies readonly (readonly [string, string, (one: (typeof counts)[number]) => number])[];
  for (const [name, help, read] of METRICS) {
    const metric = `envoy_http_jwt_authn_${name}`;
    out.metric(metric, 'counter', help);
    for (const one of counts) {
      out.sample(metric, formatLabels([['envoy_http_conn_manager_prefix', one.statPrefix]]), read(one));
    }
  }
}

/** Under Envoy's names: those of connection managers have prefixes as labels, those of connections what is before `shadow_` in theirs. */
function writeRbac(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const METRICS = [
    ['allowed', 'What rules let through.', 'rulesPrefix', ({ allowed }) => allowed],
    ['denied', 'What rules did not let through.', 'rulesPrefix', ({ denied }) => denied],
    ['shadow_allowed', 'What shadow rules would let through.', 'shadowPrefix', ({ shadowAllowed }) => shadowAllowed],
    ['shadow_denied', 'What shadow rules would not let through.', 'shadowPrefix', ({ shadowDenied }) => shadowDenied],
  ] as const satisfies readonly (readonly [string, string, keyof RbacCounts, (one: RbacCounts) => number])[];
  for (const [name, help, prefix, read] of METRICS) {
    const metrics = new Map<string, Map<string, number>>();
    for (const one of dataPlane.rbac()) {
      const [metric, labels] = rbacSeries(one, name, one[prefix]);
      const series = metrics.get(metric) ?? new Map<string, number>();
      metrics.set(metric, series.set(labels, (series.get(labels) ?? 0) + read(one)));
    }
    for (const [metric, series] of metrics) {
      out.metric(metric, 'counter', help);
      for (const [labels, value] of series) out.sample(metric, labels, value);
    }
  }
}

/** Envoy counts requests at the cluster that they are for as well. */
function writeAuthorizers(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const METRICS = [
    ['ok', 'What authorizers let through.', ({ ok }) => ok],
    ['denied', 'What they denied.', ({ denied }) => denied],
    ['error', 'What they gave no answer about.', ({ error }) => error],
    ['failure_mode_allowed', 'Of these let through.', ({ failureModeAllowed }) => failureModeAllowed],
    ['disabled', 'What nobody had to be asked about.', ({ disabled }) => disabled],
    ['invalid', 'Answers that could not be followed.', ({ invalid }) => invalid],
  ] as const satisfies readonly (readonly [string, string, (one: AuthorizerCounts) => number])[];
  for (const kind of ['http', 'network'] as const) {
    const counts = dataPlane.authorizers().filter((one) => one.kind === kind);
    if (counts.length === 0) continue;
    for (const [name, help, read] of METRICS) {
      const metric = kind === 'http' ? `envoy_http_ext_authz_${name}` : `envoy_ext_authz_${name}`;
      const label = kind === 'http' ? 'envoy_http_conn_manager_prefix' : 'envoy_ext_authz_prefix';
      out.metric(metric, 'counter', help);
      for (const one of counts)
        out.sample(metric, formatLabels([[label, one.statPrefix.replace(/\.$/, '')]]), read(one));
    }
  }
}

function rbacSeries({ kind, statPrefix }: RbacCounts, name: string, prefix: string): [string, string] {
  if (kind === 'network') {
    const infix = prefix === '' ? '' : `${prefix.replace(/[^a-zA-Z0-9_]/g, '_')}_`;
    return [`envoy_rbac_${infix}${name}`, formatLabels([['envoy_rbac_prefix', statPrefix.replace(/\.$/, '')]])];
  }
  const labels: [string, string][] = [['envoy_http_conn_manager_prefix', statPrefix]];
  if (prefix !== '') labels.unshift(['envoy_rbac_http_prefix', prefix]);
  return [`envoy_http_rbac_${name}`, formatLabels(labels)];
}

/** Of routes with a `stat_prefix`; Envoy has the same counters below `vhost.NAME.route.PREFIX`. */
function writeRoutes(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const counts = dataPlane.routeCounts();
  if (counts.length === 0) return;
  const METRICS = [
    ['total', 'Attempts at upstreams.', ({ total }) => total],
    ['completed', 'Requests that were answered.', ({ classes }) => classes.reduce((sum, one) => sum + one, 0)],
    ['retry', 'Attempts after the first one.', ({ retries }) => retries],
    [
      'retry_limit_exceeded',
      'Requests that failed after all their retries.',
      ({ retryLimitExceeded }) => retryLimitExceeded,
    ],
    ['timeout', 'Requests that took too long.', ({ timeouts }) => timeouts],
  ] as const satisfies readonly (readonly [string, string, (one: RouteCounts) => number])[];
  const labels = ({ virtualHost, statPrefix }: RouteCounts) =>
    [
      ['envoy_virtual_host', virtualHost],
      ['envoy_route', statPrefix],
    ] as const;
  for (const [name, help, read] of METRICS) {
    out.metric(`envoy_vhost_route_upstream_rq_${name}`, 'counter', help);
    for (const one of counts) out.sample(`envoy_vhost_route_upstream_rq_${name}`, formatLabels(labels(one)), read(one));
  }
  out.metric('envoy_vhost_route_upstream_rq_xx', 'counter', 'Answers by class of their status.');
  for (const one of counts) {
    one.classes.forEach((value, digit) => {
      const all = [...labels(one), ['envoy_response_code_class', String(digit)] as const];
      if (value > 0) out.sample('envoy_vhost_route_upstream_rq_xx', formatLabels(all), value);
    });
  }
}

/** Under Envoy's names; clusters without health checks have none. */
function writeHealthChecks(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const clusters = [...clustersByStatName(dataPlane)].flatMap(([name, sharing]) => {
    const checks = sharing.flatMap(({ health }) => (health ? [health] : []));
    return checks.length === 0 ? [] : [{ name, checks }];
  });
  if (clusters.length === 0) return;
  const METRICS = [
    ['attempt', 'counter', 'Health checks begun.', ({ attempt }) => attempt],
    ['success', 'counter', 'Health checks that succeeded.', ({ success }) => success],
    ['failure', 'counter', 'Health checks that failed.', ({ failure }) => failure],
    ['network_failure', 'counter', 'Of these without an answer.', ({ networkFailure }) => networkFailure],
    ['healthy', 'gauge', 'Endpoints that pass their health checks.', ({ healthy }) => healthy],
  ] as const satisfies readonly (readonly [
    string,
    MetricType,
    string,
    (one: (typeof clusters)[number]['checks'][number]) => number,
  ])[];
  for (const [count, type, help, read] of METRICS) {
    const metric = `envoy_cluster_health_check_${count}`;
    out.metric(metric, type, help);
    for (const { name, checks } of clusters) {
      out.sample(metric, formatLabels([['cluster_name', name]]), sumOf(checks, read));
    }
  }
}

/** Under Envoy's names; clusters without outlier detection have none. */
function writeOutliers(out: PrometheusText, dataPlane: DataPlaneViews): void {
  const clusters = [...clustersByStatName(dataPlane)].flatMap(([name, sharing]) => {
    const detectors = sharing.flatMap(({ outliers }) => (outliers ? [outliers] : []));
    return detectors.length === 0 ? [] : [{ name, detectors }];
  });
  if (clusters.length === 0) return;
  type Counts = (typeof clusters)[number]['detectors'][number];
  const metric = (name: string, type: MetricType, help: string, read: (counts: Counts) => number) => {
    out.metric(`envoy_cluster_outlier_detection_${name}`, type, help);
    for (const { name: cluster, detectors } of clusters) {
      const labels = formatLabels([['cluster_name', cluster]]);
      out.sample(`envoy_cluster_outlier_detection_${name}`, labels, sumOf(detectors, read));
    }
  };
  metric('ejections_active', 'gauge', 'Endpoints that are ejected.', ({ ejectionsActive }) => ejectionsActive);
  metric('ejections_enforced_total', 'counter', 'Ejections.', (counts) => counts.ejectionsEnforcedTotal);
  metric('ejections_overflow', 'counter', 'Not ejected: too many were.', ({ ejectionsOverflow }) => ejectionsOverflow);
  for (const kind of OUTLIER_KINDS) {
    metric(`ejections_detected_${kind}`, 'counter', 'Limits of errors reached.', ({ detected }) => detected[kind]);
    metric(`ejections_enforced_${kind}`, 'counter', 'Ejections by kind of error.', ({ enforced }) => enforced[kind]);
  }
}
