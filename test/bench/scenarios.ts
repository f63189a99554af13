// Benchmark: the scenarios, and how each proxy is set up for them.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../harness/free-port.js';
import { type CertificateFiles, createCertificateFiles } from './certificates.js';
import { nginxBackend, nginxProxy } from './nginx-config.js';
import { type PinnedProcess, startPinned } from './pinned-process.js';
import { writeSidecarBootstrap } from './sidecar-bootstrap.js';

export type ProxyKind = 'nginx' | 'node-http' | 'sidecar';

/** A running proxy (or pair of proxies) in front of its backend. */
export interface Topology {
  readonly url: string;
  readonly headers: readonly string[];
  /** Processes whose CPU counts. */
  readonly measured: readonly number[];
  /** CPU is divided by this: a request passes so many measured proxies. */
  readonly hops: number;
  stop(): Promise<void>;
}

export interface Scenario {
  readonly key: string;
  readonly title: string;
  /** Goal for sidecar / nginx in CPU for each request. */
  readonly goalRatio: number;
  start(proxy: ProxyKind, workDir: string): Promise<Topology>;
}

/** The proxy has a core of its own; load generator and backend share the other. */
export const PROXY_CPU = '0';
export const LOAD_CPU = '1';

const SIDECAR = fileURLToPath(new URL('../../../bin/lateen-sidecar', import.meta.url));
const NODE_PROXY = fileURLToPath(new URL('./node-http-proxy.js', import.meta.url));
const HOST_NAMES = Array.from({ length: 100 }, (_, index) => `service-${index}.bench.svc.cluster.local`);

interface ProxyOptions {
  readonly name: string;
  readonly listenPort: number;
  readonly backendPorts: readonly number[];
  readonly hostNames?: readonly string[];
  readonly metrics?: boolean;
  readonly inbound?: boolean;
  readonly acceptTls?: CertificateFiles;
  readonly originateTls?: CertificateFiles;
}

async function startProxy(kind: ProxyKind, directory: string, options: ProxyOptions): Promise<PinnedProcess> {
  if (kind === 'nginx')
    return startPinned('nginx', PROXY_CPU, nginxProxy({ directory, ...options }), options.listenPort);
  if (kind === 'node-http') {
    const argv = [process.execPath, NODE_PROXY, JSON.stringify(options)];
    return startPinned('node-http', PROXY_CPU, argv, options.listenPort);
  }
  const bootstrap = writeSidecarBootstrap({ directory, adminPort: await freePort(), ...options });
  const argv = [SIDECAR, '--config-path', bootstrap, '--log-level', 'warn'];
  return startPinned('sidecar', PROXY_CPU, argv, options.listenPort);
}

async function startBackend(directory: string, count: number): Promise<{ ports: number[]; process: PinnedProcess }> {
  const ports: number[] = [];
  for (let index = 0; index < count; index++) ports.push(await freePort());
  return { ports, process: await startPinned('backend', LOAD_CPU, nginxBackend(directory, ports), ports[0] ?? 0) };
}

async function oneProxy(
  kind: ProxyKind,
  workDir: string,
  backends: number,
  extra: Partial<ProxyOptions>,
  headers: string[],
): Promise<Topology> {
  const backend = await startBackend(workDir, backends);
  const listenPort = await freePort();
  const proxy = await startProxy(kind, workDir, {
    name: `${kind}-proxy`,
    listenPort,
    backendPorts: backend.ports,
    ...extra,
  });
  return {
    url: `http://127.0.0.1:${listenPort}/`,
    headers,
    measured: [proxy.pid],
    hops: 1,
    async stop() {
      await proxy.stop();
      await backend.process.stop();
    },
  };
}

export const SCENARIOS: readonly Scenario[] = [
  {
    key: 'a',
    title: 'one route, one endpoint, 1 KiB bodies',
    goalRatio: 1.25,
    start: (kind, workDir) => oneProxy(kind, workDir, 1, {}, []),
  },
  {
    key: 'b',
    title: '100 virtual hosts with header matches, three endpoints, metrics on',
    goalRatio: 1.25,
    start: (kind, workDir) =>
      oneProxy(kind, workDir, 3, { hostNames: HOST_NAMES, metrics: true }, [
        `Host: ${HOST_NAMES[57]}`,
        'end-user: jason',
      ]),
  },
  {
    key: 'c',
    title: 'mTLS hop: plain -> TLS 1.3 -> plain, CPU of one side',
    goalRatio: 1.3,
    async start(kind, workDir) {
      const files = await createCertificateFiles(join(workDir, 'certificates'));
      const backend = await startBackend(workDir, 1);
      const serverPort = await freePort();
      const clientPort = await freePort();
      const server = await startProxy(kind, workDir, {
        name: `${kind}-server`,
        listenPort: serverPort,
        backendPorts: backend.ports,
        inbound: true,
        acceptTls: files,
      });
      const client = await startProxy(kind, workDir, {
        name: `${kind}-client`,
        listenPort: clientPort,
        backendPorts: [serverPort],
        originateTls: files,
      });
      return {
        url: `http://127.0.0.1:${clientPort}/`,
        headers: [],
        measured: [client.pid, server.pid],
        hops: 2,
        async stop() {
          await client.stop();
          await server.stop();
          await backend.process.stop();
        },
      };
    },
  },
];
