// Health checks: a cluster's active check as it is acted on; absent values are Envoy's defaults.

import type { JsonObject } from '@bufbuild/protobuf';
import type { Duration } from '@bufbuild/protobuf/wkt';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  type HeaderValueOption,
  RequestMethod,
} from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type {
  HealthCheck,
  HealthCheck_HttpHealthCheck,
  HealthCheck_Payload,
} from '@lateen/xds-proto/envoy/config/core/v3/health_check_pb.js';
import { CodecClientType } from '@lateen/xds-proto/envoy/type/v3/http_pb.js';
import type { Int64Range } from '@lateen/xds-proto/envoy/type/v3/range_pb.js';

/** The end is not included. */
export interface StatusRange {
  readonly start: number;
  readonly end: number;
}

export type CheckSettings =
  | {
      readonly kind: 'http';
      readonly method: string;
      readonly path: string;
      /** Empty: the cluster's name. */
      readonly host: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
      readonly http2: boolean;
      readonly expected: readonly StatusRange[];
      readonly retriable: readonly StatusRange[];
      /** What the body has to hold, in hexadecimal digits. */
      readonly receive: readonly string[];
      /** So much of it is looked at. */
      readonly maxBodyBytes: number;
    }
  | {
      readonly kind: 'grpc';
      readonly serviceName: string;
      /** Empty: the cluster's name. */
      readonly host: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | {
      readonly kind: 'tcp';
      /** In hexadecimal digits, so that settings compare. */
      readonly send: string;
      readonly receive: readonly string[];
    };

export interface HealthSettings {
  readonly timeoutMs: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  readonly intervalMs: number;
  readonly healthyEdgeMs: number;
  readonly unhealthyMs: number;
  readonly unhealthyEdgeMs: number;
  /** As long as nobody has called the cluster. */
  readonly noTrafficMs: number;
  readonly noTrafficHealthyMs: number;
  readonly initialJitterMs: number;
  readonly intervalJitterMs: number;
  readonly intervalJitterPercent: number;
  readonly reuseConnection: boolean;
  readonly logFailures: boolean;
  readonly logSuccesses: boolean;
  /** Offered in TLS handshakes in place of the cluster's; undefined: the cluster's. */
  readonly alpn: readonly string[] | undefined;
  /** Chooses the transport socket in place of the endpoint's metadata. */
  readonly transportCriteria: JsonObject | undefined;
  /** New endpoints do not count until they were checked; otherwise they are unhealthy. */
  readonly newAreUncounted: boolean;
  readonly check: CheckSettings;
}

const DEFAULT_NO_TRAFFIC_MS = 60_000;
/** Envoy's default of `response_buffer_size`; 0 is as much as comes, of which a sidecar keeps this. */
const DEFAULT_BODY_BYTES = 1_024;
const MAX_BODY_BYTES = 1_048_576;
const OK: readonly StatusRange[] = [{ start: 200, end: 201 }];
/** What Envoy calls itself in checks; applications leave it out of their logs. */
const USER_AGENT = 'Envoy/HC';

function ms(duration: Duration | undefined, absentMs: number): number {
  return duration === undefined ? absentMs : Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
}

/** Undefined where the cluster's endpoints are not checked. */
export function healthSettings(cluster: Cluster): HealthSettings | undefined {
  const [config] = cluster.healthChecks;
  const check = config && readCheck(config);
  if (config === undefined || check === undefined) return undefined;
  const intervalMs = ms(config.interval, 0);
  const unhealthyMs = ms(config.unhealthyInterval, intervalMs);
  const noTrafficMs = ms(config.noTrafficInterval, DEFAULT_NO_TRAFFIC_MS);
  return {
    timeoutMs: ms(config.timeout, 0),
    unhealthyThreshold: config.unhealthyThreshold ?? 1,
    healthyThreshold: config.healthyThreshold ?? 1,
    intervalMs,
    healthyEdgeMs: ms(config.healthyEdgeInterval, intervalMs),
    unhealthyMs,
    unhealthyEdgeMs: ms(config.unhealthyEdgeInterval, unhealthyMs),
    noTrafficMs,
    noTrafficHealthyMs: ms(config.noTrafficHealthyInterval, noTrafficMs),
    initialJitterMs: ms(config.initialJitter, 0),
    intervalJitterMs: ms(config.intervalJitter, 0),
    intervalJitterPercent: config.intervalJitterPercent,
    reuseConnection: config.reuseConnection ?? true,
    logFailures: config.alwaysLogHealthCheckFailures,
    logSuccesses: config.alwaysLogHealthCheckSuccess,
    alpn: config.tlsOptions?.alpnProtocols.length ? config.tlsOptions.alpnProtocols : undefined,
    transportCriteria: config.transportSocketMatchCriteria,
    newAreUncounted: cluster.commonLbConfig?.ignoreNewHostsUntilFirstHc ?? false,
    check,
  };
}

function readCheck({ healthChecker }: HealthCheck): CheckSettings | undefined {
  switch (healthChecker.case) {
    case 'httpHealthCheck': {
      const { value } = healthChecker;
      const { method, requestHeadersToAdd, requestHeadersToRemove, expectedStatuses, retriableStatuses } = value;
      return {
        kind: 'http',
        method: method === RequestMethod.METHOD_UNSPECIFIED ? 'GET' : RequestMethod[method],
        path: value.path,
        host: value.host,
        headers: headersOf([['user-agent', USER_AGENT]], requestHeadersToAdd, requestHeadersToRemove),
        http2: value.codecClientType === CodecClientType.HTTP2,
        expected: expectedStatuses.length === 0 ? OK : expectedStatuses.map(rangeOf),
        retriable: retriableStatuses.map(rangeOf),
        receive: value.receive.map(payloadOf),
        maxBodyBytes: bodyLimit(value),
      };
    }
    case 'grpcHealthCheck': {
      const { serviceName, authority: host, initialMetadata } = healthChecker.value;
      return { kind: 'grpc', serviceName, host, headers: headersOf([['user-agent', USER_AGENT]], initialMetadata, []) };
    }
    case 'tcpHealthCheck': {
      const { send, receive } = healthChecker.value;
      return { kind: 'tcp', send: payloadOf(send), receive: receive.map(payloadOf) };
    }
    default:
      return undefined;
  }
}

function bodyLimit({ receive, responseBufferSize }: HealthCheck_HttpHealthCheck): number {
  if (receive.length === 0) return 0;
  const asked = responseBufferSize === undefined ? DEFAULT_BODY_BYTES : Number(responseBufferSize);
  return asked === 0 ? MAX_BODY_BYTES : Math.min(asked, MAX_BODY_BYTES);
}

function rangeOf({ start, end }: Int64Range): StatusRange {
  return { start: Number(start), end: Number(end) };
}

function payloadOf(payload: HealthCheck_Payload | undefined): string {
  if (payload === undefined) return '';
  const { payload: bytes } = payload;
  if (bytes.case === 'text') return bytes.value.toLowerCase();
  return bytes.case === 'binary' ? Buffer.from(bytes.value).toString('hex') : '';
}

/** As Envoy changes the headers of requests: additions in their order, then removals. */
function headersOf(
  own: readonly (readonly [string, string])[],
  added: readonly HeaderValueOption[],
  removed: readonly string[],
): (readonly [string, string])[] {
  let headers = [...own];
  for (const { header, append, appendAction: action } of added) {
    if (header === undefined) continue;
    const name = header.key.toLowerCase();
    // The older form of the same.
    const appendAction = append === false ? AppendAction.OVERWRITE_IF_EXISTS_OR_ADD : action;
    const isThere = headers.some(([each]) => each === name);
    if (appendAction === AppendAction.ADD_IF_ABSENT && isThere) continue;
    if (appendAction === AppendAction.OVERWRITE_IF_EXISTS && !isThere) continue;
    if (appendAction !== AppendAction.APPEND_IF_EXISTS_OR_ADD) headers = headers.filter(([each]) => each !== name);
    const value = header.value || Buffer.from(header.rawValue).toString('latin1');
    headers.push([name, value.replaceAll('%%', '%')]);
  }
  const gone = new Set(removed.map((name) => name.toLowerCase()));
  return headers.filter(([name]) => !gone.has(name));
}
