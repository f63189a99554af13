// Audit: reads access loggers whose records go to a collector, by gRPC: which, and what a record has.

import type { JsonObject } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type CommonGrpcAccessLogConfig,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import {
  type OpenTelemetryAccessLogConfig,
  OpenTelemetryAccessLogConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js';
import type { CustomTag } from '@lateen/xds-proto/envoy/type/tracing/v3/custom_tag_pb.js';

export interface CollectorConfig {
  /** Envoy's access log service, or logs of OpenTelemetry. */
  readonly protocol: 'als' | 'otlp';
  readonly logName: string;
  readonly cluster: string;
  readonly authority: string;
  /** Further header lines of each call, each with its end. */
  readonly headerLines: string;
  /** Members of a record by name, as a `json_format` has them. */
  readonly members: JsonObject;
}

/** Loggers that call a collector. */
export const COLLECTOR_LOGGERS = [
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
  OpenTelemetryAccessLogConfigSchema,
] as const;

/** What an entry of the access log service has fields for. */
const ENTRY_MEMBERS: Readonly<Record<string, string>> = {
  time: '%START_TIME%',
  principal: '%DOWNSTREAM_PEER_URI_SAN%',
  source: '%DOWNSTREAM_REMOTE_ADDRESS%',
  destination: '%DOWNSTREAM_LOCAL_ADDRESS%',
  server_name: '%REQUESTED_SERVER_NAME%',
  method: '%REQ(:METHOD):64%',
  host: '%REQ(:AUTHORITY):256%',
  path: '%REQ(:PATH):1024%',
  original_path: '%REQ(X-ENVOY-ORIGINAL-PATH):1024%',
  protocol: '%PROTOCOL%',
  status: '%RESPONSE_CODE%',
  grpc_status: '%GRPC_STATUS_NUMBER%',
  flags: '%RESPONSE_FLAGS%',
  details: '%RESPONSE_CODE_DETAILS%',
  termination: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration_ms: '%DURATION%',
  request_id: '%REQ(X-REQUEST-ID):64%',
  upstream: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  route: '%ROUTE_NAME%',
};

/** The cluster of a logger's collector; undefined where it has none. */
export function collectorCluster(any: Any): string | undefined {
  const service = commonConfig(any)?.grpcService?.targetSpecifier;
  return service?.case === 'envoyGrpc' ? service.value.clusterName : undefined;
}

function commonConfig(any: Any): CommonGrpcAccessLogConfig | undefined {
  const schema = COLLECTOR_LOGGERS.find((each) => anyIs(any, each));
  return schema === undefined ? undefined : unpackAny(any, schema).commonConfig;
}

/** Undefined where the logger is no collector's. @throws Error naming what is not supported */
export function readCollector(any: Any): CollectorConfig | undefined {
  if (anyIs(any, OpenTelemetryAccessLogConfigSchema))
    return readOtlp(unpackAny(any, OpenTelemetryAccessLogConfigSchema));
  if (anyIs(any, HttpGrpcAccessLogConfigSchema)) return readAls(commonConfig(any), 'request');
  if (anyIs(any, TcpGrpcAccessLogConfigSchema)) return readAls(commonConfig(any), 'connection');
  return undefined;
}

function readAls(common: CommonGrpcAccessLogConfig | undefined, type: string): CollectorConfig {
  const members: Record<string, string> = { type, ...ENTRY_MEMBERS };
  for (const tag of common?.customTags ?? []) members[tag.tag] = operatorOf(tag, members[tag.tag]);
  return { protocol: 'als', ...readCommon(common), members };
}

function readOtlp({ commonConfig, attributes }: OpenTelemetryAccessLogConfig): CollectorConfig {
  const members: Record<string, string> = {};
  for (const { key, value } of attributes?.values ?? []) {
    if (value?.value.case !== 'stringValue') throw new Error(`attributes: ${key} must be a string_value`);
    members[key] = value.value.value;
  }
  return { protocol: 'otlp', ...readCommon(commonConfig), members };
}

function readCommon(common: CommonGrpcAccessLogConfig | undefined) {
  const service = common?.grpcService;
  const envoyGrpc = service?.targetSpecifier.case === 'envoyGrpc' ? service.targetSpecifier.value : undefined;
  const cluster = envoyGrpc?.clusterName ?? '';
  if (cluster === '') throw new Error('common_config.grpc_service.envoy_grpc.cluster_name is required');
  if (common === undefined || common.logName === '') throw new Error('common_config.log_name is required');
  const headerLines = (service?.initialMetadata ?? [])
    .map(({ key, value }) => `${key.toLowerCase()}: ${value}\r\n`)
    .join('');
  return { logName: common.logName, cluster, authority: envoyGrpc?.authority || cluster, headerLines };
}

/** @param before of the same tag: of several headers the first that is there counts */
function operatorOf({ tag, type }: CustomTag, before: string | undefined): string {
  switch (type.case) {
    case 'literal':
      return type.value.value;
    case 'environment':
      return `%ENVIRONMENT(${type.value.name})%`;
    case 'requestHeader': {
      const [, first] = /^%REQ\(([^?]*)\)%$/.exec(before ?? '') ?? [];
      return first === undefined ? `%REQ(${type.value.name})%` : `%REQ(${first}?${type.value.name})%`;
    }
    case 'metadata': {
      const { kind, metadataKey } = type.value;
      if (kind !== undefined && kind.kind.case !== 'request') {
        throw new Error(`custom_tags: ${tag} must be of metadata of the request`);
      }
      const path = metadataKey?.path.map(({ segment }) => segment.value ?? '') ?? [];
      return `%DYNAMIC_METADATA(${[metadataKey?.key ?? '', ...path].join(':')})%`;
    }
    default:
      throw new Error(`custom_tags: ${tag} has no value`);
  }
}
