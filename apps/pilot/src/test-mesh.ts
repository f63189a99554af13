// Pilot's tests: a certificate authority, a Galley that serves what the test says, and a supervisor that reports it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Client, type ClientDuplexStream } from '@grpc/grpc-js';
import {
  formatSpiffeId,
  grpcChannelCredentials,
  grpcServerCredentials,
  MtlsAgent,
  mtlsFetch,
  type StaticIdentity,
} from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import type { KubeClient } from '@lateen/kubernetes';
import { createLogger } from '@lateen/telemetry';
import { grpcService, packAny } from '@lateen/xds-proto';
import { ConfigResourceSchema } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import {
  type RegistryAck,
  type RegistryReport,
  RegistryReportSchema,
  WorkloadRegistry,
} from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import { createAdsService, plainServedType, type ResourceEntry, type ServedSnapshot } from '@lateen/xds-stream';
import { CONFIG_TYPE_URLS } from './config/config-kinds.js';
import { type GrpcListener, startGrpcListener } from './grpc-listener.js';
import { type Pilot, startPilot } from './pipeline.js';

export interface TestConfig {
  /** "networking.istio.io/VirtualService" */
  readonly typeUrl: string;
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
}

export class TestMesh {
  private readonly cleanups: (() => unknown)[] = [];
  private readonly configs = new Map<string, TestConfig & { readonly createdMs: number; readonly revision: number }>();
  private readonly galleyListeners = new Set<() => void>();
  private galleySnapshot: ServedSnapshot | undefined;
  private revision = 0;
  galleyPort = 0;

  private constructor(
    readonly authority: TestAuthority,
    readonly stateDir: string,
  ) {}

  static async create(): Promise<TestMesh> {
    const mesh = new TestMesh(await TestAuthority.create(), await mkdtemp(join(tmpdir(), 'pilot-test-')));
    mesh.onClose(() => rm(mesh.stateDir, { recursive: true, force: true }));
    return mesh;
  }

  onClose(cleanup: () => unknown): void {
    this.cleanups.push(cleanup);
  }

  async close(): Promise<void> {
    for (const cleanup of this.cleanups.splice(0).reverse()) await cleanup();
  }

  id(serviceAccount: string, namespace = 'istio-system') {
    return formatSpiffeId({ trustDomain: 'cluster.local', namespace, serviceAccount });
  }

  source(serviceAccount: string, namespace = 'istio-system'): Promise<StaticIdentity> {
    return this.authority.source({ namespace, serviceAccount });
  }

  /** Starts a Galley; on the port of the one before, if there was one. */
  async startGalley(): Promise<GrpcListener> {
    const ads = createAdsService({
      types: CONFIG_TYPE_URLS.map(plainServedType),
      authorize: () => undefined,
      source: {
        open: (_client, onChange) => {
          this.galleyListeners.add(onChange);
          return { current: () => this.galleySnapshot, close: () => this.galleyListeners.delete(onChange) };
        },
      },
    });
    const credentials = grpcServerCredentials(await this.source('galley'), { requireClientCertificate: true });
    const listener = await startGrpcListener('127.0.0.1', this.galleyPort, credentials, [ads]);
    this.galleyPort = listener.port;
    this.publishConfigs();
    this.onClose(() => listener.close(0));
    return listener;
  }

  /** Adds, replaces or (without a spec) deletes objects. */
  apply(...configs: (Omit<TestConfig, 'spec'> & { readonly spec?: unknown })[]): void {
    for (const config of configs) {
      const key = `${config.typeUrl}/${config.namespace}/${config.name}`;
      const createdMs = this.configs.get(key)?.createdMs ?? 1_700_000_000_000 + this.configs.size;
      this.revision += 1;
      if (config.spec === undefined) this.configs.delete(key);
      else this.configs.set(key, { ...config, spec: config.spec, createdMs, revision: this.revision });
    }
    this.publishConfigs();
  }

  private publishConfigs(): void {
    const resources = new Map<string, Map<string, ResourceEntry>>();
    for (const { typeUrl, namespace, name, spec, createdMs, revision } of this.configs.values()) {
      const set = resources.get(typeUrl) ?? new Map<string, ResourceEntry>();
      const [group, kind] = typeUrl.split('/');
      const any = packAny(
        ConfigResourceSchema,
        create(ConfigResourceSchema, {
          metadata: { namespace, name, resourceVersion: `${revision}`, creationTime: timestampFromMs(createdMs) },
          apiVersion: `${group}/v1`,
          kind: kind ?? '',
          specJson: JSON.stringify(spec),
          source: { file: 'test.yaml', line: 1, column: 1 },
        }),
      );
      resources.set(typeUrl, set.set(`${namespace}/${name}`, { version: `${revision}`, any }));
    }
    this.galleySnapshot = { version: `${this.revision}`, resources };
    for (const listener of this.galleyListeners) listener();
  }

  async startPilot(
    options: {
      removalGraceMs?: number;
      workloadGraceMs?: number;
      ackTimeoutMs?: number;
      cluster?: KubeClient;
      self?: string;
    } = {},
  ): Promise<Pilot> {
    const pilot = await startPilot({
      address: '127.0.0.1',
      stateDir: join(this.stateDir, options.self ?? 'pilot'),
      galleyAddress: `127.0.0.1:${this.galleyPort}`,
      trustDomain: 'cluster.local',
      plaintextPort: 0,
      xdsPort: 0,
      adminPort: 0,
      monitoringPort: 0,
      debounceMs: 20,
      debounceMaxMs: 1_000,
      ackTimeoutMs: options.ackTimeoutMs ?? 5_000,
      removalGraceMs: options.removalGraceMs ?? 50,
      workloadGraceMs: options.workloadGraceMs ?? 100,
      cluster: options.cluster,
      self: options.self === undefined ? undefined : { namespace: 'istio-system', name: options.self },
      version: 'test',
      logger: createLogger('pilot', (process.env.PILOT_TEST_LOG as 'debug' | undefined) ?? 'silent'),
      identity: await this.source('pilot'),
    });
    this.onClose(() => pilot.stop());
    return pilot;
  }

  /** Reports as the supervisor does; resolves with the acknowledged sequence number. */
  async report(
    pilot: Pilot,
    report: MessageInitShape<typeof RegistryReportSchema>,
    reporter = 'lateen-supervisor',
  ): Promise<bigint> {
    const credentials = grpcChannelCredentials(await this.source(reporter), { expectedSpiffeIds: [this.id('pilot')] });
    const client = new Client(`127.0.0.1:${pilot.ports.xds}`, credentials);
    const method = grpcService(WorkloadRegistry).report!;
    const call: ClientDuplexStream<RegistryReport, RegistryAck> = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize as never,
      method.responseDeserialize as never,
    );
    try {
      return await new Promise((resolve, reject) => {
        call.on('data', (ack: RegistryAck) => resolve(ack.sequence));
        call.on('error', reject);
        call.write(create(RegistryReportSchema, report));
      });
    } finally {
      call.on('error', () => undefined); // the cancellation
      call.cancel();
      client.close();
    }
  }

  /** GETs a path of the debug API. */
  async debug(pilot: Pilot, path: string, caller = 'lateen-admin'): Promise<{ status: number; body: unknown }> {
    const agent = new MtlsAgent({ source: await this.source(caller), expectedSpiffeIds: [this.id('pilot')] });
    try {
      const response = await mtlsFetch(agent)(`https://127.0.0.1:${pilot.ports.admin}${path}`);
      return { status: response.status, body: await response.json() };
    } finally {
      agent.destroy();
    }
  }
}
