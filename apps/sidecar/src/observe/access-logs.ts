// Access log: makes sinks for the `access_log` lists of listeners; files are shared by path for the life of the process.

import { join } from 'node:path';
import { type JsonObject, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { AccessLog } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
import { type Node, NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { SubstitutionFormatString } from '@lateen/xds-proto/envoy/config/core/v3/substitution_format_string_pb.js';
import {
  type FileAccessLog,
  FileAccessLogSchema,
} from '@lateen/xds-proto/envoy/extensions/access_loggers/file/v3/file_pb.js';
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from '@lateen/xds-proto/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { readDataSource } from '../config/read-secret.js';
import type { AccessLogSink } from '../data-plane.js';
import { compileJsonFormat, compileTextFormat, DEFAULT_TEXT_FORMAT, type LineFormatter } from './access-log-format.js';
import { type AuditFormat, compileAuditFormat } from './audit/audit-format.js';
import { AuditLog } from './audit/audit-log.js';
import type { AuditSink } from './audit/audit-sink.js';
import type { SignCheckpoint } from './audit/checkpoint-client.js';
import { COLLECTOR_LOGGERS, type CollectorConfig, readCollector } from './audit/collectors/collector-config.js';
import { type CallService, GrpcCollector } from './audit/collectors/grpc-collector.js';
import { isStandard, LineWriter } from './line-writer.js';

/** The loggers that exist. */
export const ACCESS_LOGGERS = [
  FileAccessLogSchema,
  StdoutAccessLogSchema,
  StderrAccessLogSchema,
  ...COLLECTOR_LOGGERS,
] as const;

/** Name of the access loggers whose records are chained. */
export const AUDIT_LOG = 'lateen.audit';

export interface AccessLogsOptions {
  /** Where audit logs lie that have no absolute path; undefined: in the working directory. */
  readonly auditDirectory?: string | undefined;
  /** Behind the paths of audit logs, since each process has chains of its own. */
  readonly auditSuffix?: string;
  /** What the first record of an audit log says of who writes. */
  readonly auditWriter?: () => Readonly<Record<string, string | undefined>>;
  /** Told to collectors. */
  readonly node: Node;
  /** Calls collectors; left out: there are none that can be called. */
  readonly call?: CallService;
  /** Left out: nobody signs checkpoints of audit logs. */
  readonly signCheckpoint?: SignCheckpoint | undefined;
  readonly log: (level: 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

export class AccessLogs {
  readonly #writers = new Map<string, LineWriter>();
  readonly #audits = new Map<string, AuditLog>();
  readonly #collectors = new Set<AuditLog>();

  constructor(private readonly options: AccessLogsOptions) {}

  /** Lines lost so far, by file. */
  get dropped(): ReadonlyMap<string, number> {
    return new Map([...this.#writers.values()].map(({ path, dropped }) => [path, dropped]));
  }

  /** Requests that are in no audit log for lack of room, by file. */
  get auditDropped(): ReadonlyMap<string, number> {
    return new Map([...this.#audits.values()].map(({ path, dropped }) => [path, dropped]));
  }

  /**
   * A sink that writes each exchange once for each logger.
   * @throws Error naming what a format asks for that is not supported
   */
  createSink(configs: readonly AccessLog[]): AccessLogSink | undefined {
    const loggers = configs.map(({ name, configType }, index) => {
      try {
        if (configType.case !== 'typedConfig') throw new Error('typed_config is required');
        return name === AUDIT_LOG ? this.#createAuditLog(configType.value) : this.#createLogger(configType.value);
      } catch (error) {
        throw new Error(`access_log[${index}]: ${(error as Error).message}`);
      }
    });
    const [only, second] = loggers;
    if (only === undefined) return undefined;
    if (second === undefined) return only;
    return (record) => {
      for (const logger of loggers) logger(record);
    };
  }

  /** Ends the audit logs of collectors, while these can still be called. */
  async closeCollectors(): Promise<void> {
    await Promise.all([...this.#collectors].map((audit) => audit.close()));
  }

  /** Writes a line that another process has made, with its end. */
  writeLine(path: string, line: string): void {
    this.#writer(path).write(line);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#writers.values(), ...this.#audits.values()].map((writer) => writer.close()));
  }

  #createAuditLog(any: Any): AccessLogSink {
    const { to, format } = readAuditLogger(any);
    const log = 'cluster' in to ? this.#collector(to) : this.#audit(this.#auditFile(to.path));
    return (record) => log.take(format, record);
  }

  #auditFile(path: string): string {
    const { auditDirectory = '', auditSuffix = '' } = this.options;
    const file = path.startsWith('/') ? path : join(auditDirectory, path);
    return isStandard(file) ? file : file + auditSuffix;
  }

  #collector(config: CollectorConfig): AuditLog {
    const { log, node, call = () => Promise.reject(new Error('there is nobody to call')) } = this.options;
    const path = `${config.protocol}:${config.cluster}`;
    const load = async () => {
      const nodeBytes = toBinary(NodeSchema, node);
      return config.protocol === 'als'
        ? (await import('./audit/collectors/als-messages.js')).alsProtocol(config, nodeBytes)
        : (await import('./audit/collectors/otlp-messages.js')).otlpProtocol(config, nodeBytes);
    };
    const sink = new GrpcCollector(load, call, (records, reason) =>
      log('warn', 'a collector does not take audit records; they are lost', { path, records, reason }),
    );
    const audit = this.#audit(path, sink);
    this.#collectors.add(audit);
    return audit;
  }

  #audit(path: string, sink?: AuditSink): AuditLog {
    let audit = this.#audits.get(path);
    if (audit === undefined) {
      audit = new AuditLog({
        path,
        sink,
        writer: this.options.auditWriter ?? (() => ({})),
        onError: (reason) => this.options.log('error', 'the audit log cannot be written', { path, reason }),
        signCheckpoint: this.options.signCheckpoint,
        onUnsigned: (reason) =>
          this.options.log('warn', 'the audit log is not signed for now; it is tried again', { path, reason }),
      });
      this.#audits.set(path, audit);
    }
    return audit;
  }

  #createLogger(any: Any): AccessLogSink {
    const { path, format } = readLogger(any);
    const writer = this.#writer(path);
    return (record) => writer.write(format(record));
  }

  #writer(path: string): LineWriter {
    let writer = this.#writers.get(path);
    if (writer === undefined) {
      writer = new LineWriter(path, (reason) =>
        this.options.log('error', 'access log lines are lost: the file cannot be written', { path, reason }),
      );
      this.#writers.set(path, writer);
    }
    return writer;
  }
}

/** Where an audit log goes, and what is in its records. @throws Error naming what is not supported */
function readAuditLogger(any: Any): { to: { path: string } | CollectorConfig; format: AuditFormat } {
  const collector = readCollector(any);
  if (collector !== undefined) return { to: collector, format: compileAuditFormat(collector.members) };
  if (!anyIs(any, FileAccessLogSchema)) throw new Error(`${AUDIT_LOG} is a file access log, or one by gRPC`);
  const { path, accessLogFormat } = unpackAny(any, FileAccessLogSchema);
  if (path === '') throw new Error('path is required');
  const format = accessLogFormat.case === 'logFormat' ? accessLogFormat.value.format : undefined;
  if (format?.case !== 'jsonFormat') throw new Error(`${AUDIT_LOG} needs log_format.json_format`);
  return { to: { path }, format: compileAuditFormat(format.value as JsonObject) };
}

/** @throws Error naming what is not supported */
export function checkLogger({ name }: AccessLog, any: Any): void {
  if (name === AUDIT_LOG) readAuditLogger(any);
  else readLogger(any);
}

/** Where a logger writes and how. @throws Error naming what is not supported */
function readLogger(any: Any): { path: string; format: LineFormatter } {
  if (COLLECTOR_LOGGERS.some((schema) => anyIs(any, schema))) {
    throw new Error(`only audits go to a collector: name it ${AUDIT_LOG}, or log to a file`);
  }
  if (anyIs(any, StdoutAccessLogSchema)) {
    const { accessLogFormat } = unpackAny(any, StdoutAccessLogSchema);
    return { path: '/dev/stdout', format: compileSubstitution(accessLogFormat.value) };
  }
  if (anyIs(any, StderrAccessLogSchema)) {
    const { accessLogFormat } = unpackAny(any, StderrAccessLogSchema);
    return { path: '/dev/stderr', format: compileSubstitution(accessLogFormat.value) };
  }
  const file = unpackAny(any, FileAccessLogSchema);
  if (file.path === '') throw new Error('path is required');
  return { path: file.path, format: compileFileFormat(file) };
}

function compileFileFormat({ accessLogFormat }: FileAccessLog): LineFormatter {
  const jsonOptions = { omitEmptyValues: false, sortProperties: false };
  switch (accessLogFormat.case) {
    case 'format':
      return compileTextFormat(accessLogFormat.value === '' ? DEFAULT_TEXT_FORMAT : accessLogFormat.value);
    case 'jsonFormat':
    case 'typedJsonFormat':
      return compileJsonFormat(accessLogFormat.value, jsonOptions);
    default:
      return compileSubstitution(accessLogFormat.value);
  }
}

function compileSubstitution(format: SubstitutionFormatString | undefined): LineFormatter {
  const omitEmptyValues = format?.omitEmptyValues ?? false;
  switch (format?.format.case) {
    case 'textFormat':
      return compileTextFormat(format.format.value, omitEmptyValues);
    case 'textFormatSource': {
      const text = readDataSource(format.format.value, 'text_format_source', (path, message) => {
        throw new Error(`${path} ${message}`);
      });
      return compileTextFormat(text ?? '', omitEmptyValues);
    }
    case 'jsonFormat': {
      const sortProperties = format.jsonFormatOptions?.sortProperties ?? false;
      return compileJsonFormat(format.format.value as JsonObject, { omitEmptyValues, sortProperties });
    }
    default:
      return compileTextFormat(DEFAULT_TEXT_FORMAT, omitEmptyValues);
  }
}
