// Long test: where an audit log under load goes: a file, a pipe that is read slowly, a collector.

import { spawnSync } from 'node:child_process';
import { createWriteStream, readdirSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js';
import type { AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { grpcService } from '@lateen/xds-proto';
import {
  type ExportLogsServiceRequest,
  ExportLogsServiceResponseSchema,
  LogsService,
} from '@lateen/xds-proto/opentelemetry/proto/collector/logs/v1/logs_service_pb.js';
import { AUDIT_FORMAT, auditLogger } from '../bench/proxies/audit-logger.js';

const TICK_MS = 10;
/** A slow reader takes so much a tick: less than the records of 2,000 requests a second. */
const SLOW_BYTES = 4 * 1024;
const FAST_BYTES = 1024 * 1024;

export interface TriedSink {
  /** The access logger that writes to it. */
  readonly logger: object;
  /** Where it is called: its cluster's name and port. */
  readonly cluster?: { readonly name: string; readonly port: number };
  /** The load is over. */
  hurry(): void;
  /** The sidecar has ended: gives what is there to who verifies it. */
  verify(verifier: AuditVerifier): Promise<void>;
  close(): void;
}

export async function fileSink(directory: string): Promise<TriedSink> {
  const path = join(directory, 'audit.log');
  return {
    logger: auditLogger(path),
    hurry: () => {},
    verify: (verifier) => verifyFiles(verifier, path),
    close: () => {},
  };
}

export async function slowPipeSink(directory: string): Promise<TriedSink> {
  const [pipe, copy] = [join(directory, 'pipe'), join(directory, 'copy.log')];
  if (spawnSync('mkfifo', ['-m', '600', pipe]).status !== 0) throw new Error('mkfifo failed');
  const reader = new SlowReader(pipe, copy);
  return {
    logger: auditLogger(pipe),
    hurry: () => reader.hurry(),
    verify: async (verifier) => {
      await reader.done;
      await verifyFiles(verifier, copy);
    },
    close: () => {},
  };
}

/** One of OpenTelemetry's. */
export async function collectorSink(): Promise<TriedSink> {
  const lines: string[] = [];
  const server = new Server();
  const exportLogs: handleUnaryCall<ExportLogsServiceRequest, unknown> = (call, done) => {
    for (const { scopeLogs } of call.request.resourceLogs) {
      for (const { logRecords } of scopeLogs) lines.push(...logRecords.map(({ body }) => String(body?.value.value)));
    }
    done(null, create(ExportLogsServiceResponseSchema));
  };
  server.addService(grpcService(LogsService), { export: exportLogs });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const values = Object.entries(AUDIT_FORMAT).map(([key, value]) => ({ key, value: { string_value: value } }));
  return {
    logger: {
      name: 'lateen.audit',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig',
        common_config: {
          log_name: 'lateen.audit',
          transport_api_version: 'V3',
          grpc_service: { envoy_grpc: { cluster_name: 'collector' } },
        },
        attributes: { values },
      },
    },
    cluster: { name: 'collector', port },
    hurry: () => {},
    verify: async (verifier) => {
      for (const [index, line] of lines.entries()) verifier.line('collected', index + 1, line);
    },
    close: () => server.forceShutdown(),
  };
}

/** With those that were put aside, since they were full: these have a time behind their name. */
async function verifyFiles(verifier: AuditVerifier, log: string): Promise<void> {
  const older = readdirSync(dirname(log)).filter((name) => name.startsWith(`${basename(log)}.`));
  for (const file of [...older.sort().map((name) => join(dirname(log), name)), log]) await verifier.file(file);
}

/** Reads a pipe into a file: a little at a time, until it is told to hurry. */
class SlowReader {
  private hurries = false;
  readonly done: Promise<void>;

  constructor(pipe: string, copy: string) {
    this.done = this.read(pipe, copy);
  }

  hurry(): void {
    this.hurries = true;
  }

  private async read(pipe: string, copy: string): Promise<void> {
    const output = createWriteStream(copy);
    let handle: FileHandle | undefined;
    try {
      handle = await open(pipe, 'r');
      const buffer = Buffer.alloc(FAST_BYTES);
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, this.hurries ? FAST_BYTES : SLOW_BYTES);
        if (bytesRead === 0) break;
        output.write(Buffer.from(buffer.subarray(0, bytesRead)));
        if (!this.hurries) await sleep(TICK_MS);
      }
    } finally {
      await handle?.close();
      await new Promise<void>((resolve) => output.end(resolve));
    }
  }
}
