// Access log: makes sinks for the `access_log` lists of listeners; files are shared by path for the life of the process.

import type { JsonObject } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { AccessLog } from '@lateen/xds-proto/envoy/config/accesslog/v3/accesslog_pb.js';
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
import { LineWriter } from './line-writer.js';

/** The loggers that exist. */
export const ACCESS_LOGGERS = [FileAccessLogSchema, StdoutAccessLogSchema, StderrAccessLogSchema] as const;

export interface AccessLogsOptions {
  readonly log: (level: 'error', message: string, fields: Record<string, unknown>) => void;
}

export class AccessLogs {
  readonly #writers = new Map<string, LineWriter>();

  constructor(private readonly options: AccessLogsOptions) {}

  /** Lines lost so far, by file. */
  get dropped(): ReadonlyMap<string, number> {
    return new Map([...this.#writers.values()].map(({ path, dropped }) => [path, dropped]));
  }

  /**
   * A sink that writes each exchange once for each logger.
   * @throws Error naming what a format asks for that is not supported
   */
  createSink(configs: readonly AccessLog[]): AccessLogSink | undefined {
    const loggers = configs.map(({ configType }, index) => {
      try {
        if (configType.case !== 'typedConfig') throw new Error('typed_config is required');
        return this.#createLogger(configType.value);
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

  async close(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.close()));
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

/** Where a logger writes and how. @throws Error naming what is not supported */
export function readLogger(any: Any): { path: string; format: LineFormatter } {
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
