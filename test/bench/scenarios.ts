// Benchmark: the scenarios, and how each proxy is set up for them.

import { join } from 'node:path';
import { freePort } from '../harness/free-port.js';
import type { PinnedProcess } from './measure/pinned-process.js';
import { type CertificateFiles, createCertificateFiles } from './proxies/certificates.js';
import { type ProxyOptions, pathOfRoute, type RouteSeries } from './proxies/proxy-options.js';
import { type Backend, type BackendShape, type ProxyKind, startProxy } from './proxies/start-proxy.js';

/** A running proxy (or pair of proxies) in front of the backend. */
export interface Topology {
  readonly url: string;
  /** Processes whose CPU counts. */
  readonly measured: readonly number[];
  /** CPU is divided by this: a request passes so many measured proxies. */
  readonly hops: number;
  stop(): Promise<void>;
}

/** A goal for the sidecar: its figure over the peer's in the same rounds. */
export interface RatioGoal {
  readonly peer: ProxyKind;
  readonly atMost: number;
}

export interface Scenario {
  readonly key: string;
  readonly title: string;
  readonly proxies: readonly ProxyKind[];
  readonly cpuGoals: readonly RatioGoal[];
  readonly backend: BackendShape;
  readonly headers: readonly string[];
  /** Every request has a connection of its own: h2load opens none anew, so there is no run at a fixed rate. */
  readonly newConnections?: boolean;
  /** Clients speak HTTP/2, with so many requests at a time on each of so many connections. */
  readonly http2?: { readonly connections: number; readonly streams: number };
  /** Sent as the body of a POST by each of these clients. */
  readonly requestBody?: string;
  start(kind: ProxyKind, workDir: string, backend: Backend): Promise<Topology>;
}

/** Connections at a fixed rate, and what an idle one costs. */
export interface ConnectionsScenario {
  readonly key: string;
  readonly title: string;
  readonly proxies: readonly ProxyKind[];
  readonly connections: number;
  readonly rps: number;
  readonly p99Goal: RatioGoal;
  readonly idleKiBGoal: number;
}

/** A message of gRPC: not compressed, its length, its bytes. */
function grpcMessage(bytes: number): string {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes, 1);
  return head.toString('latin1') + 'm'.repeat(bytes);
}

const GRPC_HEADERS = ['content-type: application/grpc', 'te: trailers'];
const HOST_NAMES = Array.from({ length: 100 }, (_, index) => `service-${index}.bench.svc.cluster.local`);
const ALL: readonly ProxyKind[] = ['nginx', 'haproxy', 'envoy', 'node-http', 'sidecar'];
const NATIVE: readonly ProxyKind[] = ['nginx', 'haproxy', 'envoy', 'sidecar'];
const KIB_BODY: BackendShape = { count: 1, bodyBytes: 1024 };

async function oneProxy(
  kind: ProxyKind,
  workDir: string,
  backend: Backend,
  extra: Partial<ProxyOptions> & { readonly requestPath?: string } = {},
): Promise<Topology> {
  const listenPort = await freePort();
  const proxy = await startProxy(kind, workDir, { name: 'proxy', listenPort, backendPorts: backend.ports, ...extra });
  return {
    url: `${extra.acceptTls ? 'https' : 'http'}://127.0.0.1:${listenPort}${extra.requestPath ?? '/'}`,
    measured: [proxy.pid],
    hops: 1,
    stop: () => proxy.stop(),
  };
}

/** plain -> TLS 1.3 with certificates on both sides -> plain, through two proxies of the kind. */
async function mutualTlsHop(kind: ProxyKind, workDir: string, backend: Backend): Promise<Topology> {
  const files: CertificateFiles = await createCertificateFiles(join(workDir, `certificates-${kind}`));
  const started: PinnedProcess[] = [];
  const start = async (name: string, backendPorts: readonly number[], extra: Partial<ProxyOptions>) => {
    const listenPort = await freePort();
    started.push(await startProxy(kind, workDir, { name, listenPort, backendPorts, ...extra }));
    return listenPort;
  };
  const serverPort = await start('server', backend.ports, { inbound: true, acceptTls: files });
  const clientPort = await start('client', [serverPort], { originateTls: files });
  return {
    url: `http://127.0.0.1:${clientPort}/`,
    measured: started.map((proxy) => proxy.pid),
    hops: 2,
    async stop() {
      for (const proxy of started.reverse()) await proxy.stop();
    },
  };
}

const MANY_ROUTES = 10_000;
const FEW = 10;

/** Requests for the route in the middle of many, which are compared with those among ten. */
function routesScenario(key: string, routeKind: RouteSeries['kind']): Scenario {
  return {
    key,
    title: `${MANY_ROUTES.toLocaleString('en')} routes by ${routeKind} path beside ${FEW}`,
    proxies: ['envoy', 'sidecar-few', 'sidecar'],
    cpuGoals: routeKind === 'regex' ? [] : [{ peer: 'sidecar-few', atMost: 1.1 }],
    backend: KIB_BODY,
    headers: [],
    start: (kind, workDir, backend) => {
      const count = kind === 'sidecar-few' ? FEW : MANY_ROUTES;
      const routes = { kind: routeKind, count };
      return oneProxy(kind, workDir, backend, { routes, requestPath: pathOfRoute(count / 2) });
    },
  };
}

/** CPU for each request, under as much load as one core of proxy takes. */
export const SCENARIOS: readonly Scenario[] = [
  {
    key: 'a',
    title: 'one route, one endpoint, 1 KiB bodies',
    proxies: ALL,
    cpuGoals: [
      { peer: 'nginx', atMost: 1.25 },
      { peer: 'envoy', atMost: 1 },
    ],
    backend: KIB_BODY,
    headers: [],
    start: oneProxy,
  },
  {
    key: 'b',
    title: '100 virtual hosts with header matches, three endpoints, metrics on',
    proxies: ALL,
    cpuGoals: [
      { peer: 'nginx', atMost: 1.25 },
      { peer: 'envoy', atMost: 1 },
    ],
    backend: { count: 3, bodyBytes: 1024 },
    headers: [`Host: ${HOST_NAMES[57]}`, 'end-user: jason'],
    start: (kind, workDir, backend) =>
      oneProxy(kind, workDir, backend, { hostNames: HOST_NAMES, metrics: true, inbound: false }),
  },
  {
    key: 'c',
    title: 'mTLS hop: plain -> TLS 1.3 -> plain, CPU of one side',
    proxies: ALL,
    cpuGoals: [
      { peer: 'nginx', atMost: 1.3 },
      { peer: 'envoy', atMost: 1 },
    ],
    backend: KIB_BODY,
    headers: [],
    start: mutualTlsHop,
  },
  {
    key: 'd',
    title: '100 kB bodies',
    proxies: NATIVE,
    cpuGoals: [{ peer: 'nginx', atMost: 1 }],
    backend: { count: 1, bodyBytes: 100_000 },
    headers: [],
    start: oneProxy,
  },
  {
    key: 'e-plain',
    title: 'a new connection for each request',
    proxies: NATIVE,
    cpuGoals: [{ peer: 'nginx', atMost: 1.5 }],
    backend: KIB_BODY,
    headers: ['Connection: close'],
    newConnections: true,
    start: oneProxy,
  },
  {
    key: 'e-tls',
    title: 'a new TLS 1.3 connection for each request',
    proxies: NATIVE,
    cpuGoals: [{ peer: 'nginx', atMost: 1.5 }],
    backend: KIB_BODY,
    headers: ['Connection: close'],
    newConnections: true,
    async start(kind, workDir, backend) {
      const acceptTls = await createCertificateFiles(join(workDir, `certificates-${kind}`));
      return oneProxy(kind, workDir, backend, { acceptTls, anyClient: true });
    },
  },
  {
    key: 'g',
    title: 'as (a), with an access log to a file',
    proxies: NATIVE,
    cpuGoals: [],
    backend: KIB_BODY,
    headers: [],
    start: (kind, workDir, backend) => oneProxy(kind, workDir, backend, { accessLog: 'on' }),
  },
  {
    key: 'audit',
    title: 'as (a), with an audit log beside none',
    proxies: ['sidecar-few', 'sidecar'],
    cpuGoals: [{ peer: 'sidecar-few', atMost: 1.1 }],
    backend: KIB_BODY,
    headers: [],
    start: (kind, workDir, backend) => oneProxy(kind, workDir, backend, kind === 'sidecar' ? { auditLog: 'on' } : {}),
  },
  {
    key: 'h2',
    title: 'clients of HTTP/2 (16 connections, 10 streams each), HTTP/1.1 behind, 1 KiB bodies',
    proxies: NATIVE,
    cpuGoals: [
      { peer: 'nginx', atMost: 2 },
      { peer: 'envoy', atMost: 1 },
    ],
    backend: KIB_BODY,
    headers: [],
    http2: { connections: 16, streams: 10 },
    start: (kind, workDir, backend) => oneProxy(kind, workDir, backend, { acceptHttp2: true }),
  },
  {
    key: 'h2-both',
    title: 'HTTP/2 on both sides, 1 KiB bodies',
    proxies: ['haproxy', 'envoy', 'sidecar'],
    cpuGoals: [{ peer: 'envoy', atMost: 1 }],
    backend: { ...KIB_BODY, http2: true },
    headers: [],
    http2: { connections: 16, streams: 10 },
    start: (kind, workDir, backend) => oneProxy(kind, workDir, backend, { acceptHttp2: true, originateHttp2: true }),
  },
  {
    key: 'grpc-unary',
    title: 'gRPC: a message of 100 bytes, an answer of 1 KiB',
    proxies: NATIVE,
    cpuGoals: [{ peer: 'envoy', atMost: 1 }],
    backend: { ...KIB_BODY, http2: true, grpc: true },
    headers: GRPC_HEADERS,
    http2: { connections: 16, streams: 10 },
    requestBody: grpcMessage(100),
    start: (kind, workDir, backend) => oneProxy(kind, workDir, backend, { acceptHttp2: true, originateHttp2: true }),
  },
  {
    key: 'grpc-stream',
    title: 'gRPC: a message of 100 bytes, a stream of 100 kB',
    proxies: NATIVE,
    cpuGoals: [{ peer: 'envoy', atMost: 1 }],
    backend: { count: 1, bodyBytes: 100_000, http2: true, grpc: true },
    headers: GRPC_HEADERS,
    http2: { connections: 16, streams: 2 },
    requestBody: grpcMessage(100),
    start: (kind, workDir, backend) => oneProxy(kind, workDir, backend, { acceptHttp2: true, originateHttp2: true }),
  },
  routesScenario('r-exact', 'exact'),
  routesScenario('r-prefix', 'prefix'),
  routesScenario('r-regex', 'regex'),
  {
    key: 'ring',
    title: 'ring hash by a header over 1,000 endpoints beside 10',
    proxies: ['envoy', 'sidecar-few', 'sidecar'],
    cpuGoals: [
      { peer: 'envoy', atMost: 1 },
      { peer: 'sidecar-few', atMost: 1.1 },
    ],
    backend: { count: 1000, bodyBytes: 1024 },
    headers: ['x-user: jason'],
    start: (kind, workDir, backend) => {
      const ports = kind === 'sidecar-few' ? backend.ports.slice(0, FEW) : backend.ports;
      return oneProxy(kind, workDir, { ...backend, ports }, { ringHash: true });
    },
  },
  {
    key: 'rbac',
    title: '100 policies of 20 rules, none for the request, beside one policy',
    proxies: ['envoy', 'sidecar-few', 'sidecar'],
    cpuGoals: [
      { peer: 'envoy', atMost: 1 },
      { peer: 'sidecar-few', atMost: 1.1 },
    ],
    backend: KIB_BODY,
    headers: ['x-tenant: tenant-none'],
    start: (kind, workDir, backend) => {
      const denyPolicies = kind === 'sidecar-few' ? 1 : 100;
      return oneProxy(kind, workDir, backend, { denyPolicies, requestPath: '/api/v1/service-57/items/3' });
    },
  },
];

const connectionsScenario = (key: string, connections: number): ConnectionsScenario => ({
  key,
  title: `${connections.toLocaleString('en')} connections, 2,000 requests a second in all`,
  proxies: NATIVE,
  connections,
  rps: 2000,
  p99Goal: { peer: 'nginx', atMost: 1.5 },
  idleKiBGoal: 12,
});

export const CONNECTIONS_SCENARIOS: readonly ConnectionsScenario[] = [
  connectionsScenario('f-1k', 1000),
  connectionsScenario('f-10k', 10_000),
];
