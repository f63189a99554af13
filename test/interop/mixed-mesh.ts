// Interop tests: a small Bookinfo whose proxies are stock Envoys and Lateen sidecars, side by side on one control plane.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { CredentialSchema, RegistryReportSchema } from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import { type AppProcess, startApp } from '../harness/app-process.js';
import { ControlPlaneProcesses } from '../harness/control-plane-processes.js';
import { httpGet } from '../harness/http-get.js';
import { startLogFile } from '../harness/log-file.js';
import { MeshOperator } from '../harness/mesh-operator.js';
import { waitUntil } from '../harness/wait-until.js';
import { type MeshNode, meshBootstrap } from './mesh-bootstrap.js';

const SIDECAR = fileURLToPath(new URL('../../bin/lateen-sidecar', import.meta.url));
const ADMIN_PORT = 15000;
/** Every three seconds, each certificate being good for a minute. */
const RENEW_OFTEN = ['--certificate-ttl-seconds', '60', '--secret-grace-period-ratio', '0.95'];
/** As the demo has it. */
const MESH_CONFIG = 'accessLogFile: /dev/stdout\n';

export interface MeshPod {
  readonly node: MeshNode;
  readonly proxy: 'envoy' | 'envoy-delta' | 'lateen';
  /** The application behind the proxy, or the port where one listens already; a gateway has none, nor has who only calls. */
  readonly app?: RequestListener | number;
}

interface RunningPod {
  readonly pod: MeshPod;
  readonly output: () => string;
}

export class MixedMesh {
  private readonly directory = mkdtempSync(join(tmpdir(), 'lateen-mixed-'));
  private readonly servers: Server[] = [];
  private readonly children: ChildProcess[] = [];
  private readonly agents: AppProcess[] = [];
  private readonly running: RunningPod[] = [];
  private registry = create(RegistryReportSchema);
  /** A block of loopback addresses that local meshes hardly lease. */
  readonly block = `127.${200 + Math.floor(Math.random() * 50)}`;

  private constructor(
    private readonly envoyPath: string,
    readonly plane: ControlPlaneProcesses,
    readonly operator: MeshOperator,
  ) {}

  static async start(envoyPath: string): Promise<MixedMesh> {
    const plane = await ControlPlaneProcesses.start(['--removal-grace-ms', '100'], MESH_CONFIG);
    try {
      return new MixedMesh(envoyPath, plane, await MeshOperator.connect(plane));
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** Address of the pod with this number. */
  podAddress(index: number): string {
    return `${this.block}.0.${10 + index}`;
  }

  /** Starts the applications, reports everything to Pilot, and starts the proxies. `portName` says what the services speak. */
  async run(pods: readonly MeshPod[], services: readonly string[], portName = 'http'): Promise<void> {
    const workloads = [];
    for (const [index, { node, app }] of pods.entries()) {
      const appPort = typeof app === 'function' ? await this.serve(app) : app;
      const ports = appPort === undefined ? [] : [{ port: 9080, appPort, name: portName }];
      const serviceAddresses: Record<string, string> = {};
      for (const service of services) serviceAddresses[fqdn(service)] = this.serviceAddress(index, service, services);
      const { podName: name, namespace, labels, serviceAccount, workloadName, address, gateway } = node;
      const common = { name, namespace, labels, serviceAccount, workloadName, address, ports, ready: true };
      workloads.push({ ...common, gateway, serviceAddresses: gateway ? {} : serviceAddresses });
    }
    this.registry = create(RegistryReportSchema, {
      sequence: 1n,
      namespaces: [{ name: 'default' }, { name: 'istio-system' }],
      services: services.map((name) => ({
        namespace: 'default',
        name,
        selector: { app: name },
        ports: [{ name: portName, port: 9080, targetPort: 9080 }],
      })),
      workloads,
    });
    await this.operator.report(this.registry);
    for (const pod of pods) await this.startProxy(pod);
  }

  /** Reports Secrets beside everything else, in place of those before. */
  async giveSecrets(credentials: readonly MessageInitShape<typeof CredentialSchema>[]): Promise<void> {
    this.registry.sequence += 1n;
    this.registry.credentials = credentials.map((credential) => create(CredentialSchema, credential));
    await this.operator.report(this.registry);
  }

  /** Where the pod with this number calls a service. */
  serviceAddress(podIndex: number, service: string, services: readonly string[]): string {
    return `${this.block}.${podIndex + 1}.${10 + services.indexOf(service)}`;
  }

  private async serve(app: RequestListener): Promise<number> {
    const server = createServer(app);
    server.keepAliveTimeout = 120_000;
    this.servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  private async startProxy(pod: MeshPod): Promise<void> {
    const { node, proxy } = pod;
    const directory = join(this.directory, node.podName);
    mkdirSync(directory);
    const path = join(directory, 'bootstrap.yaml');
    const apiType = proxy === 'envoy' ? 'GRPC' : 'DELTA_GRPC';
    const options = { node, apiType, pilotPort: this.plane.pilotPort } as const;
    let argv: string[];
    if (proxy === 'lateen') {
      writeFileSync(path, JSON.stringify(meshBootstrap(options)));
      const flags = await this.plane.certificateFlags(node.serviceAccount, node.namespace);
      const state = ['--state-dir', join(directory, 'state'), '--log-level', 'warn', '--drain-time', '1s'];
      argv = [SIDECAR, '--config-path', path, ...state, ...flags];
    } else {
      const sdsSocket = await this.startAgent(node, join(directory, 'agent'));
      writeFileSync(path, JSON.stringify(meshBootstrap({ ...options, sdsSocket })));
      const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn', '--drain-time-s', '1'];
      argv = [this.envoyPath, '-c', path, ...flags];
    }
    const [command = '', ...args] = argv;
    const log = startLogFile(join(directory, 'proxy.log'));
    this.children.push(spawn(command, args, { stdio: ['ignore', log.descriptor, log.descriptor] }));
    log.close(); // the child has its own
    this.running.push({ pod, output: log.text });
  }

  /** What gives an Envoy its certificate; resolves to its socket once that is there. */
  private async startAgent({ serviceAccount, namespace }: MeshNode, directory: string): Promise<string> {
    const flags = await this.plane.certificateFlags(serviceAccount, namespace);
    const state = ['--state-dir', directory, '--monitoring-port', '0', '--log-level', 'warn'];
    const agent = startApp('agent', [...flags, ...state, ...RENEW_OFTEN]);
    this.agents.push(agent);
    const socket = join(directory, 'sds.sock');
    await waitUntil('the socket of an agent', () => existsSync(socket));
    return socket;
  }

  /** A page of a pod's admin API. */
  async admin(podName: string, path: string): Promise<string> {
    const found = this.running.find(({ pod }) => pod.node.podName === podName);
    if (found === undefined) throw new Error(`there is no pod ${podName}`);
    return (await httpGet(`http://${found.pod.node.address}:${ADMIN_PORT}${path}`)).body;
  }

  /** What a pod's proxy wrote. */
  outputOf(podName: string): string {
    return this.running.find(({ pod }) => pod.node.podName === podName)?.output() ?? '';
  }

  /** What the proxies wrote, and what their agents warned of. */
  output(): string {
    const proxies = this.running.map(({ pod, output }) => `${pod.node.podName}: ${output().slice(-3000)}`);
    return [...proxies, ...this.agents.map((agent) => agent.output()), this.plane.output()].join('\n');
  }

  async stop(): Promise<void> {
    for (const child of this.children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    for (const server of this.servers) {
      server.closeAllConnections();
      server.close();
    }
    await Promise.all(this.agents.map((agent) => agent.stop()));
    this.operator.close();
    await this.plane.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const fqdn = (service: string) => `${service}.default.svc.cluster.local`;
