// Audit: a chain's lines as log records of OpenTelemetry: the body is the line as it is, so that the chain can be verified.

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  ExportLogsServiceRequestSchema,
  ExportLogsServiceResponseSchema,
} from '@lateen/xds-proto/opentelemetry/proto/collector/logs/v1/logs_service_pb.js';
import type { KeyValueSchema } from '@lateen/xds-proto/opentelemetry/proto/common/v1/common_pb.js';
import { type LogRecordSchema, SeverityNumber } from '@lateen/xds-proto/opentelemetry/proto/logs/v1/logs_pb.js';
import { CALL_TIMEOUT_MS, endOfCall } from './call-size.js';
import type { CollectorConfig } from './collector-config.js';
import type { CollectorProtocol } from './grpc-collector.js';

type KeyValue = MessageInitShape<typeof KeyValueSchema>;

const METHOD = '/opentelemetry.proto.collector.logs.v1.LogsService/Export';
const NANOSECONDS_OF_MILLISECOND = 1_000_000n;
/** W3C Trace Context, version 00. */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}/;
/** These say nothing of the request, and the body has them. */
const OF_CHAIN = new Set(['prev', 'hash']);

/** @param nodeBytes of a Node: this is a program part of its own, with its own messages */
export function otlpProtocol(config: CollectorConfig, nodeBytes: Uint8Array): CollectorProtocol {
  const node = fromBinary(NodeSchema, nodeBytes);
  const { logName, cluster, authority, headerLines } = config;
  // Envoy's labels of the resource.
  const attributes = Object.entries({
    log_name: logName,
    zone_name: node.locality?.zone ?? '',
    cluster_name: node.cluster,
    node_name: node.id,
  }).map(([key, value]) => attribute(key, value));
  return {
    target: { cluster, authority, headerLines, method: METHOD, timeoutMs: CALL_TIMEOUT_MS },
    encode: (lines, first) => {
      const end = endOfCall(lines, first);
      const logRecords = lines.slice(first, end).map(logRecord);
      const request = create(ExportLogsServiceRequestSchema, {
        resourceLogs: [{ resource: { attributes }, scopeLogs: [{ scope: { name: logName }, logRecords }] }],
      });
      return { message: toBinary(ExportLogsServiceRequestSchema, request), lines: end - first };
    },
    refused: (answer) => {
      const partial = fromBinary(ExportLogsServiceResponseSchema, answer).partialSuccess;
      if (partial === undefined || partial.rejectedLogRecords <= 0n) return undefined;
      return { lines: Number(partial.rejectedLogRecords), reason: partial.errorMessage };
    },
  };
}

/** @param line of a chain, with its end */
export function logRecord(line: string): MessageInitShape<typeof LogRecordSchema> {
  const record = JSON.parse(line) as Record<string, unknown>;
  const denied = record.decision === 'denied';
  const [, traceId, spanId] = TRACEPARENT.exec(String(record.traceparent ?? '')) ?? [];
  return {
    timeUnixNano: nanoseconds(Date.parse(String(record.time))),
    observedTimeUnixNano: nanoseconds(Date.now()),
    severityNumber: denied ? SeverityNumber.WARN : SeverityNumber.INFO,
    severityText: denied ? 'WARN' : 'INFO',
    eventName: `lateen.audit.${record.type}`,
    body: { value: { case: 'stringValue', value: line.trimEnd() } },
    attributes: Object.entries(record)
      .filter(([key]) => !OF_CHAIN.has(key))
      .map(([key, value]) => attribute(key, value)),
    ...(traceId === undefined ? {} : { traceId: Buffer.from(traceId, 'hex') }),
    ...(spanId === undefined ? {} : { spanId: Buffer.from(spanId, 'hex') }),
  };
}

function nanoseconds(ms: number): bigint {
  return BigInt(Number.isFinite(ms) ? Math.round(ms) : 0) * NANOSECONDS_OF_MILLISECOND;
}

function attribute(key: string, value: unknown): KeyValue {
  if (typeof value === 'number')
    return { key, value: { value: { case: 'intValue', value: BigInt(Math.round(value)) } } };
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return { key, value: { value: { case: 'stringValue', value: text } } };
}
