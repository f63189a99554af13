// Contract of proxyless gRPC: a control plane of real processes, servers that are its pods, and clients that take their
// configuration from Pilot's plaintext port by a bootstrap file, as an application would.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { CertificateClient } from '@lateen/identity';
import { type AppProcess, startApp } from '../../harness/app-process.js';
import { ControlPlaneProcesses } from '../../harness/control-plane-processes.js';
import { freePort } from '../../harness/free-port.js';
import { type LoopbackLease, leaseLoopbackBlock } from '../../harness/loopback-lease.js';
import { MeshOperator } from '../../harness/mesh-operator.js';
import { waitUntil } from '../../harness/wait-until.js';
import { meshBootstrap } from '../../interop/mesh-bootstrap.js';
import { EchoClient } from './echo-client.js';
import { type EchoServer, startEchoServer } from './echo-server.js';

/** Where the pods of the service are called. */
const POD_PORT = 17_070;

interface Pod {
  readonly version: string;
  readonly address: string;
  readonly server: EchoServer;
  /** It has a sidecar, which listens in its place. */
  readonly sidecar?: AppProcess;
}

export class GrpcMesh {
  private readonly directory = mkdtempSync(join(tmpdir(), 'lateen-grpc-'));
  private readonly clients: EchoClient[] = [];
  private readonly pods = new Map<string, Pod>();
  private readonly all: Pod[] = [];
  private sequence = 0n;

  private constructor(
    private readonly lease: LoopbackLease,
    private readonly plane: ControlPlaneProcesses,
    private readonly operator: MeshOperator,
  ) {}

  /** The bootstrap file is named to gRPC's library by its variable, so a process has one mesh. */
  static async start(): Promise<GrpcMesh> {
    const lease = await leaseLoopbackBlock();
    const plaintextPort = await freePort();
    const plane = await ControlPlaneProcesses.start([
      ...['--plaintext-port', String(plaintextPort), '--removal-grace-ms', '200', '--debounce-ms', '20'],
    ]);
    const mesh = new GrpcMesh(lease, plane, await MeshOperator.connect(plane));
    process.env.GRPC_XDS_BOOTSTRAP = await mesh.writeBootstrap(
      plaintextPort,
      await plane.identity('client', 'default'),
    );
    return mesh;
  }

  private async writeBootstrap(pilotPort: number, identity: CertificateClient): Promise<string> {
    const certificates = this.writeCertificates(identity);
    const file = join(this.directory, 'grpc-bootstrap.json');
    const bootstrap = {
      xds_servers: [
        {
          server_uri: `127.0.0.1:${pilotPort}`,
          channel_creds: [{ type: 'insecure' }],
          server_features: ['xds_v3'],
        },
      ],
      node: {
        id: `sidecar~${this.lease.prefix}.0.2~client-0.default~default.svc.cluster.local`,
        locality: {},
        metadata: { GENERATOR: 'grpc', NAMESPACE: 'default', SERVICE_ACCOUNT: 'client', LABELS: { app: 'client' } },
      },
      certificate_providers: {
        default: {
          plugin_name: 'file_watcher',
          config: {
            certificate_file: join(certificates, 'cert-chain.pem'),
            private_key_file: join(certificates, 'key.pem'),
            ca_certificate_file: join(certificates, 'root-cert.pem'),
            refresh_interval: '1s',
          },
        },
      },
    };
    writeFileSync(file, JSON.stringify(bootstrap));
    return file;
  }

  private writeCertificates({ current }: CertificateClient): string {
    const directory = join(this.directory, 'client');
    mkdirSync(directory, { mode: 0o700 });
    if (current === undefined) throw new Error('the client has no certificate');
    writeFileSync(join(directory, 'key.pem'), current.keyPem, { mode: 0o600 });
    writeFileSync(join(directory, 'cert-chain.pem'), current.certChainPem);
    writeFileSync(join(directory, 'root-cert.pem'), current.rootsPem);
    return directory;
  }

  client(target: string, credentials: ChannelCredentials): EchoClient {
    const client = new EchoClient(target, credentials);
    this.clients.push(client);
    return client;
  }

  /** Starts a pod of the service `echo`; Pilot learns of it by `report`. */
  async addPod(name: string, version: string): Promise<void> {
    const address = this.nextAddress();
    const server = await startEchoServer(name, address, POD_PORT);
    this.keep(name, { version, address, server });
  }

  /** The same with a Lateen sidecar in front. */
  async addPodWithSidecar(name: string, version: string): Promise<void> {
    const address = this.nextAddress();
    const server = await startEchoServer(name, '127.0.0.1', 0);
    const directory = join(this.directory, name);
    mkdirSync(directory, { mode: 0o700 });
    const bootstrap = join(directory, 'bootstrap.json');
    const labels = { app: 'echo', version };
    const node = { podName: name, namespace: 'default', workloadName: name, serviceAccount: 'echo', labels, address };
    const pilotPort = this.plane.pilotPort;
    const options = { node: { ...node, gateway: false }, pilotPort, apiType: 'GRPC' as const };
    writeFileSync(bootstrap, JSON.stringify(meshBootstrap(options)));
    const sidecar = startApp('sidecar', [
      ...['--config-path', bootstrap, '--state-dir', directory, '--log-level', 'warn'],
      ...(await this.plane.certificateFlags('echo', 'default')),
    ]);
    this.keep(name, { version, address, server, sidecar });
  }

  private nextAddress(): string {
    return `${this.lease.prefix}.0.${10 + this.all.length}`;
  }

  private keep(name: string, pod: Pod): void {
    this.pods.set(name, pod);
    this.all.push(pod);
  }

  /** Takes pods out of the registry; `drain` then ends them. */
  removePod(name: string): EchoServer {
    const pod = this.pods.get(name);
    if (pod === undefined) throw new Error(`there is no pod ${name}`);
    this.pods.delete(name);
    return pod.server;
  }

  /** Tells Pilot which pods there are. */
  report(): Promise<true> {
    this.sequence += 1n;
    return this.operator.report({
      sequence: this.sequence,
      namespaces: [{ name: 'default' }],
      services: [
        {
          namespace: 'default',
          name: 'echo',
          selector: { app: 'echo' },
          ports: [{ name: 'grpc', port: 7070, targetPort: POD_PORT }],
        },
      ],
      workloads: [...this.pods].map(([name, { version, address, server }]) => ({
        name,
        namespace: 'default',
        labels: { app: 'echo', version },
        serviceAccount: 'echo',
        workloadName: name,
        address,
        ports: [{ port: POD_PORT, appPort: server.port, name: 'grpc' }],
        ready: true,
      })),
    });
  }

  apply(content: string): Promise<true> {
    return waitUntil('galley to take the documents', () => this.operator.apply('echo.yaml', content));
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.close();
    for (const { server } of this.all) server.stop();
    await Promise.all(this.all.map(({ sidecar }) => sidecar?.stop()));
    this.operator.close();
    await this.plane.stop();
    this.lease.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
