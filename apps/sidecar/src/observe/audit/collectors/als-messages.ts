// Audit: a chain's lines as entries of Envoy's access log service; the tag `record` is the line as it is, so that the chain can
// be verified.

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { AddressSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { NodeSchema, RequestMethod } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type AccessLogCommonSchema,
  AccessLogType,
  type HTTPAccessLogEntrySchema,
  HTTPAccessLogEntry_HTTPVersion as HttpVersion,
  type TCPAccessLogEntrySchema,
} from '@lateen/xds-proto/envoy/data/accesslog/v3/accesslog_pb.js';
import { StreamAccessLogsMessageSchema } from '@lateen/xds-proto/envoy/service/accesslog/v3/als_pb.js';
import { responseFlags } from './als-flags.js';
import { CALL_TIMEOUT_MS, endOfCall } from './call-size.js';
import type { CollectorConfig } from './collector-config.js';
import type { CollectorProtocol } from './grpc-collector.js';

type Common = MessageInitShape<typeof AccessLogCommonSchema>;
type HttpEntry = MessageInitShape<typeof HTTPAccessLogEntrySchema>;
type TcpEntry = MessageInitShape<typeof TCPAccessLogEntrySchema>;
type AuditRecord = Readonly<Record<string, string | number | undefined>>;

const METHOD = '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs';
const VERSIONS: Readonly<Record<string, HttpVersion>> = {
  'HTTP/1.0': HttpVersion.HTTP10,
  'HTTP/1.1': HttpVersion.HTTP11,
  'HTTP/2': HttpVersion.HTTP2,
};
/** Members that an entry has fields for; the others are tags. */
const IN_FIELDS: ReadonlySet<string> = new Set(
  'time principal source destination server_name method host path original_path protocol status flags details termination bytes_received bytes_sent duration_ms request_id upstream upstream_cluster route prev hash'.split(
    ' ',
  ),
);

/**
 * Each call is a stream of one message that is ended, so that the status of its answer tells whether it was taken. Envoy
 * leaves streams open, and never knows.
 * @param nodeBytes of a Node: this is a program part of its own, with its own messages
 */
export function alsProtocol(config: CollectorConfig, nodeBytes: Uint8Array): CollectorProtocol {
  const node = fromBinary(NodeSchema, nodeBytes);
  const { logName, cluster, authority, headerLines } = config;
  const target = {
    cluster,
    authority,
    headerLines,
    method: METHOD,
    timeoutMs: CALL_TIMEOUT_MS,
    mayAnswerNothing: true,
  };
  return {
    target,
    encode: (lines, first) => {
      const { records, connections } = takeAlike(lines, first);
      const message = create(StreamAccessLogsMessageSchema, {
        identifier: { node, logName },
        logEntries: connections
          ? { case: 'tcpLogs', value: { logEntry: records.map(tcpEntry) } }
          : { case: 'httpLogs', value: { logEntry: records.map(httpEntry) } },
      });
      return { message: toBinary(StreamAccessLogsMessageSchema, message), lines: records.length };
    },
    refused: () => undefined,
  };
}

interface Parsed {
  readonly line: string;
  readonly record: AuditRecord;
}

/** A message has requests or connections; what the log says of itself goes with either. */
function takeAlike(lines: readonly string[], first: number): { records: Parsed[]; connections: boolean } {
  const records: Parsed[] = [];
  let type: string | undefined;
  for (const line of lines.slice(first, endOfCall(lines, first))) {
    const record = JSON.parse(line) as AuditRecord;
    if (record.type === 'request' || record.type === 'connection') {
      if (type !== undefined && record.type !== type) break;
      type = record.type;
    }
    records.push({ line: line.trimEnd(), record });
  }
  return { records, connections: type === 'connection' };
}

function tcpEntry({ line, record }: Parsed): TcpEntry {
  return {
    commonProperties: common(line, record, AccessLogType.TcpConnectionEnd),
    connectionProperties: { receivedBytes: count(record.bytes_received), sentBytes: count(record.bytes_sent) },
  };
}

function httpEntry({ line, record }: Parsed): HttpEntry {
  const { method, status } = record;
  return {
    commonProperties: common(line, record, AccessLogType.DownstreamEnd),
    protocolVersion: VERSIONS[text(record.protocol)] ?? HttpVersion.PROTOCOL_UNSPECIFIED,
    request: {
      requestMethod: RequestMethod[text(method) as keyof typeof RequestMethod] ?? RequestMethod.METHOD_UNSPECIFIED,
      authority: text(record.host),
      path: text(record.path),
      originalPath: text(record.original_path),
      requestId: text(record.request_id),
      requestBodyBytes: count(record.bytes_received),
    },
    response: {
      ...(typeof status === 'number' && status > 0 ? { responseCode: status } : {}),
      responseBodyBytes: count(record.bytes_sent),
      responseCodeDetails: text(record.details),
    },
  };
}

function common(line: string, record: AuditRecord, accessLogType: AccessLogType): Common {
  const { principal, server_name: serverName, duration_ms: durationMs } = record;
  const customTags: Record<string, string> = {};
  for (const [name, value] of Object.entries(record)) {
    if (!IN_FIELDS.has(name)) customTags[name] = typeof value === 'string' ? value : JSON.stringify(value);
  }
  customTags.record = line;
  const san = principal === undefined ? [] : [{ san: { case: 'uri' as const, value: text(principal) } }];
  const isTls = principal !== undefined || serverName !== undefined;
  const isExchange = record.type === 'request' || record.type === 'connection';
  return {
    sampleRate: 1,
    startTime: timestampFromMs(Date.parse(text(record.time))),
    customTags,
    duration: durationMs === undefined ? undefined : durationFromMs(Number(durationMs)),
    downstreamRemoteAddress: addressOf(record.source),
    downstreamLocalAddress: addressOf(record.destination),
    upstreamRemoteAddress: addressOf(record.upstream),
    upstreamCluster: text(record.upstream_cluster),
    routeName: text(record.route),
    connectionTerminationDetails: text(record.termination),
    ...(isExchange ? { accessLogType, responseFlags: responseFlags(text(record.flags)) } : {}),
    tlsProperties: isTls
      ? { tlsSniHostname: text(serverName), peerCertificateProperties: { subjectAltName: san } }
      : undefined,
  };
}

/** @param value ADDRESS:PORT; of a socket there is a path, which has no form here */
function addressOf(value: string | number | undefined): MessageInitShape<typeof AddressSchema> | undefined {
  const [, address, port] = /^\[?(.+?)\]?:(\d+)$/.exec(text(value)) ?? [];
  if (address === undefined) return undefined;
  const portSpecifier = { case: 'portValue' as const, value: Number(port) };
  return { address: { case: 'socketAddress', value: { address, portSpecifier } } };
}

function text(value: string | number | undefined): string {
  return value === undefined ? '' : String(value);
}

function count(value: string | number | undefined): bigint {
  return BigInt(typeof value === 'number' ? value : 0);
}
