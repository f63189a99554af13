// Audit to collectors: what an access log service and a collector of OpenTelemetry get of a real process is the whole chain.

import { writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  status as grpcStatus,
  type handleClientStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { grpcService } from '@lateen/xds-proto';
import type { HTTPAccessLogEntry, TCPAccessLogEntry } from '@lateen/xds-proto/envoy/data/accesslog/v3/accesslog_pb.js';
import {
  AccessLogService,
  type StreamAccessLogsMessage,
  StreamAccessLogsResponseSchema,
} from '@lateen/xds-proto/envoy/service/accesslog/v3/als_pb.js';
import {
  type ExportLogsServiceRequest,
  ExportLogsServiceResponseSchema,
  LogsService,
} from '@lateen/xds-proto/opentelemetry/proto/collector/logs/v1/logs_service_pb.js';
import type { LogRecord } from '@lateen/xds-proto/opentelemetry/proto/logs/v1/logs_pb.js';
import { afterEach, describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../../../data-plane.js';
import {
  Cleanups,
  HCM_TYPE,
  ROUTER,
  runSidecar,
  startSidecarProcess,
  startUpstream,
  temporaryDirectory,
} from '../../../testing/sidecar-process.js';
import { compileAuditFormat } from '../audit-format.js';
import { AuditLog } from '../audit-log.js';
import { type CallService, GrpcCollector } from './grpc-collector.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

type Json = Record<string, unknown>;
const LOGGERS = 'type.googleapis.com/envoy.extensions.access_loggers';
const TCP_PROXY = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const HTTP_2 = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
};
const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

async function serve(
  service: Parameters<typeof grpcService>[0],
  implementation: UntypedServiceImplementation,
): Promise<number> {
  const server = new Server();
  server.addService(grpcService(service), implementation);
  cleanups.add(() => server.forceShutdown());
  return await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

/** @param answers what a stream that is over is answered with: an empty message, or nothing, as a server in Go may do */
async function startAls(answers: 'message' | 'nothing') {
  const messages: StreamAccessLogsMessage[] = [];
  const streamAccessLogs: handleClientStreamingCall<StreamAccessLogsMessage, unknown> = (call, done) => {
    call.on('data', (message: StreamAccessLogsMessage) => messages.push(message));
    call.on('end', () => {
      if (answers === 'message') done(null, create(StreamAccessLogsResponseSchema));
      else done({ code: grpcStatus.OK, details: '' });
    });
  };
  return { messages, port: await serve(AccessLogService, { streamAccessLogs }) };
}

/** The first call fails. */
async function startOtlp() {
  const records: LogRecord[] = [];
  let calls = 0;
  const exportLogs: handleUnaryCall<ExportLogsServiceRequest, unknown> = (call, done) => {
    calls++;
    if (calls === 1) return done({ code: grpcStatus.UNAVAILABLE, details: 'not yet' });
    for (const { scopeLogs } of call.request.resourceLogs) {
      for (const { logRecords } of scopeLogs) records.push(...logRecords);
    }
    done(null, create(ExportLogsServiceResponseSchema));
  };
  return { records, port: await serve(LogsService, { export: exportLogs }) };
}

const common = (cluster: string, more: Json = {}) => ({
  log_name: 'lateen.audit',
  transport_api_version: 'V3',
  grpc_service: { envoy_grpc: { cluster_name: cluster } },
  ...more,
});
const noted = (key: string, name: string) => ({
  tag: name,
  metadata: { kind: { request: {} }, metadata_key: { key, path: [{ key: name }] } },
});
const TAGS = [
  { tag: 'type', literal: { value: 'request' } },
  { tag: 'traceparent', request_header: { name: 'traceparent' } },
  noted('envoy.filters.http.rbac', 'enforced_effective_policy_id'),
];
const logger = (type: string, config: Json) => ({
  name: 'lateen.audit',
  typed_config: { '@type': `${LOGGERS}.${type}`, ...config },
});
const otlp = (type: string) => {
  const members = { type, path: '%REQ(:PATH)%', status: '%RESPONSE_CODE%', traceparent: '%REQ(TRACEPARENT)%' };
  const values = Object.entries(members).map(([key, value]) => ({ key, value: { string_value: value } }));
  return logger('open_telemetry.v3.OpenTelemetryAccessLogConfig', {
    common_config: common('otlp'),
    attributes: { values },
  });
};

function bootstrap(ports: { app: number; tcp: number; als: number; otlp: number }, tags: readonly Json[] = TAGS) {
  const hcm = {
    '@type': HCM_TYPE,
    stat_prefix: 'in',
    access_log: [
      logger('grpc.v3.HttpGrpcAccessLogConfig', { common_config: common('als', { custom_tags: tags }) }),
      otlp('request'),
    ],
    route_config: {
      virtual_hosts: [{ name: 'all', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] }],
    },
    http_filters: [ROUTER],
  };
  const proxy = {
    '@type': TCP_PROXY,
    stat_prefix: 'tcp',
    cluster: 'tcp',
    access_log: [logger('grpc.v3.TcpGrpcAccessLogConfig', { common_config: common('als') }), otlp('connection')],
  };
  const listener = (name: string, config: Json) => ({
    name,
    address: socket(0),
    filter_chains: [{ filters: [{ name: 'f', typed_config: config }] }],
  });
  const cluster = ([name, port]: [string, number]) => ({
    name,
    connect_timeout: '5s',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: socket(port) } }] }] },
    ...(name === 'als' || name === 'otlp' ? { typed_extension_protocol_options: HTTP_2 } : {}),
  });
  return JSON.stringify({
    node: { id: 'sidecar~127.0.0.1~app-1.default~default.svc.cluster.local', cluster: 'app.default' },
    admin: { address: socket(0) },
    static_resources: {
      listeners: [listener('in', hcm), listener('tcp', proxy)],
      clusters: Object.entries(ports).map(cluster),
    },
  });
}

async function startTcp(): Promise<number> {
  const server = createServer((client) => client.end('hello'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.add(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function verified(lines: readonly string[]) {
  const verifier = new AuditVerifier();
  for (const [index, line] of lines.entries()) verifier.line('collected', index + 1, line);
  return await verifier.report(false);
}

const TRACEPARENT = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`;
const REQUESTS = 150;

async function askAll(port: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const headers = { traceparent: TRACEPARENT, 'x-request-id': 'r1' };
  const one = (index: number) =>
    new Promise<void>((resolve, reject) => {
      get({ port, host: '127.0.0.1', path: `/${index}`, agent, headers }, (response) => {
        response.on('error', reject).resume().on('end', resolve);
      }).on('error', reject);
    });
  await Promise.all(Array.from({ length: REQUESTS }, (_, index) => one(index)));
  agent.destroy();
}

async function connectOnce(port: number): Promise<void> {
  const client = connect(port, '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    client.on('error', reject).on('close', () => resolve());
    client.on('end', () => client.end()).resume();
  });
}

describe('a collector', () => {
  it.each(['message', 'nothing'] as const)('has every record once, up to the end (answers %s)', async (answers) => {
    const [als, logs] = [await startAls(answers), await startOtlp()];
    const directory = temporaryDirectory(cleanups);
    const config = join(directory, 'bootstrap.json');
    const app = await startUpstream(cleanups, 'app');
    writeFileSync(config, bootstrap({ app, tcp: await startTcp(), als: als.port, otlp: logs.port }));
    const sidecar = await startSidecarProcess(cleanups, ['--config-path', config, '--state-dir', directory]);
    await askAll(await sidecar.port('in'));
    await connectOnce(await sidecar.port('tcp'));
    // After the failure; the rest comes at the end.
    await expect.poll(() => logs.records.length, { timeout: 20_000 }).toBeGreaterThan(0);
    sidecar.child.kill('SIGTERM');
    expect(await sidecar.exit()).toBe(0);

    const wanted = [{ records: REQUESTS + 1, dropped: 0, ended: true }];
    const bodies = logs.records.map(({ body }) => String(body?.value.value));
    expect(await verified(bodies)).toMatchObject({ problems: [], chains: wanted });
    const request = logs.records.find(({ eventName }) => eventName === 'lateen.audit.request');
    expect(Buffer.from(request?.traceId ?? []).toString('hex')).toBe('1'.repeat(32));
    expect(request?.attributes.find(({ key }) => key === 'status')?.value?.value.value).toBe(200n);

    const entries = als.messages.flatMap(({ logEntries }): (HTTPAccessLogEntry | TCPAccessLogEntry)[] =>
      logEntries.case === undefined ? [] : logEntries.value.logEntry,
    );
    const lines = entries.map(({ commonProperties }) => commonProperties?.customTags.record ?? '');
    expect(await verified(lines)).toMatchObject({ problems: [], chains: wanted });
    for (const { identifier } of als.messages) {
      expect(identifier).toMatchObject({ logName: 'lateen.audit', node: { cluster: 'app.default' } });
    }
    const connections = als.messages.flatMap(({ logEntries }) =>
      logEntries.case === 'tcpLogs' ? logEntries.value.logEntry : [],
    );
    expect(
      connections.find(({ commonProperties }) => commonProperties?.customTags.type === 'connection'),
    ).toMatchObject({
      connectionProperties: { sentBytes: 5n },
      commonProperties: { upstreamCluster: 'tcp' },
    });
    const [first] = als.messages.flatMap(({ logEntries }) =>
      logEntries.case === 'httpLogs'
        ? logEntries.value.logEntry.filter(({ request: sent }) => sent?.path === '/7')
        : [],
    );
    expect(first).toMatchObject({
      request: { requestId: 'r1', authority: expect.stringContaining('127.0.0.1:') },
      response: { responseCode: 200, responseCodeDetails: 'via_upstream' },
      commonProperties: {
        upstreamCluster: 'app',
        customTags: { traceparent: TRACEPARENT, decision: 'none' },
        upstreamRemoteAddress: { address: { value: { portSpecifier: { value: app } } } },
      },
    });
  });

  it('is given after a failure what it has not got yet, and nothing twice', async () => {
    const calls: string[][] = [];
    let fails = 1;
    const call: CallService = async (_target, message) => {
      const lines = Buffer.from(message).toString().split(' ');
      if (lines.includes('c') && fails-- > 0) throw new Error('away');
      calls.push(lines);
      return new Uint8Array([lines.length]);
    };
    const refused: [number, string][] = [];
    const target = { cluster: 'c', authority: 'a', method: '/m', headerLines: '', timeoutMs: 1 };
    const sink = new GrpcCollector(
      async () => ({
        target,
        encode: (lines, first) => {
          const batch = lines.slice(first, first + 2);
          return { message: Buffer.from(batch.join(' ')), lines: batch.length };
        },
        refused: ([lines = 0]) => (lines === 1 ? { lines: 1, reason: 'odd' } : undefined),
      }),
      call,
      (lines, reason) => refused.push([lines, reason]),
    );
    await expect(sink.append(['a', 'b', 'c', 'd'])).rejects.toThrow('away');
    await sink.append(['a', 'b', 'c', 'd', 'e']);
    await sink.append(['f', 'g']);
    expect(calls).toEqual([['a', 'b'], ['c', 'd'], ['e'], ['f', 'g']]);
    expect(refused).toEqual([[1, 'odd']]);
  });

  it('that does not answer holds nobody up: what has no room is counted, and the sum is in the chain', async () => {
    const lines: string[] = [];
    let calls = 0;
    let giveUp = () => {};
    const call: CallService = (_target, message) => {
      calls++;
      if (calls === 1) return new Promise((_resolve, reject) => (giveUp = () => reject(new Error('away'))));
      lines.push(...Buffer.from(message).toString().trimEnd().split('\n'));
      return Promise.resolve(new Uint8Array());
    };
    const target = { cluster: 'c', authority: 'a', method: '/m', headerLines: '', timeoutMs: 1 };
    const load = async () => ({
      target,
      encode: (all: readonly string[], first: number) => {
        const batch = all.slice(first);
        return { message: Buffer.from(batch.join('')), lines: batch.length };
      },
      refused: () => undefined,
    });
    const errors: string[] = [];
    const log = new AuditLog({
      path: 'otlp:c',
      sink: new GrpcCollector(load, call, () => {}),
      writer: () => ({}),
      onError: (reason) => errors.push(reason),
      maxWaiting: 10,
    });
    const format = compileAuditFormat({ type: 'request', path: '%REQ(:PATH)%' });
    const record = { path: '/', metadata: () => undefined } as unknown as AccessLogRecord;
    const takeMany = (count: number) => {
      for (let taken = 0; taken < count; taken++) log.take(format, record);
    };
    takeMany(25);
    expect(log.dropped).toBe(15);
    await expect.poll(() => calls, { timeout: 10_000 }).toBe(1);
    // Asked and not answered: the first ten have made room, and ten more have it.
    takeMany(25);
    expect(log.dropped).toBe(30);
    giveUp();
    await log.close();
    expect(errors).toEqual(['away']);
    expect(await verified(lines)).toMatchObject({ problems: [], chains: [{ records: 20, dropped: 30, ended: true }] });
  });

  it('is refused where its cluster is not there, or it is no audit', async () => {
    const directory = temporaryDirectory(cleanups);
    const config = join(directory, 'bootstrap.json');
    const text = bootstrap({ app: 1, tcp: 1, als: 1, otlp: 1 });
    const validate = async (changed: string) => {
      writeFileSync(config, changed);
      return await runSidecar(['--config-path', config, '--mode', 'validate']);
    };
    const missing = await validate(text.replaceAll('"cluster_name":"otlp"}}', '"cluster_name":"other"}}'));
    expect(missing.stderr).toContain('there is no cluster "other"');
    const other = await validate(text.replace('"name":"lateen.audit"', '"name":"als"'));
    expect(other.stderr).toContain('only audits go to a collector');
    expect([missing.code, other.code]).toEqual([1, 1]);
  });
});
