// Build: a HealthCheck as fields of a cluster.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { HealthCheckSpec, OutlierDetection, Payload, StatusRange } from '@lateen/istio-config';
import { type Cluster, Cluster_CommonLbConfigSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { HeaderValueOption_HeaderAppendAction, RequestMethod } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { type HealthCheck, HealthCheckSchema } from '@lateen/xds-proto/envoy/config/core/v3/health_check_pb.js';
import { CodecClientType } from '@lateen/xds-proto/envoy/type/v3/http_pb.js';
import type { Problem } from '../../model.js';
import type { EffectiveHealthCheck } from '../../resolve/lateen/health-checks.js';
import { durationOfMs, durationOfText } from '../durations.js';
import { outlierDetectionOf, panicThresholdOf } from './outlier-detection.js';
import { HTTP_CLIENT_ALPN, HTTP2_CLIENT_ALPN, PLAIN_TCP_CLIENT_ALPN } from './tls-context.js';

const DEFAULT_INTERVAL_MS = 10_000;
const DEFAULT_TIMEOUT_MS = 1_000;
const DEFAULT_UNHEALTHY = 3;
const DEFAULT_HEALTHY = 2;
/** So much of a body is looked at. */
const CHECKED_BODY_BYTES = 65_536;
/** Statuses that can come: Envoy's range, the end not included. */
const FIRST_STATUS = 100;
const END_STATUS = 600;

/** What a check must know of the cluster. */
export interface CheckedCluster {
  readonly hostname: string;
  /** Its requests are HTTP/2, whoever sends them. */
  readonly http2: boolean;
  /** `mesh`: mutual TLS with sidecars; `own`: what a DestinationRule asks for. */
  readonly tls: 'none' | 'mesh' | 'own';
}

const LOCALITY_WEIGHTED = { case: 'localityWeightedLbConfig' as const, value: {} };

/**
 * Which endpoints are in use, and in which share: by outlier detection, active checks and locality.
 * @param isWeighted shares go by the weights of localities
 */
export function healthOf(
  outliers: OutlierDetection | undefined,
  check: EffectiveHealthCheck | undefined,
  isWeighted: boolean,
  cluster: CheckedCluster,
): Partial<Pick<Cluster, 'outlierDetection' | 'commonLbConfig' | 'healthChecks' | 'ignoreHealthOnHostRemoval'>> {
  const outlierDetection = outlierDetectionOf(outliers);
  const localities = isWeighted ? { localityConfigSpecifier: LOCALITY_WEIGHTED } : {};
  if (check === undefined) {
    if (outlierDetection === undefined && !isWeighted) return {};
    const healthyPanicThreshold = panicThresholdOf(outliers);
    return {
      outlierDetection,
      commonLbConfig: create(Cluster_CommonLbConfigSchema, { healthyPanicThreshold, ...localities }),
    };
  }
  // A check that succeeds says nothing of what calls met: an ejected endpoint comes back after its time.
  if (outlierDetection !== undefined) outlierDetection.successfulActiveHealthCheckUnejectHost = false;
  return {
    outlierDetection,
    healthChecks: [healthCheckOf(check.spec, cluster)],
    // An endpoint that the control plane no longer names is gone, whatever it answers.
    ignoreHealthOnHostRemoval: true,
    commonLbConfig: create(Cluster_CommonLbConfigSchema, {
      healthyPanicThreshold: { value: check.spec.panicThreshold ?? outliers?.minHealthPercent ?? 0 },
      // New endpoints are not there until they are known to be well, rather than unhealthy ones that may start a panic.
      ignoreNewHostsUntilFirstHc: true,
      ...localities,
    }),
  };
}

function healthCheckOf(spec: HealthCheckSpec, cluster: CheckedCluster): HealthCheck {
  return create(HealthCheckSchema, {
    interval: durationOfText(spec.interval) ?? durationOfMs(DEFAULT_INTERVAL_MS),
    timeout: durationOfText(spec.timeout) ?? durationOfMs(DEFAULT_TIMEOUT_MS),
    unhealthyThreshold: spec.unhealthyThreshold ?? DEFAULT_UNHEALTHY,
    healthyThreshold: spec.healthyThreshold ?? DEFAULT_HEALTHY,
    initialJitter: durationOfText(spec.initialJitter),
    intervalJitter: durationOfText(spec.intervalJitter),
    intervalJitterPercent: spec.intervalJitterPercent ?? 0,
    noTrafficInterval: durationOfText(spec.noTrafficInterval),
    unhealthyInterval: durationOfText(spec.unhealthyInterval),
    unhealthyEdgeInterval: durationOfText(spec.unhealthyEdgeInterval),
    healthyEdgeInterval: durationOfText(spec.healthyEdgeInterval),
    reuseConnection: spec.reuseConnection,
    alwaysLogHealthCheckFailures: spec.logFailures ?? false,
    tlsOptions: alpnOf(spec, cluster),
    healthChecker: checkerOf(spec, cluster),
  });
}

function checkerOf(
  { http, grpc, tcp }: HealthCheckSpec,
  { hostname, http2 }: CheckedCluster,
): HealthCheck['healthChecker'] {
  const init = ({ healthChecker }: MessageInitShape<typeof HealthCheckSchema>) =>
    create(HealthCheckSchema, { healthChecker }).healthChecker;
  if (http !== undefined) {
    return init({
      healthChecker: {
        case: 'httpHealthCheck',
        value: {
          path: http.path,
          host: http.host || hostname,
          method: RequestMethod[http.method ?? 'GET'],
          requestHeadersToAdd: headersOf(http.headers),
          expectedStatuses: http.expectedStatuses?.length ? http.expectedStatuses.map(halfOpen) : [],
          // Envoy counts no other status: without this a single one would be enough, whatever the threshold.
          retriableStatuses: without(http.unhealthyStatuses ?? []),
          ...(http.receive?.length
            ? { receive: http.receive.map(payloadOf), responseBufferSize: BigInt(CHECKED_BODY_BYTES) }
            : {}),
          codecClientType: http2 ? CodecClientType.HTTP2 : CodecClientType.HTTP1,
        },
      },
    });
  }
  if (grpc !== undefined) {
    const { serviceName = '', authority, headers } = grpc;
    const value = { serviceName, authority: authority || hostname, initialMetadata: headersOf(headers) };
    return init({ healthChecker: { case: 'grpcHealthCheck', value } });
  }
  const { send, receive = [] } = tcp ?? {};
  const value = { send: send && payloadOf(send), receive: receive.map(payloadOf) };
  return init({ healthChecker: { case: 'tcpHealthCheck', value } });
}

function headersOf(headers: Readonly<Record<string, string>> = {}) {
  return Object.entries(headers).map(([key, value]) => ({
    // A percent sign would begin a variable.
    header: { key, value: value.replaceAll('%', '%%') },
    appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  }));
}

function payloadOf({ text, hex }: Payload) {
  return { payload: { case: 'text', value: hex ?? Buffer.from(text ?? '', 'utf8').toString('hex') } } as const;
}

function halfOpen({ from, to = from }: StatusRange) {
  return { start: BigInt(from), end: BigInt(to + 1) };
}

/** All statuses but these, as ranges. */
function without(ranges: readonly StatusRange[]) {
  const rest: { start: bigint; end: bigint }[] = [];
  let next = FIRST_STATUS;
  for (const { from, to = from } of [...ranges].sort((a, b) => a.from - b.from)) {
    if (from > next) rest.push({ start: BigInt(next), end: BigInt(from) });
    next = Math.max(next, to + 1);
  }
  if (next < END_STATUS) rest.push({ start: BigInt(next), end: BigInt(END_STATUS) });
  return rest;
}

/** What a check offers in its TLS handshakes: it may speak another protocol than the cluster's requests. */
function alpnOf({ http, grpc }: HealthCheckSpec, { http2, tls }: CheckedCluster): HealthCheck['tlsOptions'] {
  const isHttp2 = grpc !== undefined || (http !== undefined && http2);
  let alpnProtocols: readonly string[] = isHttp2 && tls === 'own' ? ['h2'] : [];
  if (tls === 'mesh') {
    if (isHttp2) alpnProtocols = HTTP2_CLIENT_ALPN;
    else alpnProtocols = http === undefined ? PLAIN_TCP_CLIENT_ALPN : HTTP_CLIENT_ALPN;
  }
  if (alpnProtocols.length === 0) return undefined;
  return create(HealthCheckSchema, { tlsOptions: { alpnProtocols: [...alpnProtocols] } }).tlsOptions;
}

/** A rule and a check that say different things of the same clusters. */
export function panicConflict(
  { namespace, name, spec }: EffectiveHealthCheck,
  outliers: OutlierDetection | undefined,
  cluster: string,
): Problem | undefined {
  const { panicThreshold } = spec;
  const other = outliers?.minHealthPercent;
  if (panicThreshold === undefined || other === undefined || other === panicThreshold) return undefined;
  return {
    code: 'conflicting-panic-threshold',
    severity: 'warning',
    subject: `HealthCheck/${namespace}/${name}`,
    message: `panicThreshold ${panicThreshold} is used for ${cluster}, not minHealthPercent ${other} of its DestinationRule; remove one of them`,
  };
}

/** Nobody can be asked before a call says where it goes. */
export function uncheckedCluster({ namespace, name }: EffectiveHealthCheck, hostname: string): Problem {
  return {
    code: 'unused-health-check',
    severity: 'warning',
    subject: `HealthCheck/${namespace}/${name}`,
    message: `${hostname} is not checked: its endpoints are those that calls name`,
  };
}
