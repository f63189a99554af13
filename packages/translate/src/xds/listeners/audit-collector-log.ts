// Build: access loggers that hand the records of an audit to a collector, by gRPC: Envoy's access log service, or OpenTelemetry.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { packAny } from '@lateen/xds-proto';
import { ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import {
  type CommonGrpcAccessLogConfigSchema,
  HttpGrpcAccessLogConfigSchema,
  TcpGrpcAccessLogConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/access_loggers/grpc/v3/als_pb.js';
import { OpenTelemetryAccessLogConfigSchema } from '@lateen/xds-proto/envoy/extensions/access_loggers/open_telemetry/v3/logs_service_pb.js';
import type { CustomTagSchema } from '@lateen/xds-proto/envoy/type/tracing/v3/custom_tag_pb.js';
import type { StringMap } from '../../model.js';
import type { ClientScope } from '../../resolve/client-scope.js';
import type { AuditCollector } from '../../resolve/lateen/audit-logs.js';
import { ownCallCluster } from './limit-service-filter.js';

type CustomTag = MessageInitShape<typeof CustomTagSchema>;

const METADATA = /^%DYNAMIC_METADATA\(([^)]*)\)(?::\d+)?%$/;
const HEADERS = /^%REQ\(([^):][^)]*)\)(?::\d+)?%$/;
/** Headers that entries of the access log service have a field for. */
const IN_ENTRIES = new Set(['x-request-id', 'x-envoy-original-path']);

/** @param members what a record has, `type` among it */
export function buildCollectorLog(
  scope: ClientScope,
  collector: AuditCollector,
  members: StringMap,
  logName: string,
): Any {
  const { protocol, host } = collector;
  const common: MessageInitShape<typeof CommonGrpcAccessLogConfigSchema> = {
    logName,
    grpcService: {
      // The cluster's name is no authority that servers of HTTP/2 take.
      targetSpecifier: {
        case: 'envoyGrpc',
        value: { clusterName: ownCallCluster(scope, collector), authority: host },
      },
    },
    transportApiVersion: ApiVersion.V3,
  };
  if (protocol === 'otlp') {
    const values = Object.entries(members).map(([key, value]) => ({
      key,
      value: { value: { case: 'stringValue' as const, value } },
    }));
    const message = create(OpenTelemetryAccessLogConfigSchema, { commonConfig: common, attributes: { values } });
    return packAny(OpenTelemetryAccessLogConfigSchema, message);
  }
  const commonConfig = { ...common, customTags: Object.entries(members).flatMap(([tag, value]) => tagsOf(tag, value)) };
  return members.type === 'connection'
    ? packAny(TcpGrpcAccessLogConfigSchema, create(TcpGrpcAccessLogConfigSchema, { commonConfig }))
    : packAny(HttpGrpcAccessLogConfigSchema, create(HttpGrpcAccessLogConfigSchema, { commonConfig }));
}

/** What entries of the access log service have no field for goes with them as tags. */
function tagsOf(tag: string, value: string): CustomTag[] {
  if (!value.includes('%')) return [{ tag, type: { case: 'literal', value: { value } } }];
  const [, metadata] = METADATA.exec(value) ?? [];
  if (metadata !== undefined) {
    const [key = '', ...path] = metadata.split(':');
    const segments = path.map((segment) => ({ segment: { case: 'key' as const, value: segment } }));
    const request = { kind: { case: 'request' as const, value: {} } };
    return [{ tag, type: { case: 'metadata', value: { kind: request, metadataKey: { key, path: segments } } } }];
  }
  const [, headers] = HEADERS.exec(value) ?? [];
  // The first that is there counts.
  return (headers?.toLowerCase().split('?') ?? [])
    .filter((name) => !IN_ENTRIES.has(name))
    .map((name): CustomTag => ({ tag, type: { case: 'requestHeader', value: { name } } }));
}
